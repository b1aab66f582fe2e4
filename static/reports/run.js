// The run: started, watched and cancelled here; its figures come from the server over an `EventSource`.
//
// The browser has six connections to a server, and this takes one: it is open only while a run is under way and
// its view is looked at, and it waits while the other tabs keep all but the last, which is for buttons.

import { Refused, call } from "../call.js";
import { count } from "../figures.js";
import { REPORT, fileHref } from "./results.js";

const PROGRESS = "/api/lab/runs/progress";

const element = (id) => document.getElementById(id);

/** Writes only what changed, so that a screen reader is not told the same again. */
function write(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

export class RunView {
  /** Ends the stream of figures, or the wait for a connection; null unless a run is under way. */
  #watching = null;
  /** Whether its figures come. */
  #isWatched = false;
  /** The folder of the run that ended, until its report was found there. */
  #folder = null;
  /** One per time that the view is looked at; null between two. */
  #visit = null;
  /** `none`, `starting`, `running`, `cancelling` or `ended`. */
  #state = "none";
  #held;
  #changed;
  #ended;

  /** `held` counts the stream; `changed(isUnderWay)` is called when a run begins or ends, `ended()` when there may be new results. */
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
    write("run-state", "None is under way.");
    write("run-problem", "");
    element("run-end").hidden = true;
  }

  close() {
    this.#visit = null;
    this.#hangUp();
  }

  /** The newest run, as the server knows it: one that another tab started, or that ended while nobody looked. Undefined
   *  when it knows of none. */
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

  /** Links to the report of the run that ended, once the list of results has it. */
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
    // The button that was pressed cannot keep the focus: it waits for the end of the run.
    element("run").focus();
    const error = await call("/api/lab/runs", { method: "POST", body: { plan } }).then(() => null, (error) => error);
    // Who went elsewhere meanwhile must find no connection open; coming back finds the run.
    if (visit !== this.#visit) return;
    if (error === null) {
      this.#follow(plan);
    } else {
      write("run-problem", error.message);
      // Somebody else's run is under way: then this is what is to be seen.
      if (error instanceof Refused && error.status === 409) return this.#follow(null);
      this.#enter("none");
      write("run-state", "None was started.");
    }
  }

  #follow(plan) {
    this.#enter("running");
    write("run-plan", plan ?? "");
    write("run-state", "Under way.");
    // Without a value the bar moves and claims nothing.
    element("run-progress").removeAttribute("value");
    write("run-lines", "");
    element("run-end").hidden = true;
    if (this.#watching === null) this.#watch();
  }

  async #watch() {
    const { signal } = (this.#watching = new AbortController());
    if (!this.#held.allows(1)) write("run-state", "Under way; shown once other tabs leave this browser a connection.");
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
    // Nothing is expected until the run's own server is up.
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
    write("run-no-report", folder === null ? "It left no results." : "");
    this.#folder = folder;
    this.#ended();
  }

  /** EventSource tries again by itself, unless the server refused it: then the run went with the server. */
  #broke(source) {
    if (source.readyState !== EventSource.CLOSED) return write("run-state", "The connection broke; trying again.");
    this.#lose();
  }

  #lose() {
    this.#hangUp();
    this.#enter("none");
    write("run-state", "The server knows of no run any more; what was written is in the list.");
    this.#ended();
  }

  async #cancel() {
    this.#enter("cancelling");
    write("run-state", "Cancelling: what was measured is being written.");
    write("run-problem", "");
    try {
      await call("/api/lab/runs", { method: "DELETE" });
    } catch (error) {
      // It may have ended in the same moment.
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
    // A button that goes takes the focus with it.
    if (state !== "running" && document.activeElement === element("run-cancel")) element("run").focus();
    element("run-cancel").hidden = state !== "running";
    element("run-meter").hidden = !this.isUnderWay;
    if (this.isUnderWay !== wasUnderWay) this.#changed(this.isUnderWay);
  }
}
