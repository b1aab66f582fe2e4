// Back-off: how long a page stays away from a server that has just failed.
//
// The jitter is full: each delay is uniform between zero and a ceiling that doubles. So the pages of a restarted server
// do not all return in the same instant. If the server advises a time, the page waits that time first and the jitter
// afterwards. The server advises every page the same time, and an advice of zero must not make a loop without a pause.

/** The longest delay, for a server that has been away for long. */
const CEILING_MS_MAX = 30_000;

/** Counts the failures in a row of one subscriber. */
export class Backoff {
  #failures = 0;
  #firstCeiling_ms;

  constructor(firstCeiling_ms) {
    this.#firstCeiling_ms = firstCeiling_ms;
  }

  /** Starts again after an answer of the server: the next failure is the first one. */
  succeeded() {
    this.#failures = 0;
  }

  /** Counts a failure and returns how long to wait, ms. The page never gives up. */
  failed(advised_ms) {
    const ceiling_ms = Math.min(this.#firstCeiling_ms * 2 ** this.#failures, CEILING_MS_MAX);
    this.#failures += 1;
    return Math.min((advised_ms ?? 0) + Math.random() * ceiling_ms, CEILING_MS_MAX);
  }
}

/** Sleeps. Returns false when `signal` ends the sleep. */
export function sleep(delay_ms, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve(false);
    const wake = () => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", wake);
      resolve(true);
    }, delay_ms);
    signal.addEventListener("abort", wake, { once: true });
  });
}
