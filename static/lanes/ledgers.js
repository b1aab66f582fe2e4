// What the server counted for each lane of this page: requests by outcome, connections, bytes; and its clock.
//
// A page cannot see its own bytes and connections. Each lane tags its requests, and the server streams the ledger
// of every tag back, over a WebSocket: that takes none of the six connections that the page is about.

import { sleep } from "../backoff.js";
import { hangUp } from "../sockets.js";

/** How long after a socket that broke the next one is tried. Soon: figures stand still until then. Apart, since many
 *  pages do. */
const RETRY_MS = { min: 150, max: 450 };
/** A socket without a word for this long is dead: the clock is asked more often. */
const SILENCE_MS_MAX = 20_000;
/** How often the server's clock is looked at, and how many questions that takes: the quickest answer counts. */
const CLOCK_MS = 5_000;
const CLOCK_QUESTIONS = 5;
/** Of the last looks the quickest answer is believed: half a minute of them. */
const CLOCK_LOOKS = 6;

const COUNTS = ["requests", "data", "empty", "timeout", "refused", "error", "connections", "bytes_up", "bytes_down"];

/** Names this page among all that the server knows. */
const randomPage = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => (byte % 36).toString(36)).join("");

/** Another one after each visit: lanes are numbered from 1 again, and what their namesakes asked is not theirs. */
let page = randomPage();

/** Wall clock of this browser, ms, as finely as it tells. */
export function wall_ms() {
  return performance.timeOrigin + performance.now();
}

export class Ledgers {
  #onLedger;
  #onClock;
  #abort = null;
  /** The id of the server's ledgers; others count from zero. */
  #id = null;
  /** Per lane: what earlier ledgers counted, and what the present one does. */
  #lanes = new Map();
  #questions = new Map(); // ref → when it was asked
  #refs = 0;
  #looks = [];

  /**
   * `onLedger(lane, ledger)` is told the sums; `onClock({offset_ms, error_ms})` how far the server's clock is ahead
   * of ours, or null while that is not known.
   */
  constructor(onLedger, onClock) {
    this.#onLedger = onLedger;
    this.#onClock = onClock;
  }

  /** What a lane's requests carry in their query. */
  static query(lane) {
    return `&lane=${page}.${lane}`;
  }

  /** Follows the ledgers until `close`. */
  open() {
    this.#abort = new AbortController();
    this.#follow(this.#abort.signal);
  }

  close() {
    this.#abort?.abort();
    page = randomPage();
  }

  /** A lane that is gone is not counted on. */
  forget(lane) {
    this.#lanes.delete(lane);
  }

  async #follow(signal) {
    const retry_ms = () => RETRY_MS.min + Math.random() * (RETRY_MS.max - RETRY_MS.min);
    do {
      await this.#connect(signal);
      this.#looks = [];
      if (!signal.aborted) this.#onClock(null);
    } while (await sleep(retry_ms(), signal));
  }

  /** One socket, to its end. */
  #connect(signal) {
    return new Promise((ended) => {
      const url = new URL(`/api/lanes/${page}`, location.href);
      url.protocol = url.protocol.replace("http", "ws");
      const socket = new WebSocket(url);
      let watchdog = setTimeout(() => end(), SILENCE_MS_MAX);
      const clock = setInterval(() => this.#askClock(socket, CLOCK_QUESTIONS), CLOCK_MS);
      const end = () => {
        clearTimeout(watchdog);
        clearInterval(clock);
        signal.removeEventListener("abort", end);
        hangUp(socket);
        ended();
      };
      signal.addEventListener("abort", end, { once: true });
      socket.addEventListener("close", end);
      socket.addEventListener("message", ({ data }) => {
        if (signal.aborted) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(end, SILENCE_MS_MAX);
        const frame = JSON.parse(data);
        if (frame.type === "hello") {
          this.#meet(frame.ledgers);
          this.#askClock(socket, CLOCK_QUESTIONS);
        } else if (frame.type === "ledgers") frame.lanes.forEach((ledger) => this.#take(ledger));
        else if (frame.type === "clock") this.#takeClock(socket, frame);
      });
    });
  }

  /** A server that was restarted, or forgot this page, counts from zero: what was counted before is kept. */
  #meet(id) {
    if (this.#id !== null && this.#id !== id) {
      for (const lane of this.#lanes.values()) {
        lane.before = sum(lane.before, lane.now);
        lane.now = {};
      }
    }
    this.#id = id;
  }

  #take(ledger) {
    const lane = this.#lanes.get(ledger.lane) ?? { before: {}, now: {} };
    lane.now = ledger;
    this.#lanes.set(ledger.lane, lane);
    this.#onLedger(ledger.lane, sum(lane.before, ledger));
  }

  #askClock(socket, questions) {
    if (socket.readyState !== WebSocket.OPEN) return;
    const ref = ++this.#refs;
    this.#questions.clear();
    this.#questions.set(ref, { asked: wall_ms(), left: questions - 1 });
    socket.send(JSON.stringify({ type: "clock", ref }));
  }

  /** As NTP does (RFC 5905 §8): the answer is taken to be from the middle of its round trip. */
  #takeClock(socket, { ref, at_us }) {
    const question = this.#questions.get(ref);
    if (question === undefined) return;
    const now = wall_ms();
    const error_ms = (now - question.asked) / 2;
    this.#looks.push({ offset_ms: at_us / 1_000 - (question.asked + now) / 2, error_ms });
    if (question.left > 0) return this.#askClock(socket, question.left);
    this.#looks = this.#looks.slice(-CLOCK_LOOKS * CLOCK_QUESTIONS);
    this.#onClock(this.#looks.reduce((best, look) => (look.error_ms < best.error_ms ? look : best)));
  }
}

function sum(before, now) {
  const total = { ...now };
  for (const count of COUNTS) total[count] = (before[count] ?? 0) + (now[count] ?? 0);
  return total;
}
