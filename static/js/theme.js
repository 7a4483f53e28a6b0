// The theme that a person chose: set before the first paint, remembered in this browser.
// A classic script on purpose, since a module would run after the first paint.
(() => {
  const root = document.documentElement;
  const KEY = "theme";

  function stored() {
    try {
      return localStorage.getItem(KEY) ?? "system";
    } catch {
      return "system"; // storage is switched off
    }
  }

  function apply(theme) {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-theme-choice]")) {
      button.setAttribute("aria-pressed", String(button.dataset.themeChoice === theme));
    }
  }

  root.dataset.scripted = "";
  apply(stored());
  document.addEventListener("DOMContentLoaded", () => apply(stored()));
  addEventListener("storage", () => apply(stored()));
  document.addEventListener("click", (event) => {
    const choice = event.target.closest("[data-theme-choice]")?.dataset.themeChoice;
    if (!choice) return;
    try {
      localStorage.setItem(KEY, choice);
    } catch {
      // Storage is switched off: the choice holds for this page.
    }
    apply(choice);
  });
})();
