// Makes what is shown equal to what the server has rendered anew, and touches nothing that is equal already:
// so what is selected, focused, scrolled to, opened or being written stays as it is.
"use strict";

const KEYS = ["data-flow", "data-phase", "data-asked", "data-waiting", "data-key", "aria-labelledby"];
const MOST_COMPARED = 4_000_000;

// Parts that are the same thing have the same signature; what has a name of its own is no other's.
function signature(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return `#${node.nodeType}`;
  const key = node.id || KEYS.map((name) => node.getAttribute(name)).find(Boolean);
  return key ? `${node.nodeName}#${key}` : `${node.nodeName}.${node.classList[0] ?? ""}`;
}

// Returns pairs of the old and new nodes that are the same: the longest such row, none of them moved.
function pairs(old, fresh) {
  const [ours, theirs] = [old.map(signature), fresh.map(signature)];
  const found = [];
  let begin = 0;
  let [end, freshEnd] = [old.length, fresh.length];
  while (begin < end && begin < freshEnd && ours[begin] === theirs[begin]) found.push([begin, begin++]);
  while (end > begin && freshEnd > begin && ours[end - 1] === theirs[freshEnd - 1]) found.push([--end, --freshEnd]);
  let [height, width] = [end - begin, freshEnd - begin];
  if (height * width > MOST_COMPARED) height = width = 0; // So much is new that the rest is made anew as well.
  const length = Array.from({ length: height + 1 }, () => new Uint16Array(width + 1));
  for (let i = height - 1; i >= 0; i--) {
    for (let j = width - 1; j >= 0; j--) {
      const isSame = ours[begin + i] === theirs[begin + j];
      length[i][j] = isSame ? length[i + 1][j + 1] + 1 : Math.max(length[i + 1][j], length[i][j + 1]);
    }
  }
  for (let i = 0, j = 0; i < height && j < width; ) {
    if (ours[begin + i] === theirs[begin + j]) found.push([begin + i++, begin + j++]);
    else if (length[i + 1][j] >= length[i][j + 1]) i++;
    else j++;
  }
  return found.map(([i, j]) => [old[i], fresh[j]]);
}

function patchAttributes(old, fresh) {
  // Whoever looks opens and closes these.
  const isKept = (name) => name === "open" && old.nodeName === "DETAILS" && old.id;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && !isKept(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !isKept(name)) old.setAttribute(name, value);
  }
}

function patchChildren(old, fresh) {
  const same = new Map(pairs([...old.childNodes], [...fresh.childNodes]).map(([ours, theirs]) => [theirs, ours]));
  const kept = new Set(same.values());
  for (const node of [...old.childNodes]) if (!kept.has(node)) node.remove();
  let place = old.firstChild;
  for (const node of [...fresh.childNodes]) {
    const ours = same.get(node);
    if (ours) {
      place = ours.nextSibling;
      patch(ours, node);
    } else {
      old.insertBefore(document.importNode(node, true), place);
    }
  }
}

// Makes an old node equal to a fresh one of the same signature.
function patch(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  // What somebody is writing stays, as long as it is asked.
  if (old.matches("form[data-touched]")) return;
  patchAttributes(old, fresh);
  // What ticks writes its own text.
  if (!ticks(old)) patchChildren(old, fresh);
}
