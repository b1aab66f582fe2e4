// Lesson 5, predict, then run: you choose a poll interval and predict its cost; theory and measurement answer.

import { Refused } from "../call.js";
import { count, milliseconds } from "../figures.js";
import { unknown, within } from "./verdict.js";

const RATE_HZ = 2;
const MEASURED_S = 30;
const TRANSPORTS = ["short-poll", "long-poll", "sse"];

const figure = (value) => (value === null || value === undefined ? "–" : Number(value).toPrecision(3));
/** Whether a line waits for the next question (formula F1). */
const waits = (theory) => theory?.formulas.includes("F1");
/** Whether the only request, that of a stream, was made before the measurement began (formula F8). */
const asksOnce = (theory) => theory?.formulas.includes("F8");
const counted = (requests) => (requests === null ? "–" : count(requests));

export const lesson = {
  title: "Predict, then run",
  summary: "Choose a poll interval and predict what it costs. Then compare with theory and measurement.",
  text: [
    `A deployment writes ${RATE_HZ} lines a second, at random times, for ${MEASURED_S} s. Choose an interval for the short ` +
      "poll. How many requests does it make? How late is a line on average?",
    "The server computes the theory. It uses the formulas that also judge every run of the harness, the measuring half of " +
      "wirelab. Here they are computed for one subscriber, the lines that came, and the time that an exchange with the " +
      "server takes this browser.",
  ],
  needs: TRANSPORTS,
  predictions: [
    { name: "interval", label: "Poll interval", unit: "s", value: 3, min: 0.1, max: 10, step: 0.1, required: true },
    { name: "requests", label: `Requests of the short poll in ${MEASURED_S} s:` },
    { name: "latency", label: "Its mean latency", unit: "ms" },
  ],

  async run(stage, { interval, ...yours }) {
    const interval_s = stage.view.set("interval", Number(interval));
    const { hold_s } = stage.view.settings;
    const id = await stage.create("lesson 5");
    stage.open(id, TRANSPORTS);
    const { lanes } = stage.view;
    await stage.ready();
    await stage.counted();
    const round_trip_ms = await stage.exchange_ms(id);
    stage.view.restart();
    await stage.feed(id, RATE_HZ, MEASURED_S, "Measured:");
    const requests = lanes.map(({ counted }) => counted?.requests ?? null);
    // The slowest poll may still wait for a line from just before the end.
    await stage.pass(interval_s);
    const lines = lanes[0].counts.live;
    const rate_hz = Math.max(lines, 1) / MEASURED_S;
    const theory = await Promise.all(
      lanes.map(({ transport: { name: transport } }) => {
        const asked = { transport, interval_s, hold_s, rate_hz, duration_s: MEASURED_S, subscribers: 1, round_trip_ms };
        // No formula covers an exchange that takes longer than the interval.
        return stage.ask(`/api/theory?${new URLSearchParams(asked)}`).catch((error) => {
          if (error instanceof Refused) return null;
          throw error;
        });
      }),
    );
    // Two standard errors of the mean of `lines` independent waits, each uniform over the interval.
    const scatter_ms = (2 * interval_s * 1_000) / Math.sqrt(12 * Math.max(lines, 1));
    const measured = lanes.map((lane, i) => ({
      requests: requests[i],
      mean: lane.latency.mean,
    }));
    const said = ({ name }, text) => (name === "short-poll" && text !== "" ? text : "–");
    return {
      caption: `An interval of ${interval_s} s, ${RATE_HZ} lines a second, ${MEASURED_S} s`,
      columns: [
        "lane",
        "requests: you",
        "theory",
        "measured",
        "mean latency (ms): you",
        "theory",
        "measured",
      ],
      rows: () =>
        lanes.map(({ transport }, i) => [
          transport.name,
          said(transport, yours.requests),
          asksOnce(theory[i]) ? "0" : figure(theory[i]?.requests),
          counted(measured[i].requests),
          said(transport, yours.latency),
          // The other transports let no line wait, so no formula says how late it is.
          waits(theory[i]) ? milliseconds(theory[i].latency_ms.mean) : "–",
          milliseconds(measured[i].mean),
        ]),
      answers: {
        // One more or less depends on when the first question fell.
        requests: measured[0].requests === null ? unknown("–") : within(measured[0].requests, 1, count),
        latency: measured[0].mean === null ? unknown("–") : within(measured[0].mean, scatter_ms, milliseconds),
      },
      conclusion: [
        "A line comes at any moment of the interval, so on average it waits half an interval (formula F1). The number of " +
          "requests is the time divided by the interval (F2), whether lines come or not. One request more or less depends " +
          "on when the first one happened.",
        `The mean of ${lines} waits between 0 and ${interval_s} s varies by chance: 19 times in 20 by ${milliseconds(scatter_ms)} ms ` +
          "or less. A larger difference is the time that browser and server need for an exchange: " +
          `${milliseconds(round_trip_ms)} ms, the median of some that found no line.`,
        "Over a long poll and a stream no line waits for a question. What is left of its latency is the time that browser " +
          "and server need, which no formula knows. So the table has no theory of it.",
      ],
    };
  },
};
