// Guided lessons: you predict, run the lesson, and compare.
//
// Each lesson is a module in `lessons/`. `NAMES` gives their order. This file shows the list and asks for the
// prediction. It gives the lesson a stage to play on and shows the measurement. A lesson `needs` the transports that it
// names. Other transports that the server offers may get a lane as well.

import { Stage } from "./lessons/stage.js";

const NAMES = ["basic", "many", "resilience", "six", "predict", "distance"];
/** How often a table of measurements is refreshed while it is shown. */
const REFRESH_MS = 1_000;

/** Explains latencies when the clocks of browser and server cannot be compared. */
const RELATIVE =
  "The clocks of browser and server may disagree. So a latency says how long after the first lane a line came. " +
  "It cannot be compared with theory.";

/** Said while the server is away, and after it was. */
const AWAY = "The server is away. The lesson waits for it and goes on.";
const WAS_AWAY = "The server was away for a while, and the lesson went on. So the figures include that time.";

const element = (id) => document.getElementById(id);

/** Makes an element with a text. */
function make(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

export class Lessons {
  #view;
  #lessons;
  #lesson = null;
  /** Aborted when the lesson is left. */
  #visit = null;
  #stage = null;
  #refresh = null;

  constructor(view, lessons) {
    this.#view = view;
    this.#lessons = lessons;
    element("lesson-list").append(...lessons.map((lesson, i) => item(lesson, i + 1)));
    element("lesson-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#run();
    });
    addEventListener("pagehide", () => this.#stage?.tidy());
  }

  /** Loads the modules of the lessons. */
  static async load(view) {
    const modules = await Promise.all(NAMES.map((name) => import(`./lessons/${name}.js`)));
    return new Lessons(view, modules.map(({ lesson }) => lesson));
  }

  /** Sets the title of the page for the list of lessons. */
  list() {
    document.title = "Lessons · wirelab";
  }

  /** Asks for the prediction of lesson `number`. Returns false when there is no such lesson. */
  open(number) {
    const lesson = this.#lessons[number - 1];
    if (lesson === undefined) return false;
    document.title = `${lesson.title} · wirelab`;
    const { offered } = this.#view;
    this.#visit = new AbortController();
    element("lesson-number").textContent = `Lesson ${number} of ${this.#lessons.length}`;
    element("lesson-title").textContent = lesson.title;
    element("lesson-text").replaceChildren(...lesson.text.map((text) => make("p", text)));
    element("lesson-fields").replaceChildren(...lesson.predictions.map((asked) => field(asked, offered)));
    element("lesson-ask").open = true;
    element("lesson-result").replaceChildren();
    const missing = lesson.needs.filter((name) => !offered.includes(name));
    this.#say(missing.length === 0 ? "" : `This lesson needs ${missing.join(" and ")}: start the server without --transports, or load the page again.`);
    this.#enable(missing.length === 0);
    element("lanes").classList.add("before");
    element("lesson").hidden = false;
    this.#lesson = lesson;
    return true;
  }

  close() {
    this.#visit?.abort();
    this.#stop();
    this.#lesson = null;
    element("lesson").hidden = true;
    element("lesson-result").replaceChildren();
    element("lanes").classList.remove("before", "lesson");
  }

  #stop() {
    clearInterval(this.#refresh);
    this.#stage?.tidy();
    this.#stage = null;
  }

  async #run() {
    // The lanes let go first: a poll of a deployment that is being deleted would be refused.
    this.#view.close();
    this.#stop();
    const { signal } = this.#visit;
    const stage = (this.#stage = new Stage(this.#view, signal, {
      say: (text, left) => this.#say(text, left),
      away: (isAway) => (element("lesson-away").textContent = isAway ? AWAY : ""),
    }));
    element("lesson-result").replaceChildren();
    this.#say("");
    this.#enable(false);
    // The lanes below show what happens now.
    element("lesson-ask").open = false;
    element("lesson-say").focus({ preventScroll: true });
    try {
      const answers = Object.fromEntries(new FormData(element("lesson-form")));
      const measured = await this.#lesson.run(stage, answers);
      if (signal.aborted) return;
      this.#say("Measured.");
      if (stage.wasAway) measured.conclusion.push(WAS_AWAY);
      this.#show(measured, answers);
    } catch (error) {
      if (signal.aborted) return;
      this.#say(`The lesson stopped: ${error.message}`);
    } finally {
      element("lesson-away").textContent = "";
      if (!signal.aborted) this.#enable(true);
    }
  }

  /** Shows the measurement beside the prediction. */
  #show(measured, said) {
    const figures = make("table");
    const show = () => fill(figures, measured.caption, measured.columns, measured.rows());
    show();
    // The lanes of a lesson may go on after its measurement.
    this.#refresh = setInterval(show, REFRESH_MS);
    const words = make("div", "", "conclusion");
    const asked = this.#lesson.predictions.filter(({ name }) => measured.answers[name] !== undefined);
    const compared = make("table");
    const rows = asked.map(({ name, label, unit }) => {
      const answer = measured.answers[name];
      return [unit ? `${label} (${unit})` : label, said[name] || "–", answer.is, verdict(answer, said[name])];
    });
    fill(compared, "Predicted and measured", ["", "you", "measured", "verdict"], rows);
    const conclusion = this.#view.isAbsolute ? measured.conclusion : [...measured.conclusion, RELATIVE];
    // A conclusion may have buttons.
    words.append(compared, ...conclusion.map((said) => (said instanceof Node ? said : make("p", said))));
    element("lesson-result").replaceChildren(words, figures);
  }

  #enable(isEnabled) {
    element("lesson-run").disabled = !isEnabled;
    element("lesson-run").textContent = this.#stage === null ? "Run it" : "Run it again";
  }

  /** Says what happens now. What is left of it counts down beside, hidden from screen readers. */
  #say(text, left = "") {
    if (element("lesson-say").textContent !== text) element("lesson-say").textContent = text;
    element("lesson-left").textContent = left;
  }
}

