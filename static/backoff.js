// Back-off: how long to stay away from a server that just failed.
//
// Full jitter: each delay is uniform between zero and a ceiling that doubles, so that the pages of a restarted
// server do not all return in the same instant. A time that the server advises is waited first and the jitter comes
// on top: every page is advised the same time, and a time of zero must not make a loop without pause.

/** However long a server has been away, ask again after this. */
const CEILING_MS_MAX = 30_000;

/** Failures in a row of one subscriber. */
export class Backoff {
  #failures = 0;
  #firstCeiling_ms;

  constructor(firstCeiling_ms) {
    this.#firstCeiling_ms = firstCeiling_ms;
  }

  /** The server answered: the next failure is a first one. */
  succeeded() {
    this.#failures = 0;
  }

  /** How long to wait after one more failure, ms. It never gives up: whoever has the page open can. */
  failed(advised_ms) {
    const ceiling_ms = Math.min(this.#firstCeiling_ms * 2 ** this.#failures, CEILING_MS_MAX);
    this.#failures += 1;
    return Math.min((advised_ms ?? 0) + Math.random() * ceiling_ms, CEILING_MS_MAX);
  }
}

/** Sleeps; false when it was woken by an abort. */
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
