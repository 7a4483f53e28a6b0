// Puts live fragments in their place: never an older one over a newer one, with the focus kept.
// A fragment is any element with an id and `data-revision`; its words are announced politely.
import { ended } from "./ended.js";
import { retitle } from "./tab.js";
import { settle, writeTimes } from "./times.js";

const ANNOUNCE_MS = 5000;
const shown = new Map(); // id to the HTML last put there
let spokenAt = 0;
let speaking;

const revisionOf = (element) => Number(element?.dataset.revision ?? 0);

export function show(html) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  for (const next of parsed.querySelectorAll("[id][data-revision]")) {
    if (next.lang && next.lang !== document.documentElement.lang) continue;
    const old = document.getElementById(next.id);
    ended(old, next);
    if (!old || revisionOf(next) < revisionOf(old) || shown.get(next.id) === next.outerHTML) continue;
    shown.set(next.id, next.outerHTML);
    replace(old, next);
  }
}

function replace(old, next) {
  // The announcer speaks for the fragment, so that a screen reader hears each word once.
  next.querySelector("[role=status]")?.setAttribute("aria-live", "off");
  const focused = old.contains(document.activeElement) && document.activeElement.id;
  const isOpen = old.querySelector("details")?.open;
  const from = old.querySelector("progress")?.value;
  settle(old, next);
  old.replaceWith(next);
  writeTimes(next);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (isOpen) next.querySelector("details")?.setAttribute("open", "");
  glide(next.querySelector("progress[value]"), from);
  if (next.dataset.announce !== undefined) announce(next);
  if (next.dataset.title !== undefined) retitle();
}

function glide(bar, from) {
  if (!bar || from === undefined || from > bar.value) return;
  const to = bar.value;
  bar.value = from;
  requestAnimationFrame(() => requestAnimationFrame(() => (bar.value = to)));
}

function announce(fragment) {
  const isUrgent = fragment.dataset.urgent !== undefined;
  const speaker = document.querySelector(isUrgent ? "[data-speaker=urgent]" : "[data-speaker=polite]");
  clearTimeout(speaking);
  speaking = setTimeout(() => {
    spokenAt = Date.now();
    if (speaker) speaker.textContent = fragment.dataset.announce.trim();
  }, isUrgent ? 0 : Math.max(0, spokenAt + ANNOUNCE_MS - Date.now()));
}
