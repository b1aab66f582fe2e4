// The lanes side by side: one deployment with a lane for each transport, and above them the timeline "Who waits".
//
// All lanes follow the same log. Their transports are those that `/api/transports` lists; this file names none. It keeps
// what lanes share: settings, clock, the count of held requests, and one drawing per frame for any number of lines.

import { Backoff, sleep } from "../backoff.js";
import { look, onJump } from "../clock.js";
import { SETTINGS } from "../follower.js";
import { HELD_WARN, IS_MULTIPLEXED, REQUESTS_MAX } from "../held.js";
import { showStatus } from "../overview.js";
import { visible } from "../terminal.js";
import { Clocks } from "./clocks.js";
import { Lane } from "./lane.js";
import { Firsts } from "./latency.js";
import { Ledgers } from "./ledgers.js";
import { NO_NETWORK, NetworkPanel } from "./network.js";
import { Timeline } from "./timeline.js";

/** More lanes cannot be read on one page. The server could count more. */
const LANES_MAX = 24;
/** How often figures are drawn that change with time alone. */
const CLOCK_MS = 500;
const FIRST_CEILING_MS = 500;

const element = (id) => document.getElementById(id);

export class LanesView {
  /** Settings that all lanes share and read at each use. */
  settings = { ...SETTINGS };
  firsts = new Firsts();
  clocks = new Clocks();
  held;

