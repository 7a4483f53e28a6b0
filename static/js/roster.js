// The table follows the roster at most once a second: `hx-trigger="rollcall:roster from:body"`.
const PAUSE_MS = 1000;
let timer;
let toldAt = 0;

export function rosterMoved() {
  timer ??= setTimeout(tell, Math.max(0, toldAt + PAUSE_MS - Date.now()));
}

// A menu that is open in the table is not taken away from under the hand.
function tell() {
  timer = document.querySelector(".table .menu[open]") ? setTimeout(tell, PAUSE_MS) : undefined;
  if (timer) return;
  toldAt = Date.now();
  document.body.dispatchEvent(new CustomEvent("rollcall:roster"));
}
