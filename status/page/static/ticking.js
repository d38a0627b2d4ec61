// Lets ages, running bars and the times that phases work go on between two updates, by the server's clock.
"use strict";

const TICK_MS = 500;
const CALM_TICK_MS = 5000;
const UNITS = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
const calm = matchMedia("(prefers-reduced-motion: reduce)");
let serverIsAheadBy = 0; // Milliseconds of the server's clock before this browser's steady one.
let ticker = null;

// Takes the time at which the server rendered something that came in at a time of the steady clock.
function setClock(live, cameInAt) {
  const at = Number(live?.dataset.now);
  if (at) serverIsAheadBy = at - cameInAt;
}

function serverNow() {
  return serverIsAheadBy ? performance.now() + serverIsAheadBy : Date.now();
}

// As `lasting` of status/durations.py.
function lasting(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  const seconds = milliseconds / 1000;
  const whole = (size) => Math.floor(seconds / size);
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  if (seconds < 3600) return `${whole(60)} min ${Math.floor(seconds % 60)} s`;
  if (seconds < 86400) return `${whole(3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${whole(86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
}

function ticks(element) {
  return element.matches("time[data-ago], [data-since]");
}

// Whoever has selected a text that ticks keeps it.
function write(element, text) {
  const selection = getSelection();
  const isSelected = !selection.isCollapsed && selection.containsNode(element, true);
  if (element.textContent !== text && !isSelected) element.textContent = text;
}

function tellAges(now) {
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const seconds = Math.max(0, (now - Date.parse(time.dateTime)) / 1000);
    const [size, unit] = UNITS.find(([size]) => seconds >= size) ?? UNITS.at(-1);
    write(time, seconds < 5 ? "just now" : `${Math.floor(seconds / size)} ${unit} ago`);
  }
}

function tellDurations(now) {
  for (const one of document.querySelectorAll("[data-since]")) {
    write(one, lasting(Math.max(0, now - Number(one.dataset.since))));
  }
}

function drawBars(now) {
  const chart = document.querySelector("table[data-begin]");
  if (!chart) return;
  const [begin, end] = [Number(chart.dataset.begin), Number(chart.dataset.end)];
  const reach = Math.min(1, (now - begin) / (end - begin)) * 100;
  for (const bar of chart.querySelectorAll("rect[data-runs]")) {
    const width = reach - parseFloat(bar.getAttribute("x"));
    if (width > parseFloat(bar.getAttribute("width"))) bar.setAttribute("width", `${width.toFixed(3)}%`);
  }
}

function tick() {
  if (document.hidden) return;
  const now = serverNow();
  tellAges(now);
  tellDurations(now);
  drawBars(now);
}

function startTicking() {
  clearInterval(ticker);
  ticker = setInterval(tick, calm.matches ? CALM_TICK_MS : TICK_MS);
}

if (document.getElementById("live")) {
  setClock(document.getElementById("live"), performance.getEntriesByType("navigation")[0]?.responseStart ?? performance.now());
  startTicking();
  calm.addEventListener("change", startTicking);
}
