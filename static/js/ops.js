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
  source?.close();
  source = new EventSource(element.dataset.ops);
  source.addEventListener("sample", ({ data }) => (hope(), show(data)));
  source.addEventListener("stream-error", end);
  source.onerror = lost;
}

// The browser reopens by itself after a cut, but gives up after an HTTP error.
function lost() {
  if (source.readyState !== EventSource.CLOSED) return;
  retry = setTimeout(open, RETRY_MS);
  ask(); // who is no operator any more hears it at once
}

// Begin to wait for the next sample.
function hope() {
  say("");
  for (const timer of [patience, polling, retry]) clearTimeout(timer);
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
  source?.close();
  for (const timer of [patience, polling, retry]) clearTimeout(timer);
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
