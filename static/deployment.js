// The view of one deployment over one transport: controls, facts and the log. A `Follower` gives what it shows.

import { Backoff, sleep } from "./backoff.js";
import { count, duration } from "./figures.js";
import { Follower } from "./follower.js";
import { LogView, WHOLE_WINDOW } from "./log_view.js";
import { showStatus } from "./overview.js";
import { visible } from "./terminal.js";

/** The wire of the transport that is chosen first; without it, the first transport of the list. */
const WIRE_DEFAULT = "sse";
const CLOCK_MS = 1_000;
const FIRST_CEILING_MS = 500;

const element = (id) => document.getElementById(id);

/** Writes only what changed, so that a screen reader does not repeat it. */
function write(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}

export class DeploymentView {
  #transports;
  #source;
  #held;
  #log = new LogView(element("log"), element("above"), element("jump"), WHOLE_WINDOW);
  #follower = null;
  #id = null;
  /** Aborted when the view is left. */
  #visit = null;
  #frame = null;
  #clock = null;
  #shownState = null;

  /** `transports` are the rows of `/api/transports`; the `half` of each is its browser module, or null. */
  constructor(transports, source, held) {
    this.#transports = transports;
    this.#source = source;
    this.#held = held;
    element("transport").replaceChildren(
      ...transports.map(({ name, half }) => {
        const option = new Option(half ? name : `${name} (no browser half)`, name);
        option.disabled = half === null;
        return option;
      }),
    );
    element("transport").addEventListener("change", () => this.#choose());
    element("connect").addEventListener("click", () => this.#connect());
    element("disconnect").addEventListener("click", () => this.#follower.disconnect());
    element("ping").addEventListener("click", () => this.#ping());
    element("clear").addEventListener("click", () => this.#log.clear());
  }

  /** Opens a deployment and follows it. `transportName` may be absent or unknown. */
  open(id, transportName) {
    this.#id = id;
    this.#visit = new AbortController();
    const path = `/api/deployments/${id}`;
    this.#log.clear();
    write("name", id);
    write("id", id);
    write("round-trip", "–");
    // The badge still shows the deployment before, so it is hidden until the server has described this one.
    element("status").hidden = true;
    const [top, below] = [element("deployment-source-top"), element("deployment-source")];
    this.#source.show({ top, below }, id, { changed: () => this.#describe() });
    element("all-lines").href = `${path}/lines`;
    const usable = this.#transports.filter(({ half }) => half !== null);
    const chosen =
      usable.find(({ name }) => name === transportName) ??
      usable.find(({ wire }) => wire === WIRE_DEFAULT) ??
      usable[0];
    element("transport").value = chosen?.name ?? "";
    this.#follower = new Follower(
      path,
      {
        lines: (lines, origin) => this.#log.append(lines, origin),
        note: (text) => this.#log.note(text),
        skipped: (skipped) => this.#log.skip(skipped),
        restarted: () => this.#log.clear(),
        changed: () => this.#changed(),
      },
      this.#held,
    );
    this.#shownState = null;
    this.#clock = setInterval(() => this.#changed(), CLOCK_MS);
    this.#describe();
    this.#choose();
    this.#connect();
  }

  close() {
    clearInterval(this.#clock);
    this.#visit?.abort();
    this.#follower?.disconnect();
    this.#follower = null;
    this.#id = null;
  }

  /** Asks for name and status. The follower tells why a deployment is missing. */
  async #describe() {
    const [path, visit] = [`/api/deployments/${this.#id}`, this.#visit.signal];
    const backoff = new Backoff(FIRST_CEILING_MS);
    do {
      const response = await fetch(path, { cache: "no-store", signal: visit }).catch(() => null);
      const deployment = response?.ok ? await response.json().catch(() => null) : null;
      if (visit.aborted) return;
      if (response?.status === 404) return this.#showGone();
      if (deployment) return this.#showDeployment(deployment);
    } while (await sleep(backoff.failed(), visit));
  }

  #showGone() {
    element("status").hidden = true;
    this.#source.status(null);
  }

  #showDeployment({ name, status, source }) {
    write("name", visible(name));
    document.title = `${visible(name)} · wirelab`;
    showStatus(element("status"), status);
    element("status").hidden = false;
    this.#source.status(status, source);
  }

  #chosen() {
    return this.#transports.find(({ name }) => name === element("transport").value);
  }

  /** Takes the chosen transport. While connected, the page goes on over it from the same cursor. */
  #choose() {
    const chosen = this.#chosen();
    write("waits", chosen ? `Who waits: ${chosen.waits}. ${chosen.summary}` : "This page can use no transport of the server.");
    write("ping-note", chosen?.half.pingRefusal ? `No ping: ${chosen.half.pingRefusal}` : "");
    write("round-trip", "–");
    if (chosen) history.replaceState(null, "", `#/${this.#id}/${chosen.name}`);
    if (this.#follower.isActive) this.#connect();
  }

  #connect() {
    const chosen = this.#chosen();
    if (chosen) this.#follower.connect(chosen, chosen.half, WHOLE_WINDOW.rows);
  }

  #ping() {
    write("round-trip", "…");
    this.#follower.ping((ms) => write("round-trip", ms === null ? "–" : `${ms.toFixed(1)} ms`));
  }

  /** Draws the facts at most once a frame, for any number of lines. */
  #changed() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      if (this.#follower) this.#draw(this.#follower);
    });
  }

  #draw(follower) {
    const { state, detail, cursor, counts, liveSince, connected_ms, isActive } = follower;
    if (state !== this.#shownState) {
      this.#shownState = state;
      element("state").dataset.state = state;
      if (state !== "live" && element("round-trip").textContent === "…") write("round-trip", "–");
      // The deployment tells how it ended.
      if (state === "finished") this.#describe();
      if (follower.isGone) this.#showGone();
    }
    write("state", state);
    write("detail", detail);
    element("detail").hidden = detail === "";
    write("history-count", count(counts.history));
    write("live-count", count(counts.live));
    const { lost, repeated } = counts;
    write("order", lost + repeated === 0 ? "each once, in order" : `${count(lost)} lost, ${count(repeated)} twice`);
    element("order").classList.toggle("wrong", lost + repeated > 0);
    write("connected", liveSince === null ? "–" : duration(performance.now() - liveSince));
    write("connect-time", connected_ms === null ? "" : `took ${connected_ms.toFixed(0)} ms`);
    write("cursor", cursor ?? "–");
    element("connect").disabled = isActive || !this.#chosen();
    element("disconnect").disabled = !isActive;
    element("ping").disabled = !follower.canCommand;
  }
}
