// Following one deployment: first its history by the regular API, then live lines over a transport, from one cursor.
//
// A cursor is a position in the log. History, transports and reconnects share only the cursor, so no line is lost or
// shown twice between them; the number of every line is checked nevertheless. This file names no transport and touches
// no element of the page.

import { Backoff, sleep } from "./backoff.js";
import { refusalOf } from "./refusal.js";
import { Wire } from "./wire.js";

const ANSWER_TIMEOUT_MS = 10_000;
const FIRST_CEILING_MS = 500;

/** Settings that may change while a transport runs. */
export const SETTINGS = {
  /** Time from one short poll to the next. */
  interval_ms: 1_000,
  /** How long the server may hold a long poll. Many proxies cut at 60 s. */
  hold_s: 25,
};

/** Splits a cursor such as `k3x9.42` into epoch and number. */
function parts(cursor) {
  const [epoch, seq] = cursor.split(".");
  return { epoch, seq: Number(seq) };
}

export class Follower {
  /** queued, connecting, live, reconnecting, finished, gap, deleted, missing, refused or disconnected. */
  state = "disconnected";
  /** Explains the state to the visitor. */
  detail = "";
  /** Position after the last line seen; null before the first answer. */
  cursor = null;
  counts = { history: 0, live: 0, lost: 0, repeated: 0 };
  /** When the connection became live (performance.now()), and how long connecting took, ms; null while it is not live. */
  liveSince = null;
  connected_ms = null;

  #paths;
  #page;
  #held;
  #target;
  #abort = null;
  #subscription = null;
  #connectStarted = 0;
  #historyIsRead = false;
  /** The number that the next line must have; null when any number may come. */
  #expected = null;
  /** The earliest cursor that still works, after a gap. */
  #earliest = null;

  /**
   * The follower calls `page`: `lines(lines, origin)`, `note(text)`, `skipped(count)`, `restarted()`, `changed()`.
   * `held` counts the requests that the server holds open. `query` is added to each request (`&lane=k3x9.1`). The last
   * parameter also has the `settings` and the `wire`.
   */
  constructor(path, page, held, { query = "", settings = SETTINGS, wire = new Wire() } = {}) {
    this.#paths = { deployment: path, lines: `${path}/lines` };
    this.#page = page;
    this.#held = held;
    this.#target = { query, settings, wire };
  }

  /** Whether the server has no such deployment: it was deleted, or it never existed. */
  get isGone() {
    return this.state === "deleted" || this.state === "missing";
  }

  /** Whether the follower runs, so that `disconnect` has something to end. */
  get isActive() {
    return this.#abort !== null;
  }

  /** Whether the connection takes commands now: ping, publish, pause, resume. */
  get canCommand() {
    return this.state === "live" && this.#subscription?.ping !== undefined;
  }

  /** Reads the unread history (at most the newest `linesMax` lines), then follows over the transport. */
  async connect(transport, half, linesMax) {
    this.#stop();
    this.#skipGap();
    const abort = (this.#abort = new AbortController());
    if (!(await this.#admitted(half.heldRequests, abort.signal)) || abort.signal.aborted) return;
    this.#set("connecting", "");
    if (!this.#historyIsRead && !(await this.#readHistory(linesMax, abort.signal))) return;
    this.#subscribe(transport, half, abort);
  }

  /** Waits until the browser has a connection left for the held requests. Returns false after `disconnect`. */
  async #admitted(requests, signal) {
    if (!this.#held.allows(requests)) {
      this.#set("queued", "Waiting: the browser has no free connection to this server. Close tabs or disconnect lanes.");
    }
    return this.#held.take(requests, signal);
  }

  disconnect() {
    this.#stop();
    this.#set("disconnected", "");
  }

  /** Asks for a pong. `onPong` gets the round trip, ms, or null when the connection ends first. */
  ping(onPong) {
    this.#subscription.ping(onPong);
  }

  /** Appends a line over the connection. `onAnswer` gets the reason for a refusal, or null. */
  publish(text, onAnswer) {
    this.#subscription.publish(text, onAnswer);
  }

  pause() {
    this.#subscription.pause();
  }

  resume() {
    this.#subscription.resume();
  }

  /** Sets all counts to zero but that of the history. Cursor and expected number stay. */
  resetLive() {
    this.counts = { history: this.counts.history, live: 0, lost: 0, repeated: 0 };
  }

  /** Sets the counts to zero. Cursor and expected number stay. */
  resetCounts() {
    this.counts = { history: 0, live: 0, lost: 0, repeated: 0 };
  }

  #subscribe(transport, half, abort) {
    this.#connectStarted = performance.now();
    this.#page.note(`${transport.name}, after ${this.cursor}`);
    // Late events of an older subscription are ignored.
    const current = (act) => (argument, more) => !abort.signal.aborted && act(argument, more);
    const deployment = this.#paths.deployment.split("/").at(-1);
    const target = {
      ...this.#target,
      deployment,
      path: transport.path.replace("{id}", deployment),
      linesPath: this.#paths.lines,
      from: this.cursor,
      onState: current((state, info) => this.#onState(state, info ?? {})),
    };
    this.#subscription = half.subscribe(
      target,
      current((batch) => this.#take(batch, "live")),
    );
  }

  async #readHistory(linesMax, signal) {
    const backoff = new Backoff(FIRST_CEILING_MS);
    let goal = null;
    for (;;) {
      const answer = await this.#ask(goal === null ? this.#paths.deployment : this.#nextPage(), signal);
      if (signal.aborted) return false;
      if (answer.state === "later") {
        const wait_ms = backoff.failed(answer.advised_ms);
        this.#onState("reconnecting", { detail: answer.detail, wait_ms });
        await sleep(wait_ms, signal);
        if (signal.aborted) return false;
        continue;
      }
      if (answer.state !== "answered") {
        this.#onState(answer.state, answer);
        return false;
      }
      backoff.succeeded();
      if (goal === null) {
        goal = parts(answer.json.next).seq;
        this.#start(answer.json, linesMax);
        continue;
      }
      this.#take(answer.json, "history");
      if (answer.json.finished) return false;
      // A log may grow faster than it is read. So history ends at the goal, and later lines come over the transport.
      if (!answer.json.more || parts(this.cursor).seq >= goal) {
        this.#historyIsRead = true;
        return true;
      }
    }
  }

  /** Skips the older lines of a long log. A cursor is an epoch and a number, so the page can make one. */
  #start({ first, next }, linesMax) {
    const { epoch, seq } = parts(next);
    if (this.cursor === null && seq > parts(first).seq) this.#page.note("history, by the regular API");
    const skipped = seq - parts(first).seq - linesMax;
    if (this.cursor !== null || skipped <= 0) return;
    this.cursor = `${epoch}.${seq - linesMax}`;
    this.#page.skipped(skipped);
  }

  #nextPage() {
    return this.cursor === null ? this.#paths.lines : `${this.#paths.lines}?from=${this.cursor}`;
  }

