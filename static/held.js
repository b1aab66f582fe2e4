// Held requests: how many requests of this browser the server holds open, over all tabs.
//
// Over HTTP/1.1 a browser opens six connections to an origin, and all tabs share them. A held poll or an open stream
// keeps one. When all six are kept, every further request waits in the browser, also that of a button. So the page
// counts them and leaves the last one free. WebSockets are not among the six.
//
// Over HTTP/2 all requests share one connection, and the server allows a hundred at a time. Browsers speak it inside of
// TLS alone.

import { sleep } from "./backoff.js";

/** Connections that current browsers open to one origin over HTTP/1.1. */
export const CONNECTIONS_MAX = 6;
/** Whether this page came over HTTP/2. Its requests go the same way. */
export const IS_MULTIPLEXED = performance.getEntriesByType("navigation")[0]?.nextHopProtocol === "h2";
/** Requests that the server answers at a time on one connection of HTTP/2. */
const STREAMS_MAX = 100;
/** Requests that this browser sends to the server at a time. */
export const REQUESTS_MAX = IS_MULTIPLEXED ? STREAMS_MAX : CONNECTIONS_MAX;
/** From here on the page warns. */
export const HELD_WARN = REQUESTS_MAX - 2;
/** The page keeps no more; the last one is for short polls and buttons. */
const HELD_MAX = REQUESTS_MAX - 1;
/** A tab says once a minute what it holds: browsers may wake hidden tabs only that often. A silent tab is forgotten,
 *  because a tab that crashed says no goodbye. */
const REPEAT_MS = 60_000;
const FORGET_MS = 3 * REPEAT_MS;

/** All tabs hear of a free connection in the same moment. So each tab looks again after a random time up to this, ms,
 *  and hears which tab took the connection before. */
const SPREAD_MS = 200;

const TAB = crypto.getRandomValues(new Uint32Array(2)).join("-");

/** Dispatches `change` when the count of any tab changes. */
export class Held extends EventTarget {
  /** Requests of this tab, and those of other tabs with the time of their last message. */
  #own = 0;
  #others = new Map();
  #channel = new BroadcastChannel("wirelab-held");
  /** The limit of the page. The lesson on the six connections raises it. */
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

  /** Requests of this tab; `all` counts those of every tab. */
  get own() {
    return this.#own;
  }

  get all() {
    return [...this.#others.values()].reduce((sum, { held }) => sum + held, this.#own);
  }

  /** Whether the page may open `more` requests. */
  allows(more) {
    return more === 0 || this.all + more <= this.max;
  }

  /**
   * Waits until the page may open `more` requests, then counts them until `signal` is aborted. Returns false when
   * `signal` is aborted first.
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

  /** Waits until the count changes or `signal` is aborted. */
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

  /** Restores the limit of the page. */
  restore() {
    this.max = HELD_MAX;
  }

  #forget() {
    const silent = [...this.#others].filter(([, { at }]) => performance.now() - at > FORGET_MS);
    for (const [tab] of silent) this.#others.delete(tab);
    if (silent.length > 0) this.dispatchEvent(new Event("change"));
  }

  #say(what) {
    this.#channel.postMessage({ tab: TAB, ...what });
  }

  #hear({ tab, held, asks }) {
    if (held > 0) this.#others.set(tab, { held, at: performance.now() });
    else this.#others.delete(tab);
    if (asks && this.#own > 0) this.#say({ held: this.#own });
    this.dispatchEvent(new Event("change"));
  }
}
