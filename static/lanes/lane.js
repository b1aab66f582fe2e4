// One lane: a subscriber that follows a deployment over one transport, with its log and its figures.
//
// The follower of the lane keeps cursor, order and reconnects. The ledger, which the server keeps, counts what a browser
// cannot see. This file names no transport.

import { wall_ms } from "../clock.js";
import { bytes, count, duration, milliseconds } from "../figures.js";
import { Follower } from "../follower.js";
import { LogView, ONE_OF_MANY } from "../log_view.js";
import { Wire } from "../wire.js";
import { Latency, STEPS, linesFor } from "./latency.js";
import { Ledgers } from "./ledgers.js";

/** The axis of the curve is logarithmic and the same on every lane, ms. So lanes can be compared by eye. */
const CURVE_MS = { min: 0.1, max: 10_000 };
/** Lines that wait for the server's clock; more have no latency. The clock comes within a second, or not at all. */
const WAITING_MAX = 2_000;

export class Lane {
  number;
  transport;
  deployment;
  /** The name that the page shows. */
  name;
  element;
  absolute = new Latency();
  relative = new Latency();
  /** Counts of the server; null before the first ones arrive. */
  ledger = null;
  /** Outages, times without a connection: when each began and when it was over (performance.now(); null until then). */
  outages = [];
  /** When the last line came (performance.now()); -Infinity before the first. */
  lastLine = -Infinity;
  /** Called with the lines of each batch. A lesson may set it. */
  onLines = () => {};
  isPaused = false;

  #follower;
  #log;
  #view;
  #parts = {};
  #ledgerAtClear = null;
  /** When the lane connected, by the clock of this page, ms since 1970. */
  #wanted_ms = 0;
  /** Lines that came while the clocks could not be compared: `{ at_us, wall, now }`. */
  #waiting = [];

