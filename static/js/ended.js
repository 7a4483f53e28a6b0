// What came to its end where nobody looks: a toast on a page that doesn't show it, and for those who
// asked for it a notification of the browser while the tab is in the background.
const KEY = "notify";
const busy = new Set();
const told = new Map(); // id to when the end last told of came, by the server's clock in seconds
const drawnAt = Number(document.querySelector("[data-live]")?.dataset.liveAt ?? Infinity);
const button = document.querySelector("[data-notify]");

export function ended(old, next) {
  const isBusy = "busy" in next.dataset;
  // A run may begin and end before the stream is open, or between two events of it.
  const endedAt = Number(next.dataset.endedAt ?? 0);
  const wasBusy =
    busy.has(next.id) || (old && "busy" in old.dataset) || endedAt > (told.get(next.id) ?? drawnAt);
  if (isBusy) busy.add(next.id);
  else busy.delete(next.id);
  if (isBusy || !wasBusy) return;
  told.set(next.id, Math.max(endedAt, drawnAt));
  const words = (next.dataset.ended ?? next.dataset.announce)?.trim();
  if (!words) return;
  if (!old) toast(words);
  if (document.hidden && wants()) new Notification(words, { tag: next.id });
}

function toast(words) {
  const shown = document.querySelector("template[data-toast=ended]").content.cloneNode(true);
  shown.querySelector(".toast__words").textContent = words;
  document.querySelector("[data-toasts]").replaceChildren(shown);
}

function wants() {
  try {
    return window.Notification?.permission === "granted" && localStorage.getItem(KEY) === "1";
  } catch {
    return false; // storage is switched off
  }
}

async function ask() {
  if ((await Notification.requestPermission()) !== "granted") return;
  localStorage.setItem(KEY, "1");
  button.hidden = true;
}

if (button && window.Notification && Notification.permission !== "denied" && !wants()) {
  button.hidden = false;
  button.addEventListener("click", ask);
}