  async #ask(path, signal) {
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]);
      const response = await fetch(path, { cache: "no-store", signal: limit });
      return response.ok ? { state: "answered", json: await response.json() } : await refusalOf(response);
    } catch (error) {
      return { state: "later", detail: `no answer: ${error.message}` };
    }
  }

  #take(batch, origin) {
    for (const { seq } of batch.lines) {
      if (this.#expected !== null && seq < this.#expected) this.counts.repeated += 1;
      if (this.#expected !== null && seq > this.#expected) this.counts.lost += seq - this.#expected;
      this.#expected = Math.max(seq + 1, this.#expected ?? 0);
    }
    this.counts[origin] += batch.lines.length;
    this.cursor = batch.next;
    if (batch.lines.length > 0) this.#page.lines(batch.lines, origin);
    if (batch.finished) this.#onState("finished", {});
    else this.#page.changed();
  }

  /** Takes what a transport reports about its connection. */
  #onState(state, info) {
    switch (state) {
      case "live":
        if (this.state === "live") return;
        this.liveSince = performance.now();
        this.connected_ms = this.liveSince - this.#connectStarted;
        return this.#set("live", "");
      case "reconnecting": {
        const wait = info.wait_ms === undefined ? "" : `; next try in ${(info.wait_ms / 1_000).toFixed(1)} s`;
        this.#connectStarted = performance.now();
        return this.#set("reconnecting", `${info.detail}${wait}`);
      }
      case "finished":
        this.#historyIsRead = true;
        this.#stop();
        return this.#set("finished", "The log is finished: no more lines come.");
      case "gap":
        this.#stop();
        this.#earliest = info.earliest ?? null;
        return this.#set(
          "gap",
          `The server does not have the lines after ${this.cursor} any more. It has those after ${info.earliest}. ` +
            "Connect goes on there.",
        );
      case "deleted":
        this.#stop();
        // A lane without a cursor cannot tell whether the deployment ever existed.
        return this.#set(this.cursor === null ? "missing" : "deleted", info.detail ?? "The deployment was deleted.");
      default:
        this.#stop();
        return this.#set("refused", info.detail);
    }
  }

  /** Goes on after a gap: from the earliest line that is kept, or from the start of a new log. */
  #skipGap() {
    if (this.#earliest === null) return;
    const [earliest, seen] = [parts(this.#earliest), parts(this.cursor)];
    this.#earliest = null;
    if (earliest.epoch === seen.epoch && earliest.seq > seen.seq) {
      this.#page.note(`lines ${seen.seq + 1} to ${earliest.seq} are gone`);
      this.cursor = `${earliest.epoch}.${earliest.seq}`;
      this.#expected = earliest.seq + 1;
    } else {
      this.cursor = this.#expected = null;
      this.#historyIsRead = false;
      this.#page.restarted();
    }
  }

  #stop() {
    this.#abort?.abort();
    this.#subscription?.unsubscribe();
    this.#abort = this.#subscription = null;
  }

  #set(state, detail) {
    if (state !== "live") this.liveSince = this.connected_ms = null;
    this.state = state;
    this.detail = detail;
    this.#page.changed();
  }
}
