// The overview: the list of deployments, and a form that creates one.

import { call } from "./call.js";
import { count } from "./figures.js";
import { endingWithPage } from "./presence.js";
import { problemOf } from "./refusal.js";
import { visible } from "./terminal.js";

/** How often the list is refreshed while it is shown. */
const REFRESH_MS = 2_000;
/** The server answers at once, so an answer is late after this time. */
const ANSWER_TIMEOUT_MS = 10_000;
/** Rows that are shown at first, and that one press of "Show older deployments" adds: as many as one request gives. */
const PAGE_ROWS = 100;
/** Clocks of two machines that agree well enough for whole seconds, s. */
const AHEAD_S_MAX = 5;

const element = (id) => document.getElementById(id);

export class Overview {
  #timer = null;
  /** Aborts the running request; null between two requests. */
  #asking = null;
  /** How many requests the list takes: each for the deployments before those of the last one. */
  #pages = 1;
  #created;

  /** Calls `created(deployment)` when the form has created a deployment. */
  constructor(created) {
    this.#created = created;
    const form = element("create");
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#create(form);
    });
    form.addEventListener("change", () => showFields(form));
    element("rate-slider").addEventListener("input", () => (element("rate").value = element("rate-slider").value));
    element("rate").addEventListener("input", () => (element("rate-slider").value = element("rate").value));
    showFields(form);
    element("list-older").addEventListener("click", () => {
      this.#pages += 1;
      this.#refresh();
    });
  }

  /** Shows the list and keeps it fresh until `close`. */
  open() {
    document.title = "wirelab";
    loadRecordings();
    this.#refresh();
    this.#timer = setInterval(() => {
      if (document.hidden) return;
      // A replay needs the list of recordings.
      if (element("recording").length === 0) loadRecordings();
      this.#refresh();
    }, REFRESH_MS);
  }

  close() {
    clearInterval(this.#timer);
    this.#timer = null;
    this.#asking?.abort();
    this.#asking = null;
  }

  /** Refreshes the list, one request at a time: requests that hang must not use all six connections of the browser. */
  async #refresh() {
    if (this.#asking) return;
    const asking = (this.#asking = new AbortController());
    const note = element("list-note");
    try {
      const { deployments, isWhole } = await this.#list(asking.signal);
      if (asking.signal.aborted) return;
      showRows(deployments);
      element("list-more").hidden = isWhole;
      note.textContent = "";
    } catch (error) {
      // The old rows stay: the page knows no newer ones.
      if (!asking.signal.aborted) note.textContent = `The list is not fresh: ${error.message}`;
    } finally {
      // After `close` and `open` another request may be under way.
      if (this.#asking === asking) this.#asking = null;
    }
  }

  /** Asks for the shown pages, newest first. `isWhole` tells that there are no older deployments. */
  async #list(signal) {
    const deployments = [];
    for (let page = 0; page < this.#pages; page += 1) {
      const before = page === 0 ? "" : `&before=${deployments.at(-1).id}`;
      const response = await fetch(`/api/deployments?limit=${PAGE_ROWS}${before}`, {
        cache: "no-store",
        signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
      });
      if (!response.ok) throw new Error((await problemOf(response)).detail);
      const older = await response.json();
      deployments.push(...older);
      if (older.length < PAGE_ROWS) return { deployments, isWhole: true };
    }
    return { deployments, isWhole: false };
  }

  async #create(form) {
    const note = element("create-note");
    const button = form.querySelector("button");
    const source = sourceOf(form);
    const body = { name: form.elements.name.value, ...(source && { source }) };
    note.textContent = "";
    button.disabled = true;
    try {
      // A generator is of use to this page only.
      const path = source?.kind === "generate" ? endingWithPage("/api/deployments") : "/api/deployments";
      const created = await call(path, { method: "POST", body });
      // A visitor who has left the overview stays elsewhere; the list has the deployment.
      if (this.#timer !== null) this.#created(created);
    } catch (error) {
      note.textContent = error.message;
    } finally {
      button.disabled = false;
    }
  }
}

/** The source that the server should read lines from; null means no source. */
function sourceOf({ elements }) {
  switch (elements.source.value) {
    case "replay":
      return { kind: "replay", recording: elements.recording.value, speed: elements.speed.valueAsNumber };
    case "generate":
      return { kind: "generate", rate_hz: elements.rate_hz.valueAsNumber, for_s: elements.minutes.valueAsNumber * 60 };
    default:
      return null;
  }
}

/** Shows the fields of the chosen source. The others are disabled, so that they do not block the form. */
function showFields(form) {
  for (const fields of form.querySelectorAll("[data-source]")) {
    fields.hidden = fields.disabled = fields.dataset.source !== form.elements.source.value;
  }
}

async function loadRecordings() {
  const select = element("recording");
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const response = await fetch("/api/recordings", { cache: "no-store", signal }).catch(() => null);
  // After a failure or a cut body the shown list stays.
  const recordings = response?.ok ? await response.json().catch(() => null) : null;
  if (!recordings) return;
  const chosen = select.value;
  select.replaceChildren(
    ...recordings.map(({ name, lines, duration_ms }) => {
      return new Option(`${visible(name)} (${lines} lines, ${Math.round(duration_ms / 1_000)} s)`, name);
    }),
  );
  if (chosen) select.value = chosen;
}

/** Shows the rows. A row is kept by its id, so that a refresh does not take the focus away. */
function showRows(deployments) {
  const list = element("list");
  const known = new Map([...list.rows].map((row) => [row.dataset.id, row]));
  const rows = deployments.map((deployment) => {
    const row = known.get(deployment.id) ?? newRow(deployment);
    const [, status, lines, created] = row.cells;
    showStatus(status.firstElementChild, deployment.status);
    lines.textContent = count(deployment.lines);
    created.firstElementChild.textContent = ago(deployment.created_us);
    return row;
  });
  const unchanged = rows.length === list.rows.length && rows.every((row, i) => row === list.rows[i]);
  if (!unchanged) list.replaceChildren(...rows);
  element("list-table").hidden = rows.length === 0;
  element("list-empty").hidden = rows.length > 0;
}

function newRow({ id, name, created_us }) {
  const row = element("list-row").content.firstElementChild.cloneNode(true);
  row.dataset.id = id;
  const link = row.querySelector("a");
  link.href = `#/${id}`;
  link.textContent = visible(name);
  row.querySelector("code").textContent = id;
  const time = row.querySelector("time");
  const created = new Date(created_us / 1_000);
  time.dateTime = created.toISOString();
  time.title = created.toLocaleString();
  return row;
}

/** Shows a status as a word in its colour. */
export function showStatus(badge, status) {
  badge.textContent = status;
  badge.dataset.status = status;
}

/** Says how long ago something was made. The server's clock may be ahead of this browser's. */
function ago(created_us) {
  const passed_s = Math.round((Date.now() - created_us / 1_000) / 1_000);
  if (passed_s < -AHEAD_S_MAX) return "ahead of this clock";
  const s = Math.max(passed_s, 0);
  if (s < 60) return `${s} s ago`;
  if (s < 3_600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ago`;
  return `${Math.floor(s / 86_400)} d ago`;
}
