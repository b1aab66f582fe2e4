// Side by side: one deployment, a lane for each transport, all following the same log; above them, who waits.
//
// Knows no transport by name: the lanes are what `/api/transports` lists. What lanes share stands here: settings,
// clock, the count of held requests, and one drawing per frame however many lines come.

import { Backoff, sleep } from "../backoff.js";
import { span } from "../figures.js";
import { SETTINGS } from "../follower.js";
import { CONNECTIONS_MAX, HELD_WARN } from "../held.js";
import { showStatus } from "../overview.js";
import { Lane } from "./lane.js";
import { Firsts } from "./latency.js";
import { Ledgers } from "./ledgers.js";
import { Timeline } from "./timeline.js";

/** Beyond this nobody can look at them; the server keeps ledgers for more. */
const LANES_MAX = 24;
/** Above this a clock offset is no rounding: latencies of two clocks say nothing, ms. */
const OFFSET_MS_MAX = 5;
/** Figures that change with time alone. */
const CLOCK_MS = 500;
const FIRST_CEILING_MS = 500;

const element = (id) => document.getElementById(id);

export class LanesView {
  /** Shared by all lanes, read at each use. */
  settings = { ...SETTINGS };
  firsts = new Firsts();
  /** How far the server's clock is ahead, {offset_ms, error_ms}; null while unknown. */
  clock = null;
  held;

