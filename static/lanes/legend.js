// The legend of the timeline: each sign beside its words. The code of the timeline draws it from events like a lane's.

import { SLANT_PX_MIN, View, linesOf, paintStrip } from "./paint.js";
import { Strip } from "./strip.js";

const SAMPLE_PX = { width: 84, height: 44 };
/** Length of a sample; the times of its events lie within. */
const SAMPLE_MS = 840;

const SAMPLES = [
  {
    words: "↓ question, ↑ answer: hollow is empty, filled has lines",
    events: [asked(160), answered(165, "empty"), asked(530), answered(535, "data")],
  },
  { words: "bar below: the server waits before it answers", events: [asked(90), answered(730, "data")] },
  {
    words: "ticks above: the client waits before it asks",
    events: [asked(20), answered(25, "empty"), asked(600), answered(605, "empty")],
    sleeps: true,
  },
  { words: "bar without end: a stream; ↑ the server pushes lines", events: [asked(60), opened(70), ...pushed(330, 450, 710)] },
  {
    words: "filled: open in both directions; ↓ the client's messages",
    events: [asked(60), opened(70), ...pushed(300, 650), { kind: "said", at: 470 }],
  },
  { words: "torn edges: cut, then connected again", events: [opened(-200), { kind: "cut", at: 240 }, asked(560), opened(570)] },
  { words: "cross: a request was refused or failed", events: [asked(360), answered(370, "refused")] },
];

// Each event belongs to the last question before it; `played` fills in its id.
function asked(at) {
  return { kind: "asked", at };
}

function answered(at, outcome) {
  return { kind: "answered", at, outcome, lines: outcome === "data" ? 1 : 0 };
}

function opened(at) {
  return { kind: "opened", at };
}

function pushed(...times) {
  return times.map((at) => ({ kind: "pushed", at, lines: 1 }));
}

/** Fills a list with the signs. `paint(palette)` draws them again, in new colours or for another screen. */
export class Legend {
  constructor(list) {
    this.samples = SAMPLES.map(({ words, events, sleeps = false }) => {
      const item = document.createElement("li");
      const canvas = document.createElement("canvas");
      canvas.setAttribute("aria-hidden", "true");
      canvas.style.width = `${SAMPLE_PX.width}px`;
      canvas.style.height = `${SAMPLE_PX.height}px`;
      const text = document.createElement("span");
      text.textContent = words;
      item.append(canvas, text);
      list.append(item);
      return { canvas, strip: played(events, sleeps) };
    });
    const note = document.createElement("li");
    note.className = "timeline-note";
    note.textContent =
      "The upper line is the client, the lower line is the server. " +
      `A slant is as wide as the network's delay. It is ${SLANT_PX_MIN} pixels wide even for a shorter trip, and narrower ` +
      "where signs are dense.";
    list.append(note);
  }

  paint(palette) {
    const ratio = devicePixelRatio;
    const { width, height } = SAMPLE_PX;
    const lines = linesOf(0, height);
    const scale = width / SAMPLE_MS;
    const view = new View({ now: SAMPLE_MS, scale, offset: 0, left: 0, right: width, settled: true });
    for (const { canvas, strip } of this.samples) {
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      paintStrip(context, palette, view, lines, strip);
    }
  }
}

/** Returns the strip after these events. Only a sample about sleeping shows a sleep. */
function played(events, sleeps) {
  const strip = new Strip();
  strip.since = 0;
  let id = 0;
  for (const event of events) {
    if (event.kind === "asked") id += 1;
    strip.wire({ ...event, id: event.kind === "cut" ? undefined : id });
  }
  if (!sleeps) {
    strip.sleeps.clear();
    strip.sleep = null;
  }
  return strip;
}
