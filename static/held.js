// The requests that this browser has the server hold open, over all its tabs.
//
// Over HTTP/1.1 a browser opens six connections to an origin, and all tabs share them. A held poll or an open
// stream keeps one; when all six are kept, every further request waits in the browser, buttons included. So they
// are counted, and the page stops before the last ones. WebSockets are not among the six.

import { sleep } from "./backoff.js";

/** What current browsers open to one origin over HTTP/1.1. */
export const CONNECTIONS_MAX = 6;
/** From here on the page warns. */
export const HELD_WARN = 4;
/** The page opens no more: what is left is for short polls and buttons. */
const HELD_MAX = CONNECTIONS_MAX - 1;
/** How often a tab says again what it holds, and when it is forgotten: a tab that crashed says no goodbye. Hidden
 *  tabs may be woken once a minute only. */
const REPEAT_MS = 60_000;
const FORGET_MS = 3 * REPEAT_MS;

/** Within this, those that waited for a connection look again, ms: each tab hears that one is free in the same moment, and
 *  whoever takes it needs a few to be heard. */
const SPREAD_MS = 200;

const TAB = crypto.getRandomValues(new Uint32Array(2)).join("-");

/** Dispatches `change` when the count of any tab did. */
export class Held extends EventTarget {
  /** Requests of this tab, and of the others with the time they said so. */
  #own = 0;
  #others = new Map();
  #channel = new BroadcastChannel("wirelab-held");
  /** Above this none is opened. The lesson on the six connections lifts it. */
  max = HELD_MAX;

  constructor() {
    super();
    this.#channel.addEventListener("message", ({ data }) => this.#hear(data));
    addEventListener("pagehide", () => this.#say({ held: 0 }));
    addEventListener("pageshow", () => this.#say({ held: this.#own, asks: true }));
    setInterval(() => {
      this.#say({ held: this.#own });
      this.#forget();
    }, REPEAT_MS);
    this.#say({ held: 0, asks: true });
  }

  /** Requests held by this tab, and by all. */
  get own() {
    return this.#own;
  }

  get all() {
    return [...this.#others.values()].reduce((sum, { held }) => sum + held, this.#own);
  }

  /** Whether `more` may be opened. */
  allows(more) {
    return more === 0 || this.all + more <= this.max;
  }

  /**
   * Waits until `more` may be opened and counts them, until `signal` gives them back. False when it came before.
   */
  async take(more, signal) {
    while (!this.allows(more)) {
      await this.#change(signal);
      if (!(await sleep(Math.random() * SPREAD_MS, signal))) return false;
    }
    if (more === 0 || signal.aborted) return !signal.aborted;
    this.#add(more);
    signal.addEventListener("abort", () => this.#add(-more), { once: true });
    return true;
  }

  /** Waits until the count changed, or `signal` is aborted. */
  async #change(signal) {
    const awake = new AbortController();
    await new Promise((wake) => {
      const once = { once: true, signal: awake.signal };
      this.addEventListener("change", wake, once);
      signal.addEventListener("abort", wake, once);
    });
    awake.abort();
  }

  #add(change) {
    this.#own += change;
    this.#say({ held: this.#own });
    this.dispatchEvent(new Event("change"));
  }

  /** The limit as it was. */
  restore() {
    this.max = HELD_MAX;
  }

  #forget() {
    const silent = [...this.#others].filter(([, { at }]) => Date.now() - at > FORGET_MS);
    for (const [tab] of silent) this.#others.delete(tab);
    if (silent.length > 0) this.dispatchEvent(new Event("change"));
  }

  #say(what) {
    this.#channel.postMessage({ tab: TAB, ...what });
  }

  #hear({ tab, held, asks }) {
    if (held > 0) this.#others.set(tab, { held, at: Date.now() });
    else this.#others.delete(tab);
    if (asks && this.#own > 0) this.#say({ held: this.#own });
    this.dispatchEvent(new Event("change"));
  }
}
