// A preview that is over has a list to show, which only the whole page holds.
import { show } from "./fragments.js";

const isBusy = () => document.querySelector("[data-reload-when-over] [data-busy]");

export function showPreview(html) {
  const wasBusy = isBusy();
  show(html);
  if (wasBusy && !isBusy()) location.reload();
}
