// Following one deployment: the log so far by the regular API, then live over a transport, from one cursor.
//
// Knows no transport by name and no element of the page. The cursor is the only thing that history, transports
// and reconnects share, so nothing is lost or shown twice between them; every line's number is checked anyway.

import { Backoff, sleep } from "./backoff.js";
import { refusalOf } from "./refusal.js";
import { Wire } from "./wire.js";

const ANSWER_TIMEOUT_MS = 10_000;
const FIRST_CEILING_MS = 500;

/** What a transport may be told to do otherwise, while it runs. */
export const SETTINGS = {
  /** From one short poll to the next. */
  interval_ms: 1_000,
  /** How long the server may hold a long poll. Proxies commonly cut at 60 s. */
  hold_s: 25,
};

/** Epoch and number of a cursor: `k3x9.42`. */
function parts(cursor) {
  const [epoch, seq] = cursor.split(".");
  return { epoch, seq: Number(seq) };
}

export class Follower {
  /** queued, connecting, live, reconnecting, finished, gap, deleted, missing, refused or disconnected. */
  state = "disconnected";
  /** The state in words, for people. */
  detail = "";
  /** What was seen last; null before the first answer. */
  cursor = null;
  counts = { history: 0, live: 0, lost: 0, repeated: 0 };
  /** When the connection became live (performance.now()), and how long that took, ms; null while it is not. */
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
  /** The number the next line must have; null when any may come. */
  #expected = null;
  /** The earliest cursor that still works, after a gap. */
  #earliest = null;

  /**
   * `page` is told what happens: `lines(lines, origin)`, `note(text)`, `skipped(count)`, `restarted()`, `changed()`.
   * `held` counts the requests that the server holds open. `target` has what each request carries besides (`query`,
   * such as `&lane=k3x9.1`), the `settings` and the `wire`.
   */
  constructor(path, page, held, { query = "", settings = SETTINGS, wire = new Wire() } = {}) {
    this.#paths = { deployment: path, lines: `${path}/lines` };
    this.#page = page;
    this.#held = held;
    this.#target = { query, settings, wire };
  }

  /** Whether the server has no such deployment, or none any more. */
  get isGone() {
    return this.state === "deleted" || this.state === "missing";
  }

  /** Whether something is under way that `disconnect` would end. */
  get isActive() {
    return this.#abort !== null;
  }

  /** Whether the connection carries commands now: ping, publish, pause, resume. */
  get canCommand() {
    return this.state === "live" && this.#subscription?.ping !== undefined;
  }

  /** Reads what is left of the log so far (at most its newest `linesMax`), then follows over the transport. */
  async connect(transport, half, linesMax) {
    this.#stop();
    this.#skipGap();
    const abort = (this.#abort = new AbortController());
    if (!(await this.#admitted(half.heldRequests, abort.signal)) || abort.signal.aborted) return;
    this.#set("connecting", "");
    if (!this.#historyIsRead && !(await this.#readHistory(linesMax, abort.signal))) return;
    this.#subscribe(transport, half, abort);
  }

  /** Waits until the browser has a connection left for what the server will hold; false when we left meanwhile. */
  async #admitted(requests, signal) {
    if (!this.#held.allows(requests)) {
      this.#set("queued", "Waits: the browser's connections to this server are all but used up.");
    }
    return this.#held.take(requests, signal);
  }

  disconnect() {
    this.#stop();
    this.#set("disconnected", "");
  }

  /** Asks for a pong; `onPong` is told the round trip, ms, or null when the connection ended before. */
  ping(onPong) {
    this.#subscription.ping(onPong);
  }

  /** Appends a line over the connection; `onAnswer` is told why not, or null. */
  publish(text, onAnswer) {
    this.#subscription.publish(text, onAnswer);
  }

  pause() {
    this.#subscription.pause();
  }

  resume() {
    this.#subscription.resume();
  }

  /** Counts from zero; position and order go on. */
  resetCounts() {
    this.counts = { history: 0, live: 0, lost: 0, repeated: 0 };
  }

  #subscribe(transport, half, abort) {
    this.#connectStarted = performance.now();
    this.#page.note(`${transport.name}, after ${this.cursor}`);
    // What an older subscription still had in its queue is not ours any more.
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
      // A log that grows faster than it is read must not keep us here: what came since is the transport's.
      if (!answer.json.more || parts(this.cursor).seq >= goal) {
        this.#historyIsRead = true;
        return true;
      }
    }
  }

  /** Of a long log only the newest lines are asked for: a cursor is an epoch and a number, so it can be made. */
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

  /** What a transport says of its connection. */
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
        return this.#set("finished", "The log is over, and all of it is here.");
      case "gap":
        this.#stop();
        this.#earliest = info.earliest ?? null;
        return this.#set(
          "gap",
          `The lines after ${this.cursor} are gone; the server has those after ${info.earliest}. ` +
            "Connect goes on from there.",
        );
      case "deleted":
        this.#stop();
        // Who has seen nothing of it cannot tell whether it ever was.
        return this.#set(this.cursor === null ? "missing" : "deleted", info.detail ?? "The deployment was deleted.");
      default:
        this.#stop();
        return this.#set("refused", info.detail);
    }
  }

  /** After a gap: on from the earliest line there is, or from the start when the log is another one. */
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