function item({ title, summary }, number) {
  const entry = make("li", "", "card");
  const link = make("a", `${number}. ${title}`);
  link.href = `#/lessons/${number}`;
  entry.append(link, make("p", summary, "quiet"));
  return entry;
}

/** Makes the field of a prediction: a number, a choice of words, or a choice of lanes. */
function field({ name, label, unit, isLane = false, choices = null, ...number }, lanes) {
  const labelled = make("label", label);
  const words = isLane ? lanes : choices;
  const input = make(words === null ? "input" : "select");
  input.name = name;
  if (words !== null) input.append(new Option("–", ""), ...words.map((word) => new Option(word, word)));
  else Object.assign(input, { type: "number", min: 0, step: "any", ...number });
  labelled.append(input);
  if (unit) labelled.append(make("span", unit, "quiet"));
  return labelled;
}

/** Says whether a prediction is right, and what is right if that is more than one value. */
function verdict({ fits, allowed }, said) {
  if (!said || fits === null) return "–";
  const isRight = fits(said);
  const among = allowed === "" ? "" : isRight ? ` (${allowed})` : ` (right: ${allowed})`;
  const cell = make("span", `${isRight ? "✓ right" : "✗ wrong"}${among}`, "verdict");
  cell.dataset.verdict = isRight ? "right" : "wrong";
  return cell;
}

/** Fills a table; each column and each row has a heading. A cell is a text or an element. */
function fill(table, caption, columns, rows) {
  const head = make("thead");
  const names = make("tr");
  names.append(...columns.map((name) => Object.assign(make("th", name), { scope: "col" })));
  head.append(names);
  const body = make("tbody");
  for (const [first, ...rest] of rows) {
    const row = make("tr");
    const cells = rest.map((content, i) => {
      const cell = make("td");
      cell.append(content);
      // On a narrow screen the heading of the column stands beside the cell.
      cell.dataset.column = columns[i + 1];
      return cell;
    });
    row.append(Object.assign(make("th", first), { scope: "row" }), ...cells);
    body.append(row);
  }
  table.replaceChildren(make("caption", caption), head, body);
}
