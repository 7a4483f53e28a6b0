// Puts fresh pieces (`[data-fragment]`, each with an id) in their places, touching only what differs:
// focus, selection, what is pressed and opened `<details>` stay as they are. Children with an id are
// followed wherever they moved.
import { writeTimes } from "./times.js";

const shown = new Map(); // id to the HTML last put there

export function show(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  for (const next of parsed.querySelectorAll("[data-fragment]")) {
    const old = document.getElementById(next.id);
    if (!old || shown.get(next.id) === next.outerHTML) continue;
    shown.set(next.id, next.outerHTML);
    morph(old, next);
    writeTimes(document.getElementById(next.id));
  }
}

function morph(old, next) {
  if (old.nodeName !== next.nodeName) return old.replaceWith(next);
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== next.data) old.data = next.data;
    return;
  }
  morphAttributes(old, next);
  const nextIds = new Set([...next.children].map((child) => child.id).filter(Boolean));
  for (const child of [...old.children]) if (child.id && !nextIds.has(child.id)) child.remove();
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let place = old.firstChild;
  for (const child of [...next.childNodes]) {
    const match = child.id ? known.get(child.id) : unkeyed(place);
    if (!match) {
      old.insertBefore(child, place);
      continue;
    }
    if (match === place) place = place.nextSibling;
    else old.insertBefore(match, place);
    morph(match, child);
  }
  while (place) {
    const gone = place;
    place = place.nextSibling;
    gone.remove();
  }
}

// The element that stands here may be taken over, unless it is somebody.
function unkeyed(place) {
  return place && !place.id ? place : null;
}

function morphAttributes(old, next) {
  for (const { name } of [...old.attributes]) {
    const isReaders = name === "open" || (old.nodeName === "TIME" && name === "title");
    if (!isReaders && !next.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of next.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}
