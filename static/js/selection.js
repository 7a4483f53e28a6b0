// People stay ticked while their table is replaced, sorted, filtered and turned over: the keys are
// kept for this tab, and sent along in one field. `<form data-selection="member">` is the bar.
const KEY = `selection:${location.pathname.replace(/switch\/$/, "")}`;
const bar = () => document.querySelector("[data-selection]");
const boxes = () => document.querySelectorAll(`input[name="${bar().dataset.selection}"]`);
const keys = new Set(stored());

function stored() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY)) ?? [];
  } catch {
    return []; // storage is switched off
  }
}

function show() {
  if (!bar()) return;
  bar().toggleAttribute("data-selected", keys.size > 0);
  bar().querySelector("[data-selection-ids]").value = [...keys].join();
  bar().querySelector("[data-selection-count]").textContent = keys.size.toLocaleString();
  try {
    sessionStorage.setItem(KEY, JSON.stringify([...keys]));
  } catch {
    // Storage is switched off: the selection holds for this page.
  }
}

function take() {
  for (const box of boxes()) keys[box.checked ? "add" : "delete"](box.value);
  show();
}

function tick() {
  if (!bar()) return;
  for (const box of boxes()) box.checked = keys.has(box.value);
  show();
  document.dispatchEvent(new Event("rollcall:ticked"));
}

// At once: the page may be shown, or its table arrive, before a later task would have its turn.
document.addEventListener("change", ({ target }) => {
  if (target.closest("[data-selects]") || target.name === bar()?.dataset.selection) take();
});
document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-selection-clear]")) return;
  keys.clear();
  sessionStorage.removeItem(KEY);
  if (bar()) tick();
});
// Who was ticked before this script was there, or is so again on the way back, counts.
if (bar()) for (const box of boxes()) if (box.checked) keys.add(box.value);
document.addEventListener("htmx:afterSettle", tick);
addEventListener("pageshow", tick);
