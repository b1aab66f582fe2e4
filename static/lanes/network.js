// The network between the server and all clients: its state on every page, and the panel that sets it.
//
// The lab sets it, so the panel works only at the server's own machine. Elsewhere it says why not, and still shows what
// is set: the state comes over the socket of the ledgers, which passes beside the network. What this page sets ends with
// this tab.

import { call } from "../call.js";
import { count } from "../figures.js";
import { endingWithPage } from "../presence.js";

const PATH = "/api/lab/network";

/** No link: as fast as the machine. */
export const NO_NETWORK = { delay_ms: 0, jitter_ms: 0, link_kbit_s: null, silence_s: 0 };

const TYPICAL = "A typical order of magnitude.";
/** Networks to begin with. A delay is that of one way, half of the round trip. */
const PRESETS = [
  { name: "no network", ...NO_NETWORK, source: "As fast as the machine: what a loopback is." },
  { name: "same room", ...NO_NETWORK, delay_ms: 0.5, source: TYPICAL },
  { name: "same city", ...NO_NETWORK, delay_ms: 3, jitter_ms: 1, source: TYPICAL },
  {
    name: "other continent",
    ...NO_NETWORK,
    delay_ms: 75,
    jitter_ms: 3,
    source: `${TYPICAL} Light in glass fibre takes 5 µs per km: 50 ms for 10,000 km, and cables make detours.`,
  },
  {
    name: "3G",
    ...NO_NETWORK,
    delay_ms: 75,
    jitter_ms: 25,
    link_kbit_s: 1_600,
    source: "Round trip and rate down are those of the profile “3G Fast” of WebPageTest; that profile is slower on the way up. The jitter is a typical order of magnitude.",
  },
  {
    name: "tunnel",
    ...NO_NETWORK,
    delay_ms: 50,
    jitter_ms: 20,
    silence_s: 10,
    source: `${TYPICAL} A train that goes 120 km/h is 10 s in a tunnel of 330 m.`,
  },
];
const OWN = "own values";
/** Rates to choose from, kbit/s. */
const RATES = [64, 256, 1_600, 10_000, 100_000];

const element = (id) => document.getElementById(id);

export class NetworkPanel {
  #state = NO_NETWORK;
  /** When the present silence ends (performance.now()). */
  #silentUntil = -Infinity;
  /** Aborted when the view is closed; null while it is. */
  #visit = null;
  /** Whether the lab was asked whether this page may use it. */
  #isKnown = false;
  /** Calls are sent one after the other, so that the last one wins. */
  #sent = Promise.resolve();

  constructor() {
    element("network-preset").append(...[OWN, ...PRESETS.map(({ name }) => name)].map((name) => new Option(name, name)));
    element("network").addEventListener("toggle", () => this.#enter());
    element("network-form").addEventListener("submit", (event) => event.preventDefault());
    element("network-preset").addEventListener("change", ({ target }) => this.#choose(target.value));
    for (const id of ["network-delay", "network-jitter"]) element(id).addEventListener("input", () => this.#write());
    for (const id of ["network-delay", "network-jitter", "network-rate"]) {
      element(id).addEventListener("change", () => this.#send(this.#asked()));
    }
    element("network-fall-silent").addEventListener("click", () => {
      if (!element("network-silence").reportValidity()) return;
      this.#send({ ...this.#asked(), silence_s: element("network-silence").valueAsNumber });
    });
    element("network-none").addEventListener("click", () => this.#send(NO_NETWORK));
    this.show(NO_NETWORK);
  }

  open() {
    this.#visit = new AbortController();
    this.#isKnown = false;
    element("network-note").textContent = "";
    this.#enable(true);
    this.#enter();
  }

  close() {
    this.#visit?.abort();
    this.#visit = null;
    element("network").open = false;
  }

  /** Shows what the server says of the network. */
  show(state) {
    this.#state = state;
    this.#silentUntil = performance.now() + state.silence_s * 1_000;
    const rates = [...new Set([...RATES, ...(state.link_kbit_s === null ? [] : [state.link_kbit_s])])].sort((a, b) => a - b);
    element("network-rate").replaceChildren(
      new Option("as fast as the machine", ""),
      ...rates.map((rate) => new Option(`${count(rate)} kbit/s`, String(rate))),
    );
    element("network-delay").value = state.delay_ms;
    element("network-jitter").value = state.jitter_ms;
    element("network-rate").value = state.link_kbit_s ?? "";
    const isLike = (preset) => ["delay_ms", "jitter_ms", "link_kbit_s"].every((key) => preset[key] === state[key]);
    const like = PRESETS.find(isLike);
    element("network-preset").value = like?.name ?? OWN;
    element("network-source").textContent = like?.source ?? "";
    this.#write();
    this.tick();
  }

  /** Counts a silence down. What is left has the 0.1 s before it, in which the server answers; they are not shown. */
  tick() {
    const left_s = Math.ceil((this.#silentUntil - performance.now()) / 1_000 - 0.1);
    const { delay_ms, jitter_ms, link_kbit_s } = this.#state;
    const said = [
      ...(delay_ms === 0 ? [] : [`${delay_ms} ms each way`]),
      ...(jitter_ms === 0 ? [] : [`± ${jitter_ms} ms`]),
      ...(link_kbit_s === null ? [] : [`${count(link_kbit_s)} kbit/s`]),
      ...(left_s > 0 ? [`silent for ${left_s} s`] : []),
    ];
    const text = said.length === 0 ? "none" : said.join(", ");
    if (element("network-state").textContent !== text) element("network-state").textContent = text;
  }

  /** Asks the lab, once the panel is open, whether this page may use it. */
  async #enter() {
    if (!element("network").open || this.#isKnown || this.#visit === null) return;
    this.#isKnown = true;
    const { signal } = this.#visit;
    try {
      await call(PATH, { signal });
    } catch (error) {
      if (signal.aborted) return;
      this.#enable(false);
      element("network-note").textContent = error.message;
    }
  }

  /** Takes a network from the list. */
  #choose(name) {
    const preset = PRESETS.find((preset) => preset.name === name);
    if (preset === undefined) return;
    const { delay_ms, jitter_ms, link_kbit_s, silence_s } = preset;
    if (silence_s > 0) element("network-silence").value = silence_s;
    this.#send({ delay_ms, jitter_ms, link_kbit_s, silence_s });
  }

  /** What the controls ask for. Jitter is at most the delay: no byte arrives before it leaves. */
  #asked() {
    const delay_ms = element("network-delay").valueAsNumber;
    const rate = element("network-rate").value;
    return {
      delay_ms,
      jitter_ms: Math.min(element("network-jitter").valueAsNumber, delay_ms),
      link_kbit_s: rate === "" ? null : Number(rate),
    };
  }

  #write() {
    for (const name of ["delay", "jitter"]) {
      element(`network-${name}-value`).value = `${element(`network-${name}`).valueAsNumber} ms`;
    }
  }

  #send(asked) {
    const signal = this.#visit?.signal;
    this.#sent = this.#sent.then(async () => {
      try {
        this.show(await call(endingWithPage(PATH), { method: "PUT", body: asked, signal }));
        element("network-note").textContent = "";
      } catch (error) {
        if (!signal?.aborted) element("network-note").textContent = error.message;
      }
    });
  }

  #enable(isEnabled) {
    for (const control of element("network-form").elements) control.disabled = !isEnabled;
  }
}