  #transports;
  #source;
  #lanes = new Map();
  #lastNumber = 0;
  #timeline = new Timeline(element("timeline"));
  #ledgers = new Ledgers(
    (number, ledger) => this.#takeLedger(number, ledger),
    (clock) => this.#takeClock(clock),
  );
  #id = null;
  /** Is told the deployment's name. */
  #named = () => {};
  /** Whether the deployment was there in this visit. */
  #wasThere = false;
  /** What was last said of each lane. */
  #said = new Map();
  #visit = null;
  #ticker = null;
  #dirty = new Set();
  #frame = null;

  /** `transports`: the rows of `/api/transports`, each with its browser `half`, or null. */
  constructor(transports, source, held) {
    this.#transports = transports.filter(({ half }) => half !== null);
    this.#source = source;
    this.held = held;
    held.addEventListener("change", () => this.#heldChanged());
    element("add-transport").replaceChildren(...this.offered.map((name) => new Option(name, name)));
    element("add-lane").addEventListener("click", () => this.add(element("add-transport").value)?.connect());
    element("connect-all").addEventListener("click", () => this.#each((lane) => lane.connect()));
    element("disconnect-all").addEventListener("click", () => this.#each((lane) => lane.disconnect()));
    element("clear-all").addEventListener("click", () => this.clear());
    this.#slider("interval", (value) => (this.settings.interval_ms = value * 1_000));
    this.#slider("hold", (value) => (this.settings.hold_s = value));
  }

  /** Opens a deployment with these transports, each in a lane, or with all; `named(name)` is told what it is called. */
  open(id, { withCommands = false, named = () => {}, transports = this.offered } = {}) {
    this.#id = id;
    this.#named = named;
    this.#visit = new AbortController();
    this.clock = null;
    this.firsts = new Firsts();
    this.#write("lanes-name", id);
    this.#write("lanes-id", id);
    this.#write("lanes-note", "");
    this.#wasThere = false;
    element("lanes-status").hidden = true;
    this.#source.show(element("lanes-source"), id, { withCommands, changed: () => this.#describe() });
    this.#takeClock(null);
    this.#describe();
    for (const name of transports) this.add(name);
    this.#heldChanged();
    this.#ledgers.open();
    this.#each((lane) => lane.connect());
    this.#ticker = setInterval(() => this.#each((lane) => this.changed(lane)), CLOCK_MS);
  }

  close() {
    this.#visit?.abort();
    clearInterval(this.#ticker);
    this.#each((lane) => this.remove(lane));
    this.#timeline.clear();
    this.#ledgers.close();
    this.#lastNumber = 0;
    this.#id = null;
  }

  /** Whether latencies are those from append to receipt: the clocks agree. */
  get isAbsolute() {
    return this.clock !== null && Math.abs(this.clock.offset_ms) < OFFSET_MS_MAX;
  }

  /** The lanes, in the order in which they were added. */
  get lanes() {
    return [...this.#lanes.values()];
  }

  /** Names of the transports that the server has and the page can follow. */
  get offered() {
    return this.#transports.map(({ name }) => name);
  }

  /** How many seconds the timeline shows. */
  get span_s() {
    return this.#timeline.span_s;
  }

  zoom(span_s) {
    this.#timeline.show(span_s);
  }

  /**
   * One more lane; undefined when there are as many as can be. Of several deployments each lane is told its own, and
   * what to call it.
   */
  add(name, deployment = this.#id, room = "") {
    const transport = this.#transports.find((row) => row.name === name);
    if (transport === undefined) return undefined;
    if (this.#lanes.size >= LANES_MAX) {
      this.#write("lanes-note", `${LANES_MAX} lanes are as many as a page shows; remove one first.`);
      return undefined;
    }
    const lane = new Lane(++this.#lastNumber, transport, deployment, room, this);
    this.#lanes.set(lane.number, lane);
    this.#timeline.addStrip(lane.number, { name: lane.name, waits: transport.waits });
    element("lane-list").append(lane.element);
    this.changed(lane);
    return lane;
  }

  remove(lane) {
    this.#write("lanes-note", "");
    lane.remove();
    this.#lanes.delete(lane.number);
    this.#dirty.delete(lane);
    this.#said.delete(lane);
    this.#timeline.removeStrip(lane.number);
    this.#ledgers.forget(lane.number);
  }

  /** Empties all lanes and the timeline. */
  clear() {
    this.restart();
    this.#timeline.clear();
  }

  /** Counts from here; the timeline goes on. */
  restart() {
    this.#each((lane) => lane.clear());
  }

  /** Moves the slider `interval` or `hold`, s; where it came to stand. */
  set(name, value) {
    element(name).value = value;
    element(name).dispatchEvent(new Event("input"));
    return element(name).valueAsNumber;
  }

  /** Something happened on a lane's wire. */
  wire(lane, event) {
    this.#timeline.wire(lane.number, event);
  }

  /** A lane's figures changed: drawn once a frame. */
  changed(lane) {
    // How it ended stands in the deployment.
    if (lane.state === "finished" && element("lanes-status").dataset.status === "running") {
      element("lanes-status").dataset.status = "";
      this.#describe();
    }
    if (lane.isGone && lane.deployment === this.#id) this.#showGone();
    this.#announce(lane);
    this.#dirty.add(lane);
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      for (const changed of this.#dirty) changed.draw();
      this.#dirty.clear();
    });
  }

  /** For screen readers: one voice for all lanes, and only when the state of one is another. */
  #announce(lane) {
    const { number, name, state } = lane;
    if (this.#said.get(lane) === state) return;
    // Who waits for a connection is told beside the count of them.
    const queued = [this.#said.get(lane), state].includes("queued");
    this.#said.set(lane, state);
    if (queued) this.#heldChanged();
    if (state !== "connecting") this.#write("lanes-said", `${name}, lane ${number}: ${state}`);
  }

  #each(act) {
    for (const lane of this.lanes) act(lane);
  }

  #slider(name, set) {
    const slider = element(name);
    const show = () => {
      set(slider.valueAsNumber);
      element(`${name}-value`).value = `${slider.valueAsNumber} s`;
    };
    slider.addEventListener("input", show);
    show();
  }

  #takeLedger(number, ledger) {
    const lane = this.#lanes.get(number);
    if (lane === undefined) return;
    lane.ledger = ledger;
    this.changed(lane);
  }

  #takeClock(clock) {
    this.clock = clock;
    const { offset_ms, error_ms } = clock ?? {};
    const text =
      clock === null
        ? "Clock of the server: not known. Latency is shown as behind the fastest lane."
        : `Clock of the server: ${span(Math.abs(offset_ms))} ${offset_ms < 0 ? "behind" : "ahead"} (± ${span(error_ms)}). ` +
          (this.isAbsolute
            ? "Latency is receipt − append."
            : `Above ${OFFSET_MS_MAX} ms, so latency is shown as behind the fastest lane.`);
    this.#write("clock-note", text);
  }

  #heldChanged() {
    const { own, all } = this.held;
    const others = all > own ? ` (${all - own} by other tabs)` : "";
    const waiting = all > CONNECTIONS_MAX ? `, ${all - CONNECTIONS_MAX} waits` : "";
    this.#write("held", `${Math.min(all, CONNECTIONS_MAX)} of ${CONNECTIONS_MAX}${waiting}${others}`);
    const queued = this.lanes.filter((lane) => lane.state === "queued");
    element("held").classList.toggle("wrong", all >= HELD_WARN);
    this.#write(
      "held-note",
      all < HELD_WARN && queued.length === 0
        ? ""
        : "A browser opens six connections to one server over HTTP/1.1, and every held poll and open stream keeps one." +
            (queued.length === 0 ? "" : " The page keeps the last for buttons and short polls: some lanes wait."),
    );
  }

  /** Name and status. */
  async #describe() {
    const { signal: visit } = this.#visit;
    const backoff = new Backoff(FIRST_CEILING_MS);
    do {
      const response = await fetch(`/api/deployments/${this.#id}`, { cache: "no-store", signal: visit }).catch(() => null);
      const deployment = response?.ok ? await response.json().catch(() => null) : null;
      if (visit.aborted) return;
      if (response?.status === 404) return this.#showGone();
      if (deployment) return this.#showDeployment(deployment);
    } while (await sleep(backoff.failed(), visit));
  }

  #showDeployment({ name, status }) {
    this.#wasThere = true;
    this.#write("lanes-name", name);
    this.#named(name);
    showStatus(element("lanes-status"), status);
    element("lanes-status").hidden = false;
    this.#source.status(status);
  }

  #showGone() {
    element("lanes-status").hidden = true;
    this.#source.status(null);
    // A lane that was added or queued when it was deleted has seen nothing of it.
    this.#wasThere ||= this.lanes.some(({ state }) => state === "deleted");
    this.#write("lanes-note", `The server has no deployment ${this.#id}${this.#wasThere ? " any more" : ""}.`);
  }

  #write(id, text) {
    if (element(id).textContent !== text) element(id).textContent = text;
  }
}
