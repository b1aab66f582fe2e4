// The stage of a lesson: deployments that it creates, lanes that it opens, time that it lets pass.
//
// Everything that a lesson makes on the server is gone when the lesson is left.

import { Backoff, sleep } from "../backoff.js";
import { call } from "../call.js";
import { problemOf } from "../refusal.js";

/** How long a server that is away is asked again to forget a lesson, and the first wait. */
const TIDY_MS_MAX = 60_000;
const TIDY_FIRST_MS = 500;
/** How long lines may take to be appended. */
const PUBLISH_MS_MAX = 10_000;
/** How long lanes may take to connect. A short poll is live with its second answer, 10 s later at the most. */
const READY_S_MAX = 20;
/** And the server to tell what it counted. */
const COUNTED_S_MAX = 5;
/** How often a condition is looked at. */
const LOOK_MS = 100;

export class Stage {
  view;
  say;
  #signal;
  #made = [];
  /** Lanes that are being measured. */
  #measured = [];
  /** Where sliders and timeline stood before; null once they stand there again. */
  #before;

  /** `view` shows the lanes; `say(text, left)` tells what is going on; `signal` ends the lesson. */
  constructor(view, signal, say) {
    this.view = view;
    this.#before = { ...view.settings, span_s: view.span_s };
    this.#signal = signal;
    this.say = say;
  }

  /** A deployment of this lesson; its id. */
  async create(name, source) {
    const { id } = await call("/api/deployments", { method: "POST", body: { name, ...(source && { source }) } });
    this.#made.push(`/api/deployments/${id}`);
    if (this.#signal.aborted) this.tidy();
    this.#go();
    return id;
  }

  /** Shows a deployment, with a lane for each of these transports that the server has. */
  open(id, transports) {
    document.getElementById("lanes").classList.remove("before");
    this.view.open(id, { transports });
  }

  /** A call of the lab. Remembers what `undo` takes back: a path to delete. */
  async lab(method, path, body, undo = () => null) {
    const answer = await call(path, { method, body });
    const made = undo(answer);
    if (made !== null) this.#made.push(made);
    if (this.#signal.aborted) this.tidy();
    this.#go();
    return answer;
  }

  /** Lines of our own. */
  async publish(id, lines) {
    const headers = { "Content-Type": "application/x-ndjson" };
    const body = lines.map((text) => JSON.stringify({ text })).join("\n");
    const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(PUBLISH_MS_MAX)]);
    const response = await fetch(`/api/deployments/${id}/lines`, { method: "POST", headers, body, signal });
    if (!response.ok) throw new Error((await problemOf(response)).detail);
  }

  /** Publishes lines at random times, `rate_hz` of them a second on average (a Poisson process), for so many seconds. */
  async feed(id, rate_hz, seconds, text) {
    const began = performance.now();
    let due_s = 0;
    for (let number = 1; ; number += 1) {
      due_s += -Math.log(1 - Math.random()) / rate_hz;
      const passed_s = (performance.now() - began) / 1_000;
      this.say(text, `${Math.ceil(seconds - passed_s)} s`);
      await this.pass(Math.max(Math.min(due_s, seconds) - passed_s, 0));
      if (due_s >= seconds) return;
      await this.publish(id, [`line ${number}, at a random time`]);
    }
  }

  /** Lets seconds pass, and counts them down. */
  async seconds(count, text) {
    for (let left = count; left > 0; left -= 1) {
      this.say(text, `${Math.ceil(left)} s`);
      await this.pass(Math.min(left, 1));
    }
    this.say("");
  }

  /** Lets seconds pass in silence. */
  async pass(seconds) {
    await sleep(seconds * 1_000, this.#signal);
    this.#go();
  }

  /** Waits for a condition, at most so many seconds; whether it came. */
  async until(condition, seconds_max) {
    const end = performance.now() + seconds_max * 1_000;
    while (!condition()) {
      if (performance.now() > end) return false;
      await this.pass(LOOK_MS / 1_000);
    }
    return true;
  }

  /** Waits until every lane follows: of one that does not, nothing would be measured. From then on each must be left as
   *  it is until the lesson has ended. */
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

  /** Waits for the server's clock and its count of what it took to get here, which must not come when we have begun. Behind
   *  a proxy that lets no sockets through they never come; the lesson does without. */
  async counted() {
    const { view } = this;
    await this.until(() => view.clock !== null && view.lanes.every(({ counted }) => counted !== null), COUNTED_S_MAX);
  }

  /** Deletes what was made, the latest first, also when the page is being closed; sliders and timeline go back to where
   *  they were. What was still being made is deleted by a second call, when another lesson may have moved them. */
  tidy() {
    for (const path of this.#made.reverse()) remove(path);
    this.#made = [];
    if (this.#before === null) return;
    this.view.set("interval", this.#before.interval_ms / 1_000);
    this.view.set("hold", this.#before.hold_s);
    this.view.zoom(this.#before.span_s);
    this.#before = null;
  }

  /** A lesson that was left goes no further, nor one that would measure what is not there. */
  #go() {
    this.#signal.throwIfAborted();
    const { lanes } = this.view;
    const gone = this.#measured.find((lane) => !lanes.includes(lane) || lane.state === "disconnected");
    if (gone) throw new Error(`${gone.name} was disconnected while it was measured`);
  }
}

/** The server may be away, by the lesson's own doing. */
async function remove(path) {
  const patience = AbortSignal.timeout(TIDY_MS_MAX);
  const backoff = new Backoff(TIDY_FIRST_MS);
  do {
    const answer = await fetch(path, { method: "DELETE", keepalive: true }).catch(() => null);
    if (answer?.ok || answer?.status === 404) return;
  } while (await sleep(backoff.failed(), patience));
}
