// Two clocks, the browser's and the server's: whether a latency can be told from them, and how late a line was.
//
// The lanes view has one for all lanes. It gets the server's clock from the ledgers. It reads no clock and no element.

import { longSpan, span } from "../figures.js";

/** Above this offset, ms, the difference of two clocks says nothing about latency. */
const OFFSET_MS_MAX = 5;
/** Browsers round their clocks by up to this, ms. */
const ROUNDING_MS = 1;

export class Clocks {
  /** How far the server's clock is ahead, `{ offset_ms, error_ms }`; null while unknown. */
  known = null;
  /** Lines whose time of append lies after their receipt. They have no latency. */
  unfit = 0;

  /** Whether the clocks agree, so that a latency is the time from append to receipt. */
  get isAbsolute() {
    return this.known !== null && Math.abs(this.known.offset_ms) < OFFSET_MS_MAX;
  }

  /** Whether the server's clock is known well enough to tell whether the clocks agree. A look that took long, on a busy
   *  computer, does not tell it; a later one does. */
  get isDecided() {
    if (this.known === null) return false;
    return this.isAbsolute || Math.abs(this.known.offset_ms) - this.known.error_ms >= OFFSET_MS_MAX;
  }

  /** Returns when a line was appended, by the clock of this page, ms since 1970. The clock must be known. */
  appended_ms(at_us) {
    return at_us / 1_000 - this.known.offset_ms;
  }

  /** Returns how late a line came that was received at `wall_ms`, or null when the clocks do not tell. The clock must be
   *  known. */
  latency_ms(at_us, wall_ms) {
    if (!this.isAbsolute) return null;
    const { offset_ms, error_ms } = this.known;
    // An offset within its error may be none: two programs on one machine have one clock.
    const ahead_ms = Math.abs(offset_ms) > error_ms ? offset_ms : 0;
    const latency_ms = wall_ms - (at_us / 1_000 - ahead_ms);
    if (latency_ms < -(error_ms + ROUNDING_MS)) {
      this.unfit += 1;
      return null;
    }
    return Math.max(latency_ms, 0);
  }

  /** Puts the clocks into words. */
  describe() {
    if (this.known === null) return "Clock of the server: unknown. Latency is the time behind the fastest lane.";
    const { offset_ms, error_ms } = this.known;
    const unfit = this.unfit === 0 ? "" : ` ${this.unfit} receipts have no latency: the line's time does not fit the clocks.`;
    return (
      `Clock of the server: ${longSpan(Math.abs(offset_ms))} ${offset_ms < 0 ? "behind" : "ahead"} (± ${span(error_ms)}). ` +
      this.#meaning() +
      unfit
    );
  }

  #meaning() {
    if (this.isAbsolute) return "Latency is receipt − append.";
    if (!this.isDecided) return "Whether the clocks agree is not known yet, so latency is the time behind the fastest lane.";
    return `That is ${OFFSET_MS_MAX} ms or more, so latency is the time behind the fastest lane.`;
  }
}
