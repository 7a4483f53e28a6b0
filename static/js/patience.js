// How long a page waits for its stream: after ten seconds it says so and asks by itself, and now and
// then tries the stream anew, which a proxy may keep back without a word.
import { fallback } from "./fallback.js";

const PATIENCE_MS = 10_000;
const REOPEN_MS = 20_000;
let timer, reopen;

export const patience = {
  begin(again) {
    reopen = again;
    timer ??= setTimeout(patience.end, PATIENCE_MS);
  },

  end() {
    timer = setTimeout(patience.end, REOPEN_MS);
    fallback.start();
    reopen();
  },

  rest() {
    timer = clearTimeout(timer);
    fallback.stop();
  },
};
