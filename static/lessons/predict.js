// Lesson 5, predict, then run: an interval is chosen, a student says what follows, theory says it too, then it is
// measured.

import { ask } from "../control.js";
import { milliseconds } from "../figures.js";

const RATE_HZ = 2;
const MEASURED_S = 30;
const TRANSPORTS = ["short-poll", "long-poll", "sse"];

const figure = (value) => (value === null || value === undefined ? "–" : Number(value).toPrecision(3));

export const lesson = {
  title: "Predict, then run",
  summary: "Choose a poll interval and say what it costs. Then compare with theory, and with what is measured.",
  text: [
    `A deployment writes ${RATE_HZ} lines a second for ${MEASURED_S} s. Choose an interval for the short poll: how many requests ` +
      "does it make, and how late is a line on average?",
    "Theory is the server's own: the formulas by which every run of the harness is judged, for one subscriber over a " +
      "connection without delay.",
  ],
  predictions: [
    { name: "interval", label: "Poll interval", unit: "s", value: 3 },
    { name: "requests", label: `Requests of the short poll in ${MEASURED_S} s:` },
    { name: "latency", label: "Its mean latency:", unit: "ms" },
  ],

  async run(stage, { interval, requests, latency }) {
    const interval_s = stage.view.set("interval", Number(interval));
    const { hold_s } = stage.view.settings;
    const theory = await Promise.all(
      TRANSPORTS.map((transport) => {
        const asked = { transport, interval_s, hold_s, rate_hz: RATE_HZ, duration_s: MEASURED_S, subscribers: 1 };
        return ask("GET", `/api/theory?${new URLSearchParams(asked)}`);
      }),
    );
    const id = await stage.create("lesson 5", { kind: "generate", rate_hz: RATE_HZ });
    stage.open(id, TRANSPORTS);
    const { lanes } = stage.view;
    await stage.until(() => lanes.every(({ state }) => state === "live"), 10 + interval_s);
    stage.view.restart();
    await stage.seconds(MEASURED_S, "Measured:");
    const measured = lanes.map((lane) => ({
      requests: lane.counted?.requests ?? null,
      mean: lane.latency.mean,
      p99: lane.latency.quantile(0.99),
    }));
    const yours = lanes.map(({ transport }) => (transport.name === "short-poll" ? { requests, latency } : {}));
    const said = (text) => (text === undefined || text === "" ? "–" : text);
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
        "p99 (ms): theory",
        "measured",
      ],
      rows: () =>
        lanes.map(({ transport }, i) => [
          transport.name,
          said(yours[i].requests),
          figure(theory[i].requests),
          figure(measured[i].requests),
          said(yours[i].latency),
          milliseconds(theory[i].latency_ms.mean),
          milliseconds(measured[i].mean),
          milliseconds(theory[i].latency_ms.p99),
          milliseconds(measured[i].p99),
        ]),
      answers: {
        requests: figure(measured[0].requests),
        latency: milliseconds(measured[0].mean),
      },
      conclusion: [
        "A line comes at any moment of the interval, so it waits half of it on average (F1), and the requests are the time " +
          "divided by the interval (F2), whether there is news or not. What is measured is above theory by what browser " +
          "and server need for an exchange; one request more or less is where the first one happened to fall.",
      ],
    };
  },
};
