// What htmx asks and is answered: lean addresses, nothing swapped that is not the piece asked for,
// and a word when a request came to nothing.
const revision = /data-revision="(\d+)"/;

// Filters that say nothing stay out of the address.
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (!detail.elt.closest("[data-lean]")) return;
  for (const [name, value] of [...detail.formData]) if (!value) detail.formData.delete(name);
});

document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const { target, serverResponse, xhr } = detail;
  const isThePiece = !target.id || serverResponse.includes(`id="${target.id}"`);
  if (!isThePiece && xhr.status === 200) return location.reload(); // led to the sign-in page
  // A refusal that comes as the piece itself says why in its own words.
  detail.shouldSwap &&= isThePiece;
  if (isThePiece && xhr.status >= 400) detail.shouldSwap = true;
  // The stream may have been faster than this answer.
  const [old, next] = [target.dataset.revision, revision.exec(serverResponse)?.[1]];
  if (old && next && Number(next) < Number(old)) detail.shouldSwap = false;
  if (xhr.status >= 400) tell(serverResponse);
});
document.addEventListener("htmx:sendError", () => tell(""));

// A page that refuses says why: its words are the toast's.
function tell(answer) {
  const template = document.querySelector("template[data-toast=failed]");
  const toast = template.content.cloneNode(true);
  const page = new DOMParser().parseFromString(answer, "text/html");
  const why = [...page.querySelectorAll("[data-refusal]")].map(({ textContent }) => textContent);
  if (why.length) toast.querySelector(".toast__words").textContent = why.join(". ");
  document.querySelector("[data-toasts]").replaceChildren(toast);
}

document.addEventListener("click", (event) => {
  event.target.closest("[data-toast-close]")?.closest(".toast").remove();
});
