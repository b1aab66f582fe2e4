// Reports and runs: results to read and download, and plans to start and watch.
//
// The data come from the lab (`/api/lab`), which answers only clients on its own machine. When the lab refuses, the page
// shows the reason of the server and nothing else.

import { Refused, call } from "./call.js";
import { letStart, showPlans } from "./reports/plans.js";
import { showResults } from "./reports/results.js";
import { RunView } from "./reports/run.js";

/** How often the list is refreshed while it is shown. A run takes seconds at least. */
const REFRESH_MS = 3_000;
/** The lab refuses this client, or the server has no lab. */
const REFUSALS = [403, 404];
const CARDS = ["refused", "run", "results", "plans"];

const element = (id) => document.getElementById(id);

export class Reports {
  #timer = null;
  /** Aborted when the view is closed. */
  #visit = null;
  /** Whether a refresh runs. There is one request at a time, because a browser has six connections to a server. */
  #isRefreshing = false;
  /** Whether another refresh was asked for meanwhile. */
  #isStale = false;
  /** Whether the lab accepted this page in this visit. */
  #isAdmitted = false;
  /** How many folders the lab lists at most. */
  #listedMax = 0;
  #run;

  constructor(held) {
    this.#run = new RunView(
      held,
      (isUnderWay) => letStart(!isUnderWay),
      () => this.#refresh(),
    );
  }

  /** Shows results and plans and keeps them fresh until `close`. */
  open() {
    document.title = "Reports · wirelab";
    this.#visit = new AbortController();
    this.#isAdmitted = false;
    show([]);
    this.#run.open();
    this.#refresh();
    this.#timer = setInterval(() => {
      if (!document.hidden) this.#refresh();
    }, REFRESH_MS);
  }

  close() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#run.close();
    this.#visit?.abort();
  }

  async #refresh() {
    this.#isStale = true;
    if (this.#isRefreshing) return;
    this.#isRefreshing = true;
    // The view may be closed and opened meanwhile: then the loop runs once more for the new visit.
    while (this.#isStale) {
      this.#isStale = false;
      await this.#ask(this.#visit.signal);
    }
    this.#isRefreshing = false;
  }

  async #ask(signal) {
    try {
      if (!this.#isAdmitted) await this.#enter(signal);
      const [newest] = await call("/api/lab/runs", { signal });
      if (signal.aborted) return;
      this.#run.learn(newest);
      const results = await call("/api/lab/results", { signal });
      if (signal.aborted) return;
      showResults(results, this.#listedMax);
      this.#run.findReport(results);
      element("results-note").textContent = "";
    } catch (error) {
      if (!signal.aborted) this.#tell(error);
    }
  }

  /** Asks the lab whether this page may use it, then for its plans. */
  async #enter(signal) {
    const { results_listed_max } = await call("/api/lab", { signal });
    const plans = await call("/api/lab/plans", { signal }).catch((error) => error);
    if (signal.aborted) return;
    this.#isAdmitted = true;
    this.#listedMax = results_listed_max;
    show(["run", "results", "plans"]);
    element("plans-note").textContent = plans instanceof Error ? `The plans cannot be read: ${plans.message}` : "";
    showPlans(plans instanceof Error ? [] : plans, (plan) => this.#run.start(plan));
    letStart(!this.#run.isUnderWay);
  }

  #tell(error) {
    const isRefused = error instanceof Refused && REFUSALS.includes(error.status);
    if (this.#isAdmitted && !isRefused) {
      // The old rows stay: the page knows no newer ones.
      element("results-note").textContent = `The list is not fresh: ${error.message}`;
      return;
    }
    show(["refused"]);
    element("reports-refusal").textContent = error.message;
    if (!isRefused) return;
    // The next answer would be the same refusal.
    clearInterval(this.#timer);
    this.#run.close();
  }
}

/** Shows these cards and hides the others. */
function show(cards) {
  for (const id of CARDS) element(id).hidden = !cards.includes(id);
}
