// Follows the changes of what is shown: the server renders it anew, and the page takes it over in place.
"use strict";

const LEAST_PAUSE_MS = Number(document.body.dataset.pauseMs ?? 1000);
const RETRY_MS = 5000;
const SILENCE_MS = 5000;
const state = document.getElementById("link-state");
const away = new Map(); // What each server that is away means, in a sentence.
let timer = null;
let lastLoad = 0;

function say(name, text) {
  if (!state || state.dataset.state === name && state.textContent === text) return;
  keepPlace(() => {
    state.dataset.state = name;
    state.textContent = text;
  });
}

// Changes something, and leaves the first part that is seen whole where it stands on the screen. Browsers do so
// themselves, but not in the frame in which somebody scrolled, and one of them never.
function keepPlace(change) {
  const topOf = (part) => part.getBoundingClientRect().top;
  const parts = scrollY > 0 ? [...document.querySelectorAll("#live :is(summary, tr, p, li, dt, h1, h2, h3)")] : [];
  const read = parts.find((part) => topOf(part) >= 0);
  const top = read && topOf(read);
  document.documentElement.style.overflowAnchor = "none"; // Or it would be done twice.
  change();
  if (read?.isConnected) scrollBy({ top: topOf(read) - top, behavior: "instant" });
  document.documentElement.style.overflowAnchor = "";
}

function sayHowItIs(news = "") {
  if (away.has("postgres")) say("away", away.get("postgres"));
  else if (away.size) say("late", [...away.values()].join(" "));
  else say("live", news ? `Live: now ${news}` : "Live");
}

function schedule() {
  if (timer === null) timer = setTimeout(load, Math.max(0, lastLoad + LEAST_PAUSE_MS - Date.now()));
}

async function load() {
  timer = null;
  if (document.hidden) return; // What becomes visible loads.
  lastLoad = Date.now();
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    const cameInAt = performance.now();
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    if (response.status === 401) location.reload();
    else if (response.ok) takeOver(fresh.getElementById("live"), cameInAt);
    else say("away", fresh.querySelector("[data-problem]")?.dataset.problem ?? "This cannot be shown for now.");
    if (response.status === 503 || response.status === 429) setTimeout(schedule, RETRY_MS);
  } catch {
    say("away", "The service does not answer; trying again.");
    setTimeout(schedule, RETRY_MS);
  }
}

function takeOver(fresh, cameInAt) {
  const shown = document.getElementById("live");
  if (!fresh || !shown) return;
  const focused = shown.contains(document.activeElement) ? document.activeElement : null;
  const owner = focused?.id ? focused : focused?.closest("[id]");
  const isNews = fresh.dataset.status && fresh.dataset.status !== shown.dataset.status;
  setClock(fresh, cameInAt);
  keepPlace(() => {
    patch(shown, fresh);
    tick();
  });
  if (focused && !focused.isConnected) {
    // It was made anew in another place.
    const again = owner && document.getElementById(owner.id);
    (again?.matches("a, button") ? again : again?.querySelector("summary"))?.focus({ preventScroll: true });
  }
  sayHowItIs(isNews ? fresh.dataset.status : "");
}

function follow(address) {
  const source = new EventSource(address);
  for (const name of ["flow", "ready", "reset", "available"]) source.addEventListener(name, () => schedule());
  source.addEventListener("ready", () => { away.clear(); sayHowItIs(); });
  source.addEventListener("unavailable", (event) => {
    const { server, detail } = JSON.parse(event.data);
    away.set(server, detail);
    sayHowItIs();
  });
  source.addEventListener("available", (event) => { away.delete(JSON.parse(event.data).server); sayHowItIs(); });
  source.addEventListener("expired", () => { source.close(); location.reload(); });
  source.onerror = () => {
    say("away", "Not connected; trying again.");
    if (source.readyState !== EventSource.CLOSED) return; // It tries again by itself.
    schedule();
    setTimeout(() => follow(address), RETRY_MS);
  };
}

// Sends a request; returns what is wrong with it, or nothing once it stands in the row or is on its way.
async function send(address, body) {
  const id = crypto.randomUUID?.(); // Only where the page came safely; else the service makes one.
  try {
    const response = await fetch(address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(id ? { ...body, request_id: id } : body),
    });
    if (response.status === 401) location.reload();
    const said = await response.json();
    if (response.status === 202) return "It is on its way, and no worker has taken it yet. Look again in a moment.";
    return response.ok ? "" : said.detail;
  } catch {
    return "The service does not answer; try again.";
  }
}

async function submit(form, address, body) {
  const [alarm, button] = [form.querySelector("[role=alert]"), form.querySelector("button:not([type=button])")];
  alarm.hidden = true;
  button.disabled = true;
  const problem = await send(address, body);
  button.disabled = false;
  alarm.textContent = problem;
  alarm.hidden = !problem;
  if (!problem) delete form.dataset.touched;
  schedule();
  return !problem;
}

// What is written becomes JSON by the kind of the question: text, json, or any of the two.
function valueOf(form) {
  const text = new FormData(form).get("answer");
  if (form.dataset.kind === "text" && !form.querySelector("[type=radio]")) return text;
  try {
    return JSON.parse(text);
  } catch {
    if (form.dataset.kind !== "json") return text;
    throw new SyntaxError("This is no JSON.");
  }
}

function answer(form) {
  try {
    submit(form, form.dataset.answer, { question: form.dataset.question, answer: valueOf(form) });
  } catch (error) {
    const alarm = form.querySelector("[role=alert]");
    alarm.textContent = error.message;
    alarm.hidden = false;
  }
}

const confirmation = document.getElementById("confirm");
let opener = null; // The button that opened the confirmation; by its id, for the page is shown anew meanwhile.

function confirmFirst(button) {
  opener = { id: button.id, address: button.dataset.tell };
  document.getElementById("confirm-title").textContent = `${button.dataset.deed}?`;
  document.getElementById("confirm-text").textContent = button.dataset.text;
  const yes = document.getElementById("confirm-yes");
  yes.textContent = button.dataset.deed;
  yes.className = "ends" in button.dataset ? "danger" : "primary";
  document.getElementById("confirm-form").reset();
  confirmation.querySelector("[role=alert]").hidden = true;
  confirmation.showModal();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.tell) confirmFirst(button);
  else if (button && "close" in button.dataset) confirmation.close();
});
document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-answer]");
  if (form) form.dataset.touched = "";
});
document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (form.dataset.answer) {
    event.preventDefault();
    answer(form);
  } else if (form.id === "confirm-form") {
    event.preventDefault();
    if (await submit(form, opener.address, { reason: form.elements.reason.value.trim() || null })) confirmation.close();
  }
});
confirmation?.addEventListener("close", () => {
  (document.getElementById(opener?.id) ?? document.getElementById("main")).focus({ preventScroll: true });
});

if (document.body.dataset.events) {
  follow(document.body.dataset.events);
  document.addEventListener("visibilitychange", () => document.hidden || schedule());
  setInterval(() => document.hidden || schedule(), SILENCE_MS); // No row changes as a process falls silent.
} else if (document.querySelector("[data-retry]")) {
  setTimeout(() => location.reload(), RETRY_MS);
}
