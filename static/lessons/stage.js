// The stage of a lesson: it creates deployments, opens lanes, and lets time pass.
//
// When the visitor leaves the lesson, the stage deletes everything that the lesson made on the server. A server that is
// away does not end a lesson: the stage says so, waits and goes on.

import { Backoff, sleep } from "../backoff.js";
import { Refused, call } from "../call.js";
import { look, onJump } from "../clock.js";
import { endingWithPage, randomPage } from "../presence.js";
import { problemOf } from "../refusal.js";

/** How long the stage tries to delete a lesson on a server that is away, and the ceiling of its first wait. */
const TIDY_MS_MAX = 60_000;
const TIDY_FIRST_MS = 500;
/** How long lines may take to be appended. */
const PUBLISH_MS_MAX = 10_000;
/** How long lanes may take to connect. A short poll is live after at most one interval, 10 s. */
const READY_S_MAX = 20;
/** How long the server may take to send its clock and its first counts. */
const COUNTED_S_MAX = 5;
/** How often a condition is checked. */
const LOOK_MS = 100;
/** How long a lesson waits for a server that is away: the longest outage of the lab (30 s), the longest wait of a lane
 *  after it (30 s), and time to spare. */
const AWAY_S_MAX = 90;
/** The longest wait before the stage asks a server again that was away. */
const AGAIN_MS_MAX = 2_000;
/** Exchanges that are timed. Their median hardly depends on the slowest. */
const EXCHANGES = 15;

export class Stage {
  view;
  say;
  #signal;
  #made = [];
  /** Lanes of the measurement. */
  #measured = [];
  /** Positions of sliders and timeline before the lesson; null after they are restored. */
  #before;
  /** Tells the visitor whether the server is away. */
  #away;
  /** Whether a call of the stage itself found the server away. */
  #isUnanswered = false;
  /** Whether the lesson cuts the connections itself. Then lanes that are away are no news. */
  #expectsOutage = false;
  /** Whether the server was away during the lesson. */
  wasAway = false;
  /** Whether this browser's clock jumped during the lesson, and what ends the watch. */
  #hasJumped = false;
  #unwatch;

  /** `view` shows the lanes. `say(text, left)` tells the visitor what happens, `away(isAway)` whether the server is away.
   *  `signal` ends the lesson. */
  constructor(view, signal, { say, away }) {
    this.view = view;
    this.#away = away;
    this.#before = { ...view.settings, span_s: view.span_s };
    this.#signal = signal;
    this.say = say;
    look();
    this.#unwatch = onJump(() => (this.#hasJumped = true));
  }

