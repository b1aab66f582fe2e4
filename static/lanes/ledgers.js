// Counts of the server for each lane of this page (requests by outcome, connections, bytes), and the server's clock.
//
// A page cannot see its own bytes and connections. So each lane tags its requests, and the server streams the counts of
// every tag, its ledger, back over a WebSocket. A WebSocket is not one of the six connections of a browser.

import { sleep } from "../backoff.js";
import { wall_ms } from "../clock.js";
import { randomPage } from "../presence.js";
import { hangUp } from "../sockets.js";
import { NO_NETWORK } from "./network.js";

/** How long the page waits after a broken socket. The wait is short, because the figures stand still. It is random,
 *  because many pages reconnect at once. */
const RETRY_MS = { min: 150, max: 450 };
/** A socket that is silent for longer is dead: the page asks for the clock more often than this. */
const SILENCE_MS_MAX = 20_000;
/** How often the page asks for the server's clock, and how many questions it asks each time. */
const CLOCK_MS = 5_000;
const CLOCK_QUESTIONS = 5;
/** How many rounds of questions are kept: half a minute. */
const CLOCK_LOOKS = 6;
/** Two looks that differ by more than this beyond their errors, ms, saw different clocks: one of them was set. Browsers
 *  round their clocks, and clocks drift within half a minute. */
const STEP_MS = 5;
/** How soon the page asks again while it doubts what it knows of the clock, ms. */
const DOUBT_MS = 500;

const COUNTS = ["requests", "data", "empty", "timeout", "refused", "error", "connections", "bytes_up", "bytes_down"];

/** The name by which the server knows these lanes. It changes after each visit, because lanes are then numbered from 1 again. */
let page = randomPage();

export class Ledgers {
  #onLedger;
  #onClock;
  #onStep;
  #onNetwork;
  #abort = null;
  /** The id of the server's ledgers. Ledgers with another id count from zero. */
  #id = null;
  /** For each lane: the counts of earlier ledgers, and the present counts. */
  #lanes = new Map();
  #questions = new Map(); // ref → when the question left
  #refs = 0;
  #looks = [];
  /** What the looks say together; null before the first one. It outlives the socket: a clock may be set while the page is
   *  cut off. */
  #best = null;
  /** The open socket; null while there is none. */
  #socket = null;
  #doubted = -Infinity;

  /**
   * `onLedger(lane, ledger)` gets the sums. `onClock({offset_ms, error_ms})` gets how far the server's clock is ahead
   * of this browser's, or null while that is unknown. `onStep()` says that the server's clock was set, some time since
   * the last look. `onNetwork({delay_ms, jitter_ms, link_kbit_s, silence_s})` gets the link between the server and all
   * clients.
   */
  constructor(onLedger, onClock, onStep, onNetwork) {
    this.#onLedger = onLedger;
    this.#onClock = onClock;
    this.#onStep = onStep;
    this.#onNetwork = onNetwork;
  }

  /** Returns the query parameter that tags the requests of a lane. */
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

  /** Forgets the looks at the server's clock, because this browser's clock jumped, and looks again at once. */
  lookAnew() {
    this.#looks = [];
    this.#best = null;
    this.#questions.clear();
    if (this.#socket !== null) this.#askClock(this.#socket, CLOCK_QUESTIONS);
  }

  /** Looks again soon, because a line does not fit the clock, or too little is known of it. The looks made so far stay. */
  doubt(now) {
    if (this.#socket === null || now - this.#doubted < DOUBT_MS) return;
    this.#doubted = now;
    this.#askClock(this.#socket, CLOCK_QUESTIONS);
  }

  /** Drops the counts of a removed lane. */
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

  /** Opens one socket. Resolves when it has ended. */
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
        this.#socket = null;
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
          // The server tells of a network only if there is one.
          this.#onNetwork(NO_NETWORK);
          this.#socket = socket;
          this.#askClock(socket, CLOCK_QUESTIONS);
        } else if (frame.type === "ledgers") frame.lanes.forEach((ledger) => this.#take(ledger));
        else if (frame.type === "network") this.#onNetwork(frame);
        else if (frame.type === "clock") this.#takeClock(socket, frame);
      });
    });
  }

  /** Keeps the earlier counts when the server counts from zero: it was restarted, or it forgot this page. */
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

  /** Estimates the offset of the clocks like NTP (RFC 5905 §8): the answer left in the middle of the round trip. */
  #takeClock(socket, { ref, at_us }) {
    const question = this.#questions.get(ref);
    if (question === undefined) return;
    const now = wall_ms();
    // The question is gone if this browser's clock has just jumped.
    if (!this.#questions.delete(ref)) return;
    const error_ms = Math.max(now - question.asked, 0) / 2;
    const look = { offset_ms: at_us / 1_000 - (question.asked + now) / 2, error_ms };
    if (this.#best !== null && apart_ms(look, this.#best) > STEP_MS) {
      this.#looks = [];
      this.#onStep();
    }
    this.#looks.push(look);
    this.#looks = this.#looks.slice(-CLOCK_LOOKS * CLOCK_QUESTIONS);
    this.#best = best(this.#looks);
    if (question.left > 0) return this.#askClock(socket, question.left);
    this.#onClock(this.#best);
  }
}

/** Returns what all looks say together: the true offset lies within the error of each (Marzullo 1984). On a busy computer
 *  every answer takes long, but some are slow on their way there and others on their way back. If the looks contradict each
 *  other, because clocks are rounded and drift, the quickest counts. */
function best(looks) {
  const least = Math.max(...looks.map(({ offset_ms, error_ms }) => offset_ms - error_ms));
  const most = Math.min(...looks.map(({ offset_ms, error_ms }) => offset_ms + error_ms));
  if (least <= most) return { offset_ms: (least + most) / 2, error_ms: (most - least) / 2 };
  return looks.reduce((quickest, look) => (look.error_ms < quickest.error_ms ? look : quickest));
}

/** Returns how far two looks are apart beyond their errors, ms. The true offset lies within the error of each. */
function apart_ms(look, other) {
  return Math.abs(look.offset_ms - other.offset_ms) - look.error_ms - other.error_ms;
}

function sum(before, now) {
  const total = { ...now };
  for (const count of COUNTS) total[count] = (before[count] ?? 0) + (now[count] ?? 0);
  return total;
}
