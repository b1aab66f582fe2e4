// The run: the page starts, watches and cancels it; its progress comes over an `EventSource`.
//
// A browser opens six connections to a server, and this stream takes one. It is open only during a run and while its
// view is shown. It waits while other tabs hold all connections but the last, which is for buttons.

import { Refused, call } from "../call.js";
import { count } from "../figures.js";
import { REPORT, fileHref } from "./results.js";

const PROGRESS = "/api/lab/runs/progress";

const element = (id) => document.getElementById(id);

/** Writes only what changed, so that a screen reader does not repeat it. */
function write(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

export class RunView {
  /** Ends the stream of progress, or the wait for a connection; null while there is no run. */
  #watching = null;
  /** Whether the stream of progress is open. */
  #isWatched = false;
  /** The folder of the run that ended, until its report is found there. */
  #folder = null;
  /** An object for each visit of the view; null between two visits. */
  #visit = null;
  /** `none`, `starting`, `running`, `cancelling` or `ended`. */
  #state = "none";
  #held;
  #changed;
  #ended;

  /** `held` counts the stream. The view calls `changed(isUnderWay)` when a run begins or ends, and `ended()` when results
   *  may be new. */
  constructor(held, changed, ended) {
    this.#held = held;
    this.#changed = changed;
    this.#ended = ended;
    element("run-cancel").addEventListener("click", () => this.#cancel());
  }

  get isUnderWay() {
    return ["starting", "running", "cancelling"].includes(this.#state);
  }

  open() {
    this.#visit = {};
    this.#enter("none");
    write("run-plan", "");
    write("run-state", "There is no run now.");
    write("run-problem", "");
    element("run-end").hidden = true;
  }

  close() {
    this.#visit = null;
    this.#hangUp();
  }

  /** Takes the newest run of the server; undefined when it knows no run. Another tab may have started it, or it may have
   *  ended while this view was closed. */
  learn(newest) {
    const isBlind = !this.#isWatched && ["running", "cancelling"].includes(this.#state);
    if (newest === undefined) {
      if (isBlind) this.#lose();
    } else if (newest.ended === null) {
      if (!this.isUnderWay) this.#follow(newest.plan);
    } else if (this.#state === "none" || isBlind) {
      write("run-plan", newest.plan);
      this.#end(newest.ended);
    }
  }

  /** Links to the report of the run that ended, as soon as the list of results has it. */
  findReport(results) {
    if (this.#folder === null) return;
    const isThere = results.some(({ folder, files }) => folder === this.#folder && files.includes(REPORT));
    element("run-report").hidden = !isThere;
    write("run-no-report", isThere ? "" : `There is no report in ${this.#folder}.`);
    if (!isThere) return;
    element("run-report").href = fileHref(this.#folder, REPORT);
    this.#folder = null;
  }

  /** Starts the smoke size of a plan. */
  async start(plan) {
    const visit = this.#visit;
    this.#enter("starting");
    element("run-end").hidden = true;
    write("run-plan", plan);
    write("run-state", "Starting.");
    write("run-problem", "");
    // The pressed button is disabled during the run, so it cannot keep the focus.
    element("run").focus();
    const error = await call("/api/lab/runs", { method: "POST", body: { plan } }).then(() => null, (error) => error);
    // A visitor who has left this view needs no stream. When the view opens again, it finds the run.
    if (visit !== this.#visit) return;
    if (error === null) {
      this.#follow(plan);
    } else {
      write("run-problem", error.message);
      // Another run is going on: show that one.
      if (error instanceof Refused && error.status === 409) return this.#follow(null);
      this.#enter("none");
      write("run-state", "The run was not started.");
    }
  }

  #follow(plan) {
    this.#enter("running");
    write("run-plan", plan ?? "");
    write("run-state", "The run is going on.");
    // Without a value the bar moves but shows no share.
    element("run-progress").removeAttribute("value");
    write("run-lines", "");
    element("run-end").hidden = true;
    if (this.#watching === null) this.#watch();
  }

  async #watch() {
    const { signal } = (this.#watching = new AbortController());
    if (!this.#held.allows(1)) write("run-state", "The run is going on. This page shows it when other tabs free a connection.");
    if (!(await this.#held.take(1, signal)) || signal.aborted) return;
    const source = new EventSource(PROGRESS);
    this.#isWatched = true;
    signal.addEventListener("abort", () => source.close(), { once: true });
    source.addEventListener("progress", ({ data }) => this.#progress(JSON.parse(data)));
    source.addEventListener("ended", ({ data }) => this.#end(JSON.parse(data)));
    source.addEventListener("error", () => this.#broke(source));
  }

  #progress({ plan, run_id, run, runs, received, expected }) {
    if (this.#state !== "cancelling") {
      write("run-plan", plan);
      write("run-state", run === 0 ? `Calibrating, before the first of ${runs} runs` : `Run ${run} of ${runs}: ${run_id}`);
    }
    if (run === 0) return;
    // No line is expected until the server of the run is up.
    const share = expected > 0 ? Math.min(received / expected, 1) : 0;
    element("run-progress").value = (run - 1 + share) / runs;
    write("run-lines", expected > 0 ? `${count(received)} of ${count(expected)} lines of this run` : "");
  }

  #end({ exit, meaning, problem, folder }) {
    this.#hangUp();
    this.#enter("ended");
    write("run-state", `Ended: ${meaning} (exit code ${exit}).`);
    write("run-problem", problem ?? "");
    element("run").dataset.exit = exit;
    element("run-end").hidden = false;
    element("run-report").hidden = true;
    write("run-no-report", folder === null ? "The run left no results." : "");
    this.#folder = folder;
    this.#ended();
  }

  /** An EventSource tries again by itself, unless the server refused it. Then the run ended with its server. */
  #broke(source) {
    if (source.readyState !== EventSource.CLOSED) return write("run-state", "The connection broke. The page tries again.");
    this.#lose();
  }

  #lose() {
    this.#hangUp();
    this.#enter("none");
    write("run-state", "The server does not know this run any more. The list has what it wrote.");
    this.#ended();
  }

  async #cancel() {
    this.#enter("cancelling");
    write("run-state", "Cancelling: the run writes what it has measured.");
    write("run-problem", "");
    try {
      await call("/api/lab/runs", { method: "DELETE" });
    } catch (error) {
      // The run may have ended in the same moment.
      if (this.#state !== "cancelling") return;
      write("run-problem", error.message);
      this.#enter("running");
    }
  }

  #hangUp() {
    this.#watching?.abort();
    this.#watching = null;
    this.#isWatched = false;
  }

  #enter(state) {
    const wasUnderWay = this.isUnderWay;
    this.#state = state;
    element("run").dataset.state = state;
    delete element("run").dataset.exit;
    // The hidden button cannot keep the focus.
    if (state !== "running" && document.activeElement === element("run-cancel")) element("run").focus();
    element("run-cancel").hidden = state !== "running";
    element("run-meter").hidden = !this.isUnderWay;
    if (this.isUnderWay !== wasUnderWay) this.#changed(this.isUnderWay);
  }
}