  #transports;
  #source;
  #lanes = new Map();
  #lastNumber = 0;
  #timeline = new Timeline(element("timeline"));
  #ledgers = new Ledgers(
    (number, ledger) => this.#takeLedger(number, ledger),
    (clock) => this.#takeClock(clock),
    () => this.#stepped(),
    (network) => this.#takeNetwork(network),
  );
  #network = new NetworkPanel();
  /** Ends the watch for jumps of this page's clock. */
  #unwatch = () => {};
  #id = null;
  #isLesson = false;
  /** Whether the visitor may append lines to the deployment: it runs, and no source or lesson feeds it. */
  #isFedByVisitor = false;
  /** Called with the name of the deployment, as it is shown. */
  #named = () => {};
  /** Whether the server had the deployment during this visit. */
  #wasThere = false;
  /** The state of each lane that was announced last. */
  #said = new Map();
  #visit = null;
  #ticker = null;
  #dirty = new Set();
  #frame = null;

  /** `transports` are the rows of `/api/transports`; the `half` of each is its browser module, or null. */
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

  /** Opens a deployment with a lane for each of `transports`, by default all. Calls `named(name)` with its name as it is
   *  shown. A lesson feeds its deployments itself, so the page offers no other way to do it. */
  open(id, { isLesson = false, named = () => {}, transports = this.offered } = {}) {
    this.#id = id;
    this.#isLesson = isLesson;
    this.#isFedByVisitor = false;
    element("lanes").classList.toggle("lesson", isLesson);
    element("lanes-controls").open = !isLesson;
    this.#named = named;
    this.#visit = new AbortController();
    this.clocks = new Clocks();
    this.firsts = new Firsts();
    this.#write("lanes-name", id);
    this.#write("lanes-id", id);
    this.#write("lanes-note", "");
    this.#wasThere = false;
    element("lanes-status").hidden = true;
    const [top, below] = [element("lanes-source-top"), element("lanes-source")];
    this.#source.show({ top: isLesson ? below : top, below }, id, { isFolded: isLesson, changed: () => this.#describe() });
    this.#takeClock(null);
    this.#takeNetwork(NO_NETWORK);
    this.#network.open();
    this.#describe();
    for (const name of transports) this.add(name);
    this.#heldChanged();
    this.#ledgers.open();
    this.#each((lane) => lane.connect());
    look();
    this.#unwatch = onJump(({ isBackward }) => this.#jumped(isBackward));
    this.#ticker = setInterval(() => this.#tick(), CLOCK_MS);
  }

  close() {
    this.#visit?.abort();
    clearInterval(this.#ticker);
    this.#unwatch();
    this.#each((lane) => this.remove(lane));
    this.#timeline.clear();
    this.#ledgers.close();
    this.#network.close();
    this.#lastNumber = 0;
    this.#id = null;
  }

  /** How far the server's clock is ahead, `{ offset_ms, error_ms }`; null while unknown. */
  get clock() {
    return this.clocks.known;
  }

  /** Whether the clocks agree, so that a latency is the time from append to receipt. */
  get isAbsolute() {
    return this.clocks.isAbsolute;
  }

  /** Whether lines that the visitor publishes would be appended to a deployment. */
  takesLines(deployment) {
    return this.#isFedByVisitor && deployment === this.#id;
  }

  /** The lanes, in the order in which they were added. */
  get lanes() {
    return [...this.#lanes.values()];
  }

  /** Names of the transports that the server offers and the page can use. */
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
   * Adds a lane. Returns undefined when the page has `LANES_MAX` lanes. A lesson with several deployments names the
   * deployment of each lane, and its room.
   */
  add(name, deployment = this.#id, room = "") {
    const transport = this.#transports.find((row) => row.name === name);
    if (transport === undefined) return undefined;
    if (this.#lanes.size >= LANES_MAX) {
      this.#write("lanes-note", `The page shows at most ${LANES_MAX} lanes. Remove a lane first.`);
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
    this.#each((lane) => lane.clear());
    this.#timeline.clear();
  }

  /** Sets the live figures of all lanes to zero. Logs and timeline go on. */
  restart() {
    this.#each((lane) => lane.restart());
  }

  /** Moves the slider `interval` or `hold`, s. Returns its new value. */
  set(name, value) {
    element(name).value = value;
    element(name).dispatchEvent(new Event("input"));
    return element(name).valueAsNumber;
  }

  /** Passes an event on the wire of a lane to the timeline. */
  wire(lane, event) {
    this.#timeline.wire(lane.number, event);
  }

  /** Takes a change of a lane. Its figures are drawn at most once a frame. */
  changed(lane) {
    // The deployment tells how it ended.
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

  /** Tells screen readers when the state of a lane changes, at one place for all lanes. */
  #announce(lane) {
    const { number, name, state } = lane;
    if (this.#said.get(lane) === state) return;
    // The count of held requests says that lanes wait for a connection.
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

  #tick() {
    look();
    this.#network.tick();
    if (!this.clocks.isDecided) this.doubt(performance.now());
    this.#each((lane) => this.changed(lane));
    this.#write("clock-note", this.clocks.describe());
  }

  /** Takes the link between the server and all clients. What happens on the wire from now on is drawn with its delay. */
  #takeNetwork(network) {
    this.#network.show(network);
    this.#timeline.distance(network);
  }

  #takeClock(clock) {
    this.clocks.known = clock;
    if (clock !== null) this.#each((lane) => lane.clockKnown());
    this.#write("clock-note", this.clocks.describe());
  }

  /** Takes a step of the server's clock. It is unknown until the ledgers have asked again. */
  #stepped() {
    this.#takeClock(null);
    this.#each((lane) => lane.clockStepped());
  }

  /** Asks for the server's clock soon: a line does not fit it, or it is not known well enough. */
  doubt(now) {
    this.#ledgers.doubt(now);
  }

  /** Takes a jump of this page's clock: what was measured by it is forgotten, and the server's clock is asked anew. */
  #jumped(isBackward) {
    this.#takeClock(null);
    this.firsts.forget();
    this.#each((lane) => lane.clockJumped());
    if (isBackward) this.#timeline.clear();
    this.#ledgers.lookAnew();
  }

  #heldChanged() {
    const { own, all } = this.held;
    const others = all > own ? ` (${all - own} by other tabs)` : "";
    const waiting = all > REQUESTS_MAX ? `, ${all - REQUESTS_MAX} waits` : "";
    this.#write("held", `${Math.min(all, REQUESTS_MAX)} of ${REQUESTS_MAX}${waiting}${others}`);
    const queued = this.lanes.filter((lane) => lane.state === "queued");
    element("held").classList.toggle("wrong", all >= HELD_WARN);
    this.#write(
      "held-note",
      all < HELD_WARN && queued.length === 0
        ? ""
        : (IS_MULTIPLEXED
            ? `Over HTTP/2 the server answers ${REQUESTS_MAX} requests of a browser at a time. Every held poll and open stream is one.`
            : "Over HTTP/1.1 a browser opens six connections to a server. Every held poll and open stream keeps one.") +
            (queued.length === 0 ? "" : " The last one is for buttons and short polls, so some lanes wait."),
    );
  }

  /** Asks for name and status. */
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

  #showDeployment({ name, status, source }) {
    this.#wasThere = true;
    this.#isFedByVisitor = status === "running" && source === undefined && !this.#isLesson;
    this.#each((lane) => this.changed(lane));
    this.#write("lanes-name", visible(name));
    this.#named(visible(name));
    showStatus(element("lanes-status"), status);
    element("lanes-status").hidden = false;
    this.#source.status(status, source);
  }

  #showGone() {
    this.#isFedByVisitor = false;
    element("lanes-status").hidden = true;
    this.#source.status(null);
    // A lane that was added or queued before the deletion may have seen nothing of the deployment.
    this.#wasThere ||= this.lanes.some(({ state }) => state === "deleted");
    this.#write("lanes-note", `The server has no deployment ${this.#id}${this.#wasThere ? " any more" : ""}.`);
  }

  #write(id, text) {
    if (element(id).textContent !== text) element(id).textContent = text;
  }
}
