// Results and runs: what was measured, to be read and downloaded; and plans, to be started and watched.
//
// All of it is the lab's (`/api/lab`), which answers only the machine it runs on. Where it is refused, the page
// says so in the server's words and shows nothing else.

import { Refused, call } from "./call.js";
import { letStart, showPlans } from "./reports/plans.js";
import { showResults } from "./reports/results.js";
import { RunView } from "./reports/run.js";

/** How often the list is asked for while it is looked at. A run takes seconds at least. */
const REFRESH_MS = 3_000;
/** The lab is there and lets nobody in, or is not there. */
const REFUSALS = [403, 404];
const CARDS = ["refused", "run", "results", "plans"];

const element = (id) => document.getElementById(id);

export class Reports {
  #timer = null;
  /** Aborted when the view is left. */
  #visit = null;
  /** Whether a refresh is under way: one request at a time, since a browser has six connections to a server. */
  #isRefreshing = false;
  /** Whether there was something new meanwhile. */
  #isStale = false;
  /** Whether the lab let this page in, in this visit. */
  #isAdmitted = false;
  /** How many folders the lab lists. */
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
    // Whoever leaves and comes back meanwhile finds the loop going round once more, for the new visit.
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

  /** The lab itself first: it says whether this page may use it. */
  async #enter(signal) {
    const { results_listed_max } = await call("/api/lab", { signal });
    const plans = await call("/api/lab/plans", { signal }).catch((error) => error);
    if (signal.aborted) return;
    this.#isAdmitted = true;
    this.#listedMax = results_listed_max;
    show(["run", "results", "plans"]);
    element("plans-note").textContent = plans instanceof Error ? `No plans: ${plans.message}` : "";
    showPlans(plans instanceof Error ? [] : plans, (plan) => this.#run.start(plan));
    letStart(!this.#run.isUnderWay);
  }

  #tell(error) {
    const isRefused = error instanceof Refused && REFUSALS.includes(error.status);
    if (this.#isAdmitted && !isRefused) {
      // The old rows stay: they are the last that is known.
      element("results-note").textContent = `The list is not fresh: ${error.message}`;
      return;
    }
    show(["refused"]);
    element("reports-refusal").textContent = error.message;
    if (!isRefused) return;
    // It will say the same the next time.
    clearInterval(this.#timer);
    this.#run.close();
  }
}

/** These cards and no other. */
function show(cards) {
  for (const id of CARDS) element(id).hidden = !cards.includes(id);
}