  /** Creates a deployment of this lesson. Returns its id. */
  async create(name, source) {
    // If the page is gone without a word, the server ends the source.
    const path = source ? endingWithPage("/api/deployments") : "/api/deployments";
    const asked = { method: "POST", body: { name, ...(source && { source }) }, key: randomPage() };
    const { id } = await this.#persist(() => call(path, asked));
    this.#made.push(`/api/deployments/${id}`);
    if (this.#signal.aborted) this.tidy();
    this.#go();
    return id;
  }

  /** Shows a deployment with a lane for each of `transports` that the server offers. */
  open(id, transports) {
    document.getElementById("lanes").classList.remove("before");
    this.view.open(id, { transports, isLesson: true });
  }

  /** Calls the lab. `undo(answer)` returns a path that `tidy` deletes, or null. */
  async lab(method, path, body, undo = () => null) {
    const answer = await this.#persist(() => call(path, { method, body }));
    const made = undo(answer);
    if (made !== null) this.#made.push(made);
    if (this.#signal.aborted) this.tidy();
    this.#go();
    return answer;
  }

  /** Puts a link between the server and all clients, until `noNetwork` or the end of the lesson. */
  async network(asked) {
    const path = endingWithPage("/api/lab/network");
    await this.lab("PUT", path, asked, () => path);
  }

  /** Takes the link of the lesson away. The visitor may have left the lesson: then `tidy` does it. */
  async noNetwork() {
    if (this.#signal.aborted) return;
    await this.lab("DELETE", endingWithPage("/api/lab/network"));
  }

  /** Returns the answer to a GET. */
  ask(path) {
    return this.#persist(() => call(path, { signal: this.#signal }));
  }

  /** Publishes lines of the lesson. The key makes them safe to repeat. */
  async publish(id, lines) {
    const headers = { "Content-Type": "application/x-ndjson", "Idempotency-Key": randomPage() };
    const body = lines.map((text) => JSON.stringify({ text })).join("\n");
    await this.#persist(async () => {
      const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(PUBLISH_MS_MAX)]);
      const response = await fetch(`/api/deployments/${id}/lines`, { method: "POST", headers, body, signal });
      if (!response.ok) throw new Refused(response.status, (await problemOf(response)).detail);
    });
  }

  /** Waits until a deployment has so many lines. */
  async filled(id, lines, text) {
    for (;;) {
      const { lines: there } = await this.ask(`/api/deployments/${id}`);
      if (there >= lines) return;
      this.say(text, `${there} of ${lines} lines`);
      await this.pass(LOOK_MS / 1_000);
    }
  }

  /** Returns how long an exchange with the server takes this browser, ms: the median of questions that find no line. */
  async exchange_ms(id) {
    const { next } = await this.ask(`/api/deployments/${id}`);
    const took = [];
    for (let i = 0; i < EXCHANGES; i += 1) {
      const began = performance.now();
      await this.ask(`/api/deployments/${id}/lines?from=${next}`);
      took.push(performance.now() - began);
    }
    return took.sort((a, b) => a - b)[Math.floor(EXCHANGES / 2)];
  }

  /** Takes note that the lesson itself cuts the connections now. */
  expectOutage() {
    this.#expectsOutage = true;
  }

  /** Publishes lines at random times for `seconds`, on average `rate_hz` a second (a Poisson process). */
  async feed(id, rate_hz, seconds, text) {
    for await (const line of this.#due(rate_hz, seconds, text)) await this.publish(id, [line]);
  }

  /** Like `feed`, but no line waits for the answer to the one before, which a distant server gives late. */
  async scatter(id, rate_hz, seconds, text) {
    const published = [];
    for await (const line of this.#due(rate_hz, seconds, text)) {
      // A failure is thrown at the end; meanwhile it must not count as one that nothing handles.
      const publishing = this.publish(id, [line]);
      publishing.catch(() => {});
      published.push(publishing);
    }
    await Promise.all(published);
  }

  /** Yields each line when it is due, at random times for `seconds`, and counts the seconds down. */
  async *#due(rate_hz, seconds, text) {
    const began = performance.now();
    let due_s = 0;
    for (let number = 1; ; number += 1) {
      due_s += -Math.log(1 - Math.random()) / rate_hz;
      const passed_s = (performance.now() - began) / 1_000;
      this.say(text, `${Math.ceil(seconds - passed_s)} s`);
      await this.pass(Math.max(Math.min(due_s, seconds) - passed_s, 0));
      if (due_s >= seconds) return;
      yield `line ${number}, at a random time`;
    }
  }

  /** Lets seconds pass and counts them down. */
  async seconds(count, text) {
    for (let left = count; left > 0; left -= 1) {
      this.say(text, `${Math.ceil(left)} s`);
      await this.pass(Math.min(left, 1));
    }
    this.say("");
  }

  /** Lets seconds pass without a text. */
  async pass(seconds) {
    await sleep(seconds * 1_000, this.#signal);
    this.#go();
  }

  /** Waits for a condition, at most `seconds_max`. Returns whether it was met. Time in which the server is away does not
   *  count, up to `AWAY_S_MAX`. */
  async until(condition, seconds_max) {
    const limit_ms = seconds_max * 1_000;
    let end = performance.now() + limit_ms;
    const latest = end + AWAY_S_MAX * 1_000;
    while (!condition()) {
      if (this.#isAway()) end = Math.min(performance.now() + limit_ms, latest);
      if (performance.now() > end) return false;
      await this.pass(LOOK_MS / 1_000);
    }
    return true;
  }

  /** Waits until every lane is live; otherwise there would be nothing to measure. From then on the lesson stops when a
   *  lane is disconnected or removed. */
  async ready() {
    this.say("The lanes connect.");
    const { lanes } = this.view;
    const waiting = () => lanes.filter(({ state }) => state !== "live");
    const isQueued = () => lanes.some(({ state }) => state === "queued");
    await this.until(() => waiting().length === 0 || isQueued(), READY_S_MAX);
    const named = waiting().map(({ name, state }) => `${name} (${state})`);
    if (named.length > 0) {
      throw new Error(`not connected: ${named.join(", ")}; close other tabs, which share the browser's connections`);
    }
    this.#measured = lanes;
  }

  /** Waits for the server's clock and its counts so far, which must not arrive during the measurement. Behind a proxy
   *  that blocks WebSockets they never arrive, and the lesson goes on without them. */
  async counted() {
    const { view } = this;
    await this.until(() => view.clock !== null && view.lanes.every(({ counted }) => counted !== null), COUNTED_S_MAX);
  }

  /** Deletes what the lesson made, the latest first, and restores sliders and timeline. It also runs when the page is
   *  closed. A second call deletes what was still being created; it leaves sliders and timeline alone. */
  tidy() {
    this.#unwatch();
    for (const path of this.#made.reverse()) remove(path);
    this.#made = [];
    if (this.#before === null) return;
    this.view.set("interval", this.#before.interval_ms / 1_000);
    this.view.set("hold", this.#before.hold_s);
    this.view.zoom(this.#before.span_s);
    this.#before = null;
  }

  /** Acts on the server. While the server is away, says so and acts again. A refusal of the server is final. */
  async #persist(act) {
    const backoff = new Backoff(TIDY_FIRST_MS);
    const end = performance.now() + AWAY_S_MAX * 1_000;
    for (;;) {
      try {
        const answer = await act();
        this.#isUnanswered = false;
        return answer;
      } catch (error) {
        this.#signal.throwIfAborted();
        const isFinal = error instanceof Refused && error.status < 500;
        this.#isUnanswered = !isFinal;
        if (isFinal || performance.now() > end) throw error;
        await this.pass(Math.min(backoff.failed(), AGAIN_MS_MAX) / 1_000);
      }
    }
  }

  /** Whether the server is away: for this stage or for one of its lanes. */
  #isAway() {
    return this.#isUnanswered || this.view.lanes.some(({ state }) => state === "reconnecting");
  }

  /** Stops the lesson when the visitor has left it, a measured lane is gone, or the clock jumped. Says whether the server
   *  is away. */
  #go() {
    this.#signal.throwIfAborted();
    look();
    if (this.#hasJumped) {
      throw new Error("this browser's clock was set, or the computer slept, so nothing was measured; run it again");
    }
    const isAway = this.#isAway() && !this.#expectsOutage;
    this.wasAway ||= isAway;
    this.#away(isAway);
    const { lanes } = this.view;
    const gone = this.#measured.find((lane) => !lanes.includes(lane) || lane.state === "disconnected");
    if (gone) throw new Error(`${gone.name} was disconnected while it was measured`);
  }
}

/** Deletes a path. The server may be away because of the lesson, so this tries again. */
async function remove(path) {
  const patience = AbortSignal.timeout(TIDY_MS_MAX);
  const backoff = new Backoff(TIDY_FIRST_MS);
  do {
    const answer = await fetch(path, { method: "DELETE", keepalive: true }).catch(() => null);
    if (answer?.ok || answer?.status === 404) return;
  } while (await sleep(backoff.failed(), patience));
}
