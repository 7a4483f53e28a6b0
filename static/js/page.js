// Menus, dialogs and "select all": each told by a data attribute, and none of them needed.
import "./requests.js";
import "./selection.js";
import "./times.js";

document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
  const opener = event.target.closest("[data-opens]");
  if (opener) {
    event.preventDefault();
    document.getElementById(opener.dataset.opens).showModal();
  }
  const dialog = event.target.closest("[data-closes]")?.closest("dialog[open]");
  if (dialog) {
    event.preventDefault();
    dialog.close();
  }
});

document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && event.target.closest?.("details.menu[open]");
  if (!menu) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});

// <input type="checkbox" data-selects="repository">: ticks all of that name, and follows them.
function follow(name, isAll) {
  const all = document.querySelector(`[data-selects="${CSS.escape(name)}"]`);
  if (!all) return;
  const boxes = [...document.getElementsByName(name)];
  if (isAll) for (const box of boxes) box.checked = all.checked;
  const count = boxes.filter((box) => box.checked).length;
  all.checked = count > 0 && count === boxes.length;
  all.indeterminate = count > 0 && !all.checked;
}

// Captured, so that who listens for a change finds all of them ticked.
document.addEventListener("change", ({ target }) => {
  follow(target.dataset.selects ?? target.name, "selects" in target.dataset);
}, { capture: true });
function followAll() {
  for (const all of document.querySelectorAll("[data-selects]")) follow(all.dataset.selects);
}
addEventListener("pageshow", followAll);
document.addEventListener("rollcall:ticked", followAll);
