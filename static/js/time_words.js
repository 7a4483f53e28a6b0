// An instant in the reader's language and zone: how long ago, at what o'clock, how long from now.
const language = document.documentElement.lang || undefined;
const relative = new Intl.RelativeTimeFormat(language, { numeric: "auto" });
export const exact = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
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

// "12 sec", in steps that don't flicker; a new estimate moves the shown one only a part of the way.
function leftWords(at) {
  const seconds = Math.max(1, (at - Date.now()) / 1000);
  const [unit, size, step] = seconds < 90 ? ["second", 1, seconds < 15 ? 1 : 5] : ["minute", 60, 1];
  const value = Math.ceil(seconds / size / step) * step;
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short" }).format(value);
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

export const WORDS = {
  date: (at) => day.format(at),
  left: leftWords, upcoming: upcomingWords, relative: relativeWords, countdown: countdownWords, clock: clockWords,
};
