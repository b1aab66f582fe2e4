// Back-off: how long a page stays away from a server that has just failed or asked to be left alone.
//
// wait = advice + a random time between the floor and a ceiling. The ceiling doubles with each wait in a row, and is at
// least the advice. So no page comes back before it was told to, no advice makes a loop without a pause, and pages that
// were told the same time come back spread. `clients/src/backoff.rs` has the same rule, and one table is tried on both.

/** The highest ceiling, for a server that has been away for long. */
const CEILING_MS_MAX = 30_000;
/** The shortest wait. */
const FLOOR_MS = 100;
/** The longest advice that is taken at its word. A longer one counts as this. */
export const ADVICE_MS_MAX = 3_600_000;
/** A stream that said hello and lived for this time works, even if it brought no line. */
const STREAM_LIVED_MS_MIN = 5_000;
/** A long poll whose answer without a line came sooner was not held. */
const HELD_MS_MIN = 250;

/** Whether a refusal passes by itself. Any other refusal is final. */
export function passes(status) {
  return [408, 429, 500, 502, 503, 504, 507].includes(status);
}

/** The wait after `step` others in a row, ms. `drawn` is uniform in 0..1. */
export function waitOf_ms(firstCeiling_ms, step, advised_ms, drawn) {
  const advice_ms = Math.min(advised_ms ?? 0, ADVICE_MS_MAX);
  const own_ms = Math.min(firstCeiling_ms * 2 ** step, CEILING_MS_MAX);
  // All pages that were refused together were told the same time: they are spread over as long again.
  const ceiling_ms = Math.max(own_ms, Math.min(advice_ms, CEILING_MS_MAX));
  const floor_ms = Math.min(FLOOR_MS, ceiling_ms);
  return advice_ms + floor_ms + (ceiling_ms - floor_ms) * drawn;
}

/** Counts the waits in a row of one subscriber. */
export class Backoff {
  #step = 0;
  #greeted = null;
  #firstCeiling_ms;

  constructor(firstCeiling_ms) {
    this.#firstCeiling_ms = firstCeiling_ms;
  }

  /** Notes a good answer or a line: the next wait is short. */
  succeeded() {
    this.#step = 0;
  }

  /** Notes that a stream said hello. Waits still grow until it has brought a line or lived for a while. */
  greeted() {
    this.#greeted = performance.now();
  }

  /** Counts a failure and returns how long to wait, ms: at least as long as the server advised. The page never gives up. */
  failed(advised_ms) {
    if (this.#greeted !== null && performance.now() - this.#greeted >= STREAM_LIVED_MS_MIN) this.#step = 0;
    this.#greeted = null;
    return waitOf_ms(this.#firstCeiling_ms, this.#step++, advised_ms, Math.random());
  }

  /** Returns how long to wait after a long poll without a line, ms: nothing if the server held it and advised nothing. */
  afterNothing(held_ms, hold_ms, advised_ms) {
    const wasHeld = held_ms >= Math.min(HELD_MS_MIN, hold_ms / 2);
    if (wasHeld) this.#step = 0;
    return wasHeld && advised_ms === undefined ? 0 : this.failed(advised_ms);
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
