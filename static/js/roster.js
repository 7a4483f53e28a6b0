// The table follows the roster at most once a second: `hx-trigger="rollcall:roster from:body"`.
const PAUSE_MS = 1000;
const LOOK_AGAIN_MS = 100;
let timer;
let toldAt = 0;

export function rosterMoved() {
  timer ??= setTimeout(tell, Math.max(0, toldAt + PAUSE_MS - Date.now()));
}

// A menu that is open in the table is not taken away from under the hand, and a table that is on its
// way arrives first: on a slow server it never would if each event called it back.
const NOT_NOW = ".table .menu[open], #member-table.htmx-request";

function tell() {
  timer = document.querySelector(NOT_NOW) ? setTimeout(tell, LOOK_AGAIN_MS) : undefined;
  if (timer) return;
  toldAt = Date.now();
  document.body.dispatchEvent(new CustomEvent("rollcall:roster"));
}
