// The page's clock: the time of day, as precise as the browser allows, and whether it jumped.
//
// `performance.now()` is precise but knows no time of day, and it may stand still while the computer sleeps. `Date.now()`
// knows the time of day, but people and NTP set it. So the page adds the one to an anchor, and anchors anew when the two
// no longer agree. What was measured across a jump is no measurement. This file asks no server.

/** Clocks that differ by more than this, ms, have jumped. It is wider than the coarsest rounding of a browser (100 ms). */
const JUMP_MS = 250;
/** A page that was not asked for the time for longer has slept, ms. Browsers wake a hidden page at least once a minute. */
const SLEEP_MS = 75_000;
/** A browser that takes the start of a page from an old clock is further off than this, ms. */
const OFF_MS = 2;
/** Longest wait for the next tick of `Date.now()`, ms; it has whole milliseconds, or coarser ones. */
const TICK_MS_MAX = 2;

const listeners = new Set();
/** When the time was asked last (performance.now()). */
let asked = performance.now();
/** The time of day minus `performance.now()`, ms. */
let anchor = Math.abs(performance.timeOrigin + asked - Date.now()) > OFF_MS ? anchored() : performance.timeOrigin;

/** Calls `jumped({ isBackward })` when the clock has jumped; `isBackward` says that `performance.now()` itself ran
 *  backwards. Returns a function that ends this. */
export function onJump(jumped) {
  listeners.add(jumped);
  return () => listeners.delete(jumped);
}

/** Looks whether the clock has jumped, and tells the listeners. Returns `performance.now()`. */
export function look() {
  const now = performance.now();
  const isBackward = now < asked;
  const hasJumped = isBackward || now - asked > SLEEP_MS || Math.abs(Date.now() - (anchor + now)) > JUMP_MS;
  asked = now;
  if (hasJumped) {
    anchor = anchored();
    for (const jumped of listeners) jumped({ isBackward });
  }
  return now;
}

/** Returns the time of day, ms since 1970. */
export function wall_ms() {
  const now = look();
  return anchor + now;
}

/** Returns a new anchor. It waits for the tick of `Date.now()`, where the time of day is a whole millisecond. */
function anchored() {
  const [first, end] = [Date.now(), performance.now() + TICK_MS_MAX];
  for (;;) {
    const [day, now] = [Date.now(), performance.now()];
    if (day !== first || now > end) return day - now;
  }
}

// A page that was frozen, or that comes back from the browser's cache, asks at once.
document.addEventListener("resume", look);
addEventListener("pageshow", look);
