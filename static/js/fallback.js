// What a page does while no stream is open: it says so, and asks for the fragments itself. A hidden
// tab, which has given its stream back, asks seldom and only while a sync runs: for the tab's title.
import { show } from "./fragments.js";

const POLL_MS = 3000;
const POLL_HIDDEN_MS = 10_000;
const ENDED = [401, 403, 404];
const element = document.querySelector("[data-live]");
let timer;
let round = 0;

// Says one of the page's own sentences (`[data-live-say]`), or none.
function say(what) {
  element.hidden = !what;
  for (const sentence of element.querySelectorAll("[data-live-say]")) {
    sentence.hidden = sentence.dataset.liveSay !== what;
  }
}

export const fallback = {
  isOver: false,

  async start() {
    const mine = ++round;
    if (!document.hidden) say("paused");
    await fallback.ask();
    if (mine === round) fallback.later();
  },

  later() {
    if (fallback.isOver || (document.hidden && !document.querySelector("[data-busy]"))) return;
    timer = setTimeout(fallback.start, document.hidden ? POLL_HIDDEN_MS : POLL_MS);
  },

  stop() {
    round++;
    clearTimeout(timer);
    if (!fallback.isOver) say("");
  },

  end(why) {
    fallback.isOver = true;
    fallback.stop();
    say(why);
  },

  async ask() {
    const headers = { Accept: "text/html", "HX-Request": "true" };
    try {
      const answer = await fetch(element.dataset.liveFallback, { headers, redirect: "manual" });
      if (answer.type === "opaqueredirect" || ENDED.includes(answer.status)) fallback.end("ended");
      else if (answer.ok) show(await answer.text());
    } catch {
      // The network is away; the next poll asks again.
    }
  },
};
