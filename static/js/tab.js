// What a tab in the background says of the sync: before its title, and as its icon.
const title = document.title;
const icon = document.querySelector("link[rel=icon]");
const usual = icon?.href;

export function retitle() {
  const fragment = document.querySelector("[data-title]");
  const state = document.hidden && fragment?.dataset.title.trim();
  document.title = state ? `${state} ${title}` : title;
  if (icon) icon.href = state ? usual.replace(/favicon(\.[^.]+)?\.svg/, fragment.dataset.icon) : usual;
}

document.addEventListener("visibilitychange", retitle);
