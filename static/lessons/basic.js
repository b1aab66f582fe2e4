// Lesson 1, basic streaming: one log over every transport, and how often each transport asks for it.

import { milliseconds, span } from "../figures.js";
import { exactly, unknown, within } from "./verdict.js";

/** Lines that each lane reads by the regular API before it goes live. */
const HISTORY = 12;
const MEASURED_S = 20;
const INTERVAL_S = 2;
const RATE_HZ = 2;

/** Requests for each line that came live, as a text. */
function perLine(counted, live) {
  if (counted === null || live === 0) return "–";
  return counted.requests === 0 ? "0" : (counted.requests / live).toPrecision(2);
}

export const lesson = {
  title: "Basic streaming",
  summary: "Every transport follows one log at once: first its history, then live lines.",
  text: [
    `A deployment writes about ${RATE_HZ} lines a second. A lane is one subscriber: it follows the log over one transport. ` +
      `Every lane first reads the history, ${HISTORY} lines, by the regular API. Then it goes on live from its cursor, the ` +
      "position after its last line.",
    `Watch the timeline for ${MEASURED_S} s: which side asks, who waits, which side speaks first? The short poll asks every ${INTERVAL_S} s.`,
  ],
  needs: ["short-poll", "sse"],
  predictions: [
    { name: "requests", label: `How many requests does the short poll make in ${MEASURED_S} s?` },
    { name: "stream", label: "How many does the SSE lane make?" },
    { name: "slowest", label: "Which lane shows a line last?", isLane: true },
  ],

  async run(stage) {
    const id = await stage.create("lesson 1", { kind: "generate", rate_hz: RATE_HZ });
    await stage.filled(id, HISTORY, "The deployment runs without subscribers:");
    stage.view.set("interval", INTERVAL_S);
    stage.open(id);
    await stage.ready();
    await stage.counted();
    stage.view.restart();
    await stage.seconds(MEASURED_S, "Measured:");
    const seen = stage.view.lanes.map((lane) => ({ lane, counted: lane.counted, live: lane.counts.live }));
    const requests = (name) => seen.find(({ lane }) => lane.transport.name === name)?.counted?.requests ?? null;
    const p50 = new Map(stage.view.lanes.map((lane) => [lane, lane.latency.quantile(0.5)]));
    const slowest = stage.view.lanes.reduce((a, b) => ((p50.get(a) ?? 0) >= (p50.get(b) ?? 0) ? a : b));
    const rows = seen.map(({ lane, counted, live }) => [
      lane.transport.name,
      String(lane.counts.history),
      String(live),
      `${lane.counts.lost}, ${lane.counts.repeated}`,
      counted === null ? "–" : String(counted.requests),
      counted === null ? "–" : String(counted.empty + counted.timeout),
      perLine(counted, live),
      milliseconds(p50.get(lane)),
    ]);
    return {
      caption: `What each lane did in ${MEASURED_S} s. The lanes below go on, so they show more by now`,
      columns: ["lane", "from history", "live", "lost, twice", "requests", "empty", "requests per live line", "latency p50 (ms)"],
      rows: () => rows,
      answers: {
        // One more or less depends on when the first question fell.
        requests: requests("short-poll") === null ? unknown("–") : within(requests("short-poll"), 1),
        stream: requests("sse") === null ? unknown("–") : exactly(requests("sse")),
        slowest:
          p50.get(slowest) === null
            ? unknown("–")
            : exactly(slowest.transport.name, `${slowest.transport.name}, p50 ${span(p50.get(slowest))}`),
      },
      conclusion: [
        `Every lane read ${HISTORY} lines or a few more by the regular API. Then it went on from the same cursor over its transport.`,
        "A short poll asks even when there is no new line, and a new line waits for the next request. A long poll asks once " +
          "per answer. A stream asked before the measurement began. It needs no further request for its lines.",
        "The lanes may differ by a few lines, which were on their way when the measurement began or ended.",
      ],
    };
  },
};
