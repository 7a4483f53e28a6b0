// The operators' dashboard, live: a sample a second while it is looked at. Ten seconds without one,
// and the page says so and asks by itself until the stream is back.
import { show } from "./morph.js";

const PATIENCE_MS = 10_000;
const POLL_MS = 5000;
const RETRY_MS = 3000;
const POLLS_A_REOPENING = 4; // a proxy may hold a stream back without a word
const element = document.querySelector("[data-ops]");
let source, patience, polling, retry;

function say(what) {
  element.hidden = !what;
  for (const each of element.querySelectorAll("[data-ops-say]")) each.hidden = each.dataset.opsSay !== what;
}

function open() {
  close();
  source = new EventSource(element.dataset.ops);
  source.addEventListener("sample", ({ data }) => (hope(), show(data)));
  source.addEventListener("stream-error", end);
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(open, RETRY_MS);
  };
}

function close() {
  source?.close();
  clearTimeout(retry);
}

// Begin to wait for the next sample.
function hope() {
  say("");
  [clearInterval(polling), clearTimeout(patience)];
  patience = setTimeout(fallBack, PATIENCE_MS);
}

function fallBack() {
  let count = 0;
  say("paused");
  ask();
  polling = setInterval(() => (ask(), ++count % POLLS_A_REOPENING || open()), POLL_MS);
}

async function ask() {
  const answer = await fetch(element.dataset.opsFallback, { redirect: "manual" }).catch(() => null);
  if (answer?.status === 404) end();
  else if (answer?.ok) show(await answer.text());
}

function rest() {
  close();
  [clearInterval(polling), clearTimeout(patience)];
}

function end() {
  rest();
  document.removeEventListener("visibilitychange", turn);
  say("ended");
}

function turn() {
  rest();
  if (!document.hidden) [hope(), open()];
}

document.addEventListener("visibilitychange", turn);
addEventListener("pagehide", rest);
addEventListener("pageshow", (event) => event.persisted && turn());
turn();
