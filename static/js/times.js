// <time data-time="relative|upcoming|clock|date|countdown|left" datetime="…">: writes the words.
// The page holds UTC for those without scripts; everything here is counted without any traffic.
import { WORDS, exact } from "./time_words.js";

function write(element) {
  const at = new Date(element.dateTime);
  const words = (WORDS[element.dataset.time] ?? WORDS.date)(at);
  if (element.textContent !== words) element.textContent = words;
  element.title = exact.format(at);
  element.hidden = false;
}

export function writeTimes(root = document) {
  root.querySelectorAll("time[data-time]").forEach(write);
}

// A new estimate moves the shown one only a part of the way, so that it settles.
export function settle(old, next) {
  const [before, after] = [old, next].map((root) => root.querySelector("time[data-time=left]"));
  if (!before || !after) return;
  const [shown, told] = [before, after].map((time) => Date.parse(time.dateTime));
  after.dateTime = new Date(shown + (told - shown) * 0.25).toISOString();
}

let seconds = 0;
setInterval(() => {
  if (document.hidden) return;
  const kind = seconds++ % 30 ? "time:is([data-time=countdown], [data-time=left])" : "time[data-time]";
  document.querySelectorAll(kind).forEach(write);
}, 1000);

document.addEventListener("htmx:afterSwap", () => writeTimes());
addEventListener("pageshow", () => writeTimes());
writeTimes();
