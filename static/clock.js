// The page's clock: the time of day, as precise as the browser allows, and whether it jumped.
//
// `performance.now()` is precise but knows no time of day, and it may stand still while the computer sleeps. `Date.now()`
// knows the time of day, but people and NTP set it. So the page adds the one to an anchor. The anchor follows when the two
// drift apart, as all clocks do. When they part at once, the clock has jumped: what was measured across a jump is no
// measurement. This file asks no server.

/** Clocks that part by more than this between two looks, ms, have jumped. It is wider than the coarsest rounding of a
 *  browser (100 ms). */
const JUMP_MS = 250;
/** A page that was not asked for the time for longer has slept, ms. Browsers wake a hidden page at least once a minute. */
const SLEEP_MS = 75_000;
/** A browser that takes the start of a page from an old clock is further off than this, ms. */
const OFF_MS = 2;
/** Clocks that have drifted further apart than this, ms, get a new anchor. Both are rounded to a millisecond or so. */
const DRIFT_MS = 3;
/** Longest wait for the next tick of `Date.now()`, ms; it has whole milliseconds, or coarser ones. */
const TICK_MS_MAX = 2;
/** Both clocks were read together if it took no longer than this, ms. A busy computer may stop a page between the two. */
const TOGETHER_MS = 1;
/** How often the clocks are read until they were read together. On a computer so busy that none was, the best counts. */
const READS_MAX = 5;

const listeners = new Set();
const first = together();
/** When the time was asked last (performance.now()). */
let asked = first.now;
/** The time of day minus `performance.now()` at the last look, ms. */
let apart = first.apart;
/** The time of day minus `performance.now()`, ms, as precise as it is known. */
let anchor = Math.abs(performance.timeOrigin - apart) > OFF_MS ? anchored() : performance.timeOrigin;

/** Calls `jumped({ isBackward })` when the clock has jumped; `isBackward` says that `performance.now()` itself ran
 *  backwards. Returns a function that ends this. */
export function onJump(jumped) {
  listeners.add(jumped);
  return () => listeners.delete(jumped);
}

/** Looks whether the clock has jumped, and tells the listeners. Returns `performance.now()`. */
export function look() {
  const { now, apart: seen, within_ms } = together();
  const isBackward = now < asked;
  const hasJumped = isBackward || now - asked > SLEEP_MS || Math.abs(seen - apart) > JUMP_MS + within_ms;
  const hasDrifted = Math.abs(seen - anchor) > DRIFT_MS && within_ms <= TOGETHER_MS;
  asked = now;
  if (hasJumped || within_ms <= TOGETHER_MS) apart = seen;
  if (hasJumped || hasDrifted) anchor = anchored();
  if (hasJumped) for (const jumped of listeners) jumped({ isBackward });
  return now;
}

/** Returns the time of day, ms since 1970. */
export function wall_ms() {
  const now = look();
  return anchor + now;
}

/** Reads both clocks: `{ now, apart, within_ms }`, where `apart` is the time of day minus `performance.now()`. It may be
 *  wrong by `within_ms`, the time that the reading took. */
function together() {
  let best = null;
  for (let reads = 0; reads < READS_MAX; reads++) {
    const before = performance.now();
    const day = Date.now();
    const now = performance.now();
    if (best === null || now - before < best.within_ms) best = { now, apart: day - now, within_ms: now - before };
    if (best.within_ms <= TOGETHER_MS) break;
  }
  return best;
}

/** Returns a new anchor. It waits for the tick of `Date.now()`, where the time of day is a whole millisecond. */
function anchored() {
  const start = together();
  const day = (read) => Math.round(read.apart + read.now);
  for (;;) {
    const read = together();
    if (day(read) !== day(start) || read.now > start.now + TICK_MS_MAX) return read.apart;
  }
}

// A page that was frozen, or that comes back from the browser's cache, asks at once.
document.addEventListener("resume", look);
addEventListener("pageshow", look);
