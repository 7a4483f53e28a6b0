// <time data-time="relative|clock|date|countdown" datetime="…"> in the reader's language and zone.
// The page holds UTC for those without scripts; everything here is counted without any traffic.
const language = document.documentElement.lang || undefined;
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
const exact = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
const clock = new Intl.DateTimeFormat(language, { hour: "numeric", minute: "2-digit" });
const day = new Intl.DateTimeFormat(language, { dateStyle: "medium" });
const UNITS = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["week", 604_800],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

function relativeWords(at) {
  const seconds = (at - Date.now()) / 1000;
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size) ?? [];
  return unit ? relative.format(Math.round(seconds / size), unit) : relative.format(0, "second");
}

function countdownWords(at) {
  const left = Math.max(0, Math.ceil((at - Date.now()) / 1000));
  const parts = [Math.floor(left / 3600), Math.floor(left / 60) % 60, left % 60];
  if (!parts[0]) parts.shift();
  return parts.map((part, index) => (index ? String(part).padStart(2, "0") : part)).join(":");
}

function clockWords(at) {
  return at.toDateString() === new Date().toDateString() ? clock.format(at) : exact.format(at);
}

// "tonight 02:10", "today 14:00", "tomorrow 09:00": the night belongs to the day before it.
function upcomingWords(at) {
  const noon = new Date().setHours(12, 0, 0, 0);
  const hours = (at - noon) / 3_600_000;
  const dayWords = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
  const isTonight = hours > 6 && hours < 18 && language?.startsWith("en");
  if (isTonight) return `tonight ${clock.format(at)}`;
  const days = Math.floor((at - new Date().setHours(0, 0, 0, 0)) / 86_400_000);
  return days > 1 ? exact.format(at) : `${dayWords.format(days, "day")} ${clock.format(at)}`;
}

const WORDS = { upcoming: upcomingWords, relative: relativeWords, countdown: countdownWords, clock: clockWords };

function write(element) {
  const at = new Date(element.dateTime);
  const words = (WORDS[element.dataset.time] ?? ((instant) => day.format(instant)))(at);
  if (element.textContent !== words) element.textContent = words;
  element.title = exact.format(at);
  element.hidden = false;
}

export function writeTimes(root = document) {
  root.querySelectorAll("time[data-time]").forEach(write);
}

let seconds = 0;
setInterval(() => {
  if (document.hidden) return;
  const kind = seconds++ % 30 ? "[data-time=countdown]" : "[data-time]";
  document.querySelectorAll(`time${kind}`).forEach(write);
}, 1000);

document.addEventListener("htmx:afterSwap", () => writeTimes());
addEventListener("pageshow", () => writeTimes());
writeTimes();
