// One EventSource for the page, opened at the revision that the page shows and reopened at the last
// one heard. Browsers allow six connections to an origin, so a hidden tab gives its own back.
import { fallback } from "./fallback.js";
import { show } from "./fragments.js";
import { patience } from "./patience.js";
import { showPreview } from "./preview.js";
import { rosterMoved } from "./roster.js";

const RETRY_MS = 1000;
const RETRY_MAX_MS = 15_000;
const { liveUrl, liveChannel, liveRevision } = document.querySelector("[data-live]").dataset;
let lastId = `${liveChannel}:${liveRevision}`;
let failureCount = 0;
let source, retry;

const REACTIONS = {
  "member-sync": ({ data }) => (show(data), rosterMoved()),
  preview: ({ data }) => showPreview(data),
  "repository-sync": ({ data }) => show(data),
  roster: rosterMoved,
  "stream-open": beCalm,
  "stream-reset": () => (fallback.ask(), rosterMoved()),
  "stream-error": () => (close(), fallback.end("forbidden")),
};

function open() {
  close();
  if (document.hidden || fallback.isOver) return;
  patience.begin(open);
  source = new EventSource(`${liveUrl}?lastEventId=${encodeURIComponent(lastId)}`);
  source.onerror = lost;
  for (const [name, react] of Object.entries(REACTIONS)) {
    source.addEventListener(name, (event) => {
      lastId = event.lastEventId || lastId;
      react(event);
    });
  }
}

function close() {
  source?.close();
  clearTimeout(retry);
}

function beCalm() {
  failureCount = 0;
  patience.rest();
}

// The browser reopens by itself after a cut, but gives up after an HTTP error.
function lost() {
  patience.begin(open);
  if (source.readyState !== EventSource.CLOSED) return;
  fallback.ask(); // a session that ended says so at once
  const pause = Math.min(RETRY_MAX_MS, RETRY_MS * 2 ** failureCount++);
  retry = setTimeout(open, pause * (0.5 + Math.random() / 2));
}

function turn() {
  beCalm();
  if (document.hidden) fallback.later();
  open();
}

document.addEventListener("visibilitychange", turn);
addEventListener("pagehide", close);
addEventListener("pageshow", (event) => event.persisted && turn());
open();
