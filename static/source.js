// The source of the lines of a deployment, and its end: commands to copy, and the buttons Finish and Delete.
//
// Both views of a deployment share one element. It moves to the view that is open.

import { call } from "./call.js";

/** How long the button Delete asks for a second click. */
const SURE_MS = 4_000;

const element = (id) => document.getElementById(id);

export class Source {
  #path = null;
  /** Where the element stands: `top` while the visitor is to feed the deployment, otherwise `below`. */
  #slots = null;
  /** Whether the place was chosen in this visit. Later the element stays where the visitor saw it. */
  #isPlaced = false;
  #isFolded = false;
  #changed = () => {};
  #sure = null;

  constructor() {
    for (const button of document.querySelectorAll("[data-copies]")) {
      button.addEventListener("click", () => copy(element(button.dataset.copies), button));
    }
    element("finish").addEventListener("click", () => this.#do("POST", "/finish", { status: "succeeded" }));
    element("delete").addEventListener("click", () => this.#delete());
  }

  /** Moves to one of `slots` for the deployment `id`; hidden until `status` is called. Calls `changed` after a change.
   *  `isFolded` keeps the commands folded. */
  show(slots, id, { isFolded = false, changed }) {
    this.#slots = slots;
    this.#isPlaced = false;
    this.#isFolded = isFolded;
    this.#path = `/api/deployments/${id}`;
    this.#changed = changed;
    slots.below.append(element("publish"));
    element("publish").hidden = true;
    element("publish").open = false;
    element("publish-note").textContent = "";
    this.#mean(null);
    for (const button of document.querySelectorAll("[data-copies]")) button.textContent = "Copy";
    const server = location.origin;
    const lines = `${server}${this.#path}/lines`;
    element("with-wirelab").textContent = `wirelab publish --server ${server} --deployment ${id} -- ls -l /`;
    element("with-curl").textContent =
      `curl --data-binary 'hello from curl' --header 'Content-Type: text/plain' ${lines}`;
    element("finish-with-curl").textContent =
      `curl --data '{"status":"succeeded"}' ${server}${this.#path}/finish`;
  }

  /** Shows what the visitor can do with a deployment of this status and source. Without a source the visitor feeds it, so
   *  the commands stand open at the top. A status of null means that there is no deployment. */
  status(status, source) {
    const isRunning = status === "running";
    const isFed = isRunning && source === undefined;
    element("publish").hidden = status === null;
    element("publish-summary").textContent = isFed
      ? "Feed, finish or delete this deployment"
      : isRunning
        ? "Finish or delete this deployment"
        : "Delete this deployment";
    element("publish-commands").hidden = !isFed;
    element("finish").hidden = !isRunning;
    if (this.#isPlaced || status === null) return;
    this.#isPlaced = true;
    if (!isFed) return;
    this.#slots.top.append(element("publish"));
    element("publish").open = !this.#isFolded;
  }

  #delete() {
    if (this.#sure === null) return this.#mean(setTimeout(() => this.#mean(null), SURE_MS));
    this.#mean(null);
    this.#do("DELETE", "");
  }

  /** While the timer runs, the button asks for a second click. */
  #mean(timer) {
    clearTimeout(this.#sure);
    this.#sure = timer;
    element("delete").textContent = timer === null ? "Delete" : "Delete for ever?";
  }

  async #do(method, verb, body) {
    const [note, path] = [element("publish-note"), this.#path];
    note.textContent = "";
    const problem = await call(`${path}${verb}`, { method, body }).then(() => null, (error) => error);
    // The view may show another deployment by now.
    if (path !== this.#path) return;
    if (problem === null) this.#changed();
    else note.textContent = problem.message;
  }
}

/** Copies a command. The clipboard needs a secure context; without one the command is only selected. */
async function copy(source, button) {
  getSelection().selectAllChildren(source);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Selected";
  }
}