  /**
   * `view` has what all lanes share: `settings`, `firsts`, `clocks`, `held`, `takesLines(deployment)`. The lane calls its
   * `wire(lane, event)`, `changed(lane)`, `remove(lane)`, `doubt(now)`.
   */
  constructor(number, transport, deployment, room, view) {
    this.number = number;
    this.transport = transport;
    this.deployment = deployment;
    this.name = room === "" ? transport.name : `${transport.name}, ${room}`;
    this.#view = view;
    this.element = document.getElementById("lane-template").content.firstElementChild.cloneNode(true);
    for (const part of this.element.querySelectorAll("[data-part]")) this.#parts[part.dataset.part] = part;
    const { log, above, jump } = this.#parts;
    this.#log = new LogView(log, above, jump, ONE_OF_MANY);
    this.#follower = new Follower(
      `/api/deployments/${deployment}`,
      {
        lines: (lines, origin) => this.#lines(lines, origin),
        note: (text) => this.#log.note(text),
        skipped: (skipped) => this.#log.skip(skipped),
        restarted: () => this.#log.clear(),
        changed: () => this.#changed(),
      },
      view.held,
      {
        query: Ledgers.query(number),
        settings: view.settings,
        wire: new Wire((event) => view.wire(this, event)),
      },
    );
    this.#furnish();
  }

  get state() {
    return this.isPaused && this.#follower.state === "live" ? "paused" : this.#follower.state;
  }

  /** Whether the server has no such deployment: it was deleted, or it never existed. */
  get isGone() {
    return this.#follower.isGone;
  }

  /** Lines by origin, and lines that are missing or came twice. */
  get counts() {
    return this.#follower.counts;
  }

  get cursor() {
    return this.#follower.cursor;
  }

  /** Counts of the server since the lane was cleared; null before the first ones arrive. */
  get counted() {
    if (this.ledger === null) return null;
    const since = { ...this.ledger };
    for (const [name, before] of Object.entries(this.#ledgerAtClear ?? {})) since[name] -= before;
    return since;
  }

  /** The latency to show: absolute if the clocks agree, otherwise behind the fastest lane. */
  get latency() {
    return this.#view.clocks.isAbsolute ? this.absolute : this.relative;
  }

  /** Starts to follow. */
  connect() {
    if (this.#follower.isActive) return;
    this.isPaused = false;
    // Lines from the time while the lane was disconnected are not late.
    this.#wanted_ms = wall_ms();
    this.#follower.connect(this.transport, this.transport.half, ONE_OF_MANY.rows);
  }

  disconnect() {
    // A lane that has ended keeps its last state on the page.
    if (!this.#follower.isActive) return;
    this.isPaused = false;
    this.#follower.disconnect();
  }

  /** Empties log and figures. The connection goes on. */
  clear() {
    this.#log.clear();
    this.#follower.resetCounts();
    this.restart();
  }

  /** Sets the live figures to zero. The log and the history stay, and the connection goes on. */
  restart() {
    this.#forgetLatencies();
    this.outages = this.outages.filter(({ back }) => back === null);
    this.#follower.resetLive();
    if (this.ledger !== null) {
      const { connections_open: open, lane: _, connections, ...counts } = this.ledger;
      // Connections that are open now still count, since they carry the next lines.
      this.#ledgerAtClear = { ...counts, connections: connections - (open ?? 0) };
    }
    this.#changed();
  }

  /** Disconnects and removes the lane from the page. */
  remove() {
    this.disconnect();
    this.element.remove();
  }

  ping() {
    this.#write("answer", "ping …");
    const told = (ms) => this.#write("answer", ms === null ? "no pong" : `pong after ${ms.toFixed(1)} ms`);
    this.#follower.ping(told);
  }

  /** Appends a line over the connection of this lane. Resolves to the reason for a refusal, or null. */
  publish(text) {
    return new Promise((answered) => this.#follower.publish(text, answered));
  }

  pause() {
    this.isPaused = true;
    this.#follower.pause();
    this.#changed();
  }

  resume() {
    this.isPaused = false;
    this.#follower.resume();
    this.#changed();
  }

  #lines(lines, origin) {
    this.#log.append(lines, origin);
    this.onLines(lines);
    if (origin !== "live") return;
    // The clock is asked first: if it has jumped, everything that was measured by it is forgotten.
    const [wall, now] = [wall_ms(), performance.now()];
    const { clocks, firsts } = this.#view;
    const log = `${this.deployment}.${this.cursor.split(".")[0]}`;
    this.lastLine = now;
    for (const { seq, at_us } of lines) {
      const line = { at_us, wall, now };
      if (!clocks.isDecided) this.#waiting.push(line);
      else if (!this.#record(line)) continue;
      const behind_ms = firsts.behind(log, seq, now);
      if (behind_ms !== null) this.relative.record(behind_ms, now);
    }
    this.#waiting = this.#waiting.slice(-WAITING_MAX);
  }

  /** Records how late a line was, if the clocks tell. Returns false for a line from the time before the lane connected,
   *  which is not late. */
  #record({ at_us, wall, now }) {
    const { clocks } = this.#view;
    if (clocks.appended_ms(at_us) < this.#wanted_ms) return false;
    const { unfit } = clocks;
    const latency_ms = clocks.latency_ms(at_us, wall);
    if (latency_ms !== null) this.absolute.record(latency_ms, now);
    if (clocks.unfit > unfit) this.#view.doubt(now);
    return true;
  }

  /** Takes the news that the server's clock was looked at. Once it is known well enough, the lines that waited for it have a
   *  latency. */
  clockKnown() {
    if (!this.#view.clocks.isDecided) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const line of waiting) this.#record(line);
  }

  /** Forgets what was measured by a clock that was set. Lines that are under way are not measured. */
  clockStepped() {
    this.absolute = new Latency();
    this.#waiting = [];
    this.#wanted_ms = wall_ms();
  }

  /** Forgets what was measured by this page's clock, which jumped. An outage that goes on counts from now. */
  clockJumped() {
    this.#forgetLatencies();
    this.#wanted_ms = wall_ms();
    this.outages = this.outages.filter(({ back }) => back !== null);
    this.lastLine = Math.min(this.lastLine, performance.now());
    this.#changed();
  }

  #forgetLatencies() {
    this.absolute = new Latency();
    this.relative = new Latency();
    this.#waiting = [];
  }

  #changed() {
    const { state } = this.#follower;
    const open = this.outages.at(-1)?.back === null ? this.outages.at(-1) : null;
    if (state === "reconnecting") {
      // A new socket begins without a pause.
      this.isPaused = false;
      if (open === null) this.outages.push({ cut: performance.now(), back: null });
    } else if (open && (state === "live" || state === "finished")) open.back = performance.now();
    this.#view.changed(this);
  }

  #furnish() {
    const { number, transport, deployment, element } = this;
    const parts = this.#parts;
    const name = `${this.name}, lane ${number}`;
    element.setAttribute("aria-label", name);
    element.dataset.lane = number;
    element.dataset.transport = transport.name;
    parts.name.textContent = this.name;
    parts.name.href = `#/${deployment}/${transport.name}`;
    parts.waits.textContent = `waits: ${transport.waits}`;
    parts.waits.title = transport.summary;
    parts.log.setAttribute("aria-label", `Lines of ${name}`);
    parts.remove.setAttribute("aria-label", `Remove ${name}`);
    parts.remove.addEventListener("click", () => {
      const next = (element.nextElementSibling ?? element.previousElementSibling)?.querySelector("[data-part=remove]");
      this.#view.remove(this);
      (next ?? document.getElementById("add-lane")).focus();
    });
    parts.connect.addEventListener("click", () => this.connect());
    parts.disconnect.addEventListener("click", () => this.disconnect());
    parts.clear.addEventListener("click", () => this.clear());
    parts.commands.hidden = transport.half.pingRefusal !== null;
    parts.ping.addEventListener("click", () => this.ping());
    parts.pause.addEventListener("click", () => (this.isPaused ? this.resume() : this.pause()));
    parts.publish.addEventListener("submit", async (event) => {
      event.preventDefault();
      const field = parts.publish.elements.text;
      this.#write("answer", "publishing …");
      const problem = await this.publish(field.value);
      this.#write("answer", problem ?? "published");
      if (problem === null) field.value = "";
    });
  }

  /** Shows the present figures. */
  draw() {
    const { counts, cursor, detail, canCommand, isActive, liveSince } = this.#follower;
    const parts = this.#parts;
    this.#write("state", this.state);
    parts.state.dataset.state = this.state;
    this.#write("detail", detail);
    const lines = counts.history + counts.live;
    this.#write("lines", count(lines));
    this.#write("history", count(counts.history));
    const wrong = counts.lost + counts.repeated;
    this.#write("order", wrong === 0 ? "none" : `${count(counts.lost)} lost, ${count(counts.repeated)} twice`);
    parts.order.classList.toggle("wrong", wrong > 0);
    this.#write("connected", liveSince === null ? "–" : duration(performance.now() - liveSince));
    this.#write("cursor", cursor ?? "–");
    this.#drawLedger(counts.live);
    this.#drawLatency();
    const { activeElement } = document;
    parts.connect.hidden = isActive;
    parts.disconnect.hidden = !isActive;
    // The focus moves from the pressed button to the one that replaces it.
    if (activeElement === parts.connect && isActive) parts.disconnect.focus();
    if (activeElement === parts.disconnect && !isActive) parts.connect.focus();
    parts.publish.hidden = !this.#view.takesLines(this.deployment);
    parts.pause.textContent = this.isPaused ? "Resume" : "Pause";
    for (const button of [parts.ping, parts.pause, parts.send]) button.disabled = !canCommand;
  }

  #drawLedger(live) {
    const counted = this.counted;
    const show = (part, value) => this.#write(part, counted === null ? "–" : value());
    show("requests", () => count(counted.requests));
    show("empty", () => count(counted.empty + counted.timeout));
    show("ratio", () => (live === 0 ? "–" : (counted.requests / live).toPrecision(2)));
    show("connections", () => `${count(counted.connections_open ?? 0)} of ${count(counted.connections)}`);
    show("up", () => bytes(counted.bytes_up));
    show("down", () => bytes(counted.bytes_down));
  }

  #drawLatency() {
    const latency = this.latency;
    this.#write("now", milliseconds(latency.last));
    this.#write("p50", milliseconds(latency.quantile(0.5)));
    this.#write("p99", milliseconds(latency.quantile(0.99)));
    this.#write("most", milliseconds(latency.most));
    for (const [part, q] of [["p50", 0.5], ["p99", 0.99]]) {
      const needed = linesFor(q);
      this.#parts[part].title = latency.count < needed ? `A ${part} needs ${needed} lines; ${count(latency.count)} came.` : "";
    }
    this.#write("scale", this.#view.clocks.isAbsolute ? "Delivery latency (ms)" : "Behind the fastest (ms)");
    // Time without lines is a gap in the curve.
    let pen = "M";
    const path = latency.curve(performance.now()).map((ms, i) => {
      const step = Number.isNaN(ms) ? "" : `${pen}${i} ${height(ms)}h0`;
      pen = Number.isNaN(ms) ? "M" : "L";
      return step;
    });
    this.#parts.curve.setAttribute("d", path.join(""));
  }

  /** Writes only what changed, so that a screen reader does not repeat it. */
  #write(part, text) {
    if (this.#parts[part].textContent !== text) this.#parts[part].textContent = text;
  }
}

/** Height of a latency on the curve: 0 is the top of its box, `STEPS / 4` the bottom. */
function height(latency_ms) {
  const clamped = Math.min(Math.max(latency_ms, CURVE_MS.min), CURVE_MS.max);
  const share = Math.log(clamped / CURVE_MS.min) / Math.log(CURVE_MS.max / CURVE_MS.min);
  return ((1 - share) * (STEPS / 4)).toFixed(1);
}
