// Lesson 6, distance: the server moves far away, and each way of waiting pays for it differently.

import { Refused } from "../call.js";
import { milliseconds } from "../figures.js";
import { between, unknown } from "./verdict.js";

const DELAY_MS = 100;
const INTERVAL_S = 1;
const RATE_HZ = 2;
const MEASURED_S = 30;
const TRANSPORTS = ["short-poll", "long-poll", "sse", "websocket"];
/** A prediction may miss theory or measurement by this, ms: chance moves the mean of a long poll. */
const TOLERANCE_MS = 25;

/** The latency of an answer of the theory as a text: from the least to the most. */
function range(theory) {
  if (theory === null) return "–";
  const { least, most } = theory.latency_ms;
  return most - least < 0.5 ? milliseconds(least) : `${milliseconds(least)} to ${milliseconds(most)}`;
}

export const lesson = {
  title: "Distance",
  summary: `The server moves ${DELAY_MS} ms away. Which lanes pay once for the distance, and which more often?`,
  text: [
    `Everything that this server and its clients send now takes ${DELAY_MS} ms, in each direction. Light in glass ` +
      `fibre needs that time for 20,000 km, halfway round the earth. A deployment writes ${RATE_HZ} lines a second, at ` +
      `random times. The short poll asks every ${INTERVAL_S} s.`,
    "How late is a line on average? The lines of a stream are on their way as soon as they are written. A short poll must " +
      "ask first. A long poll has asked, unless its last answer or its next question is still on the way.",
    "The network is there for every page of this server. The lesson takes it away again at its end.",
  ],
  needs: ["short-poll", "long-poll", "sse"],
  predictions: [
    { name: "short", label: "Mean latency of the short poll", unit: "ms" },
    { name: "long", label: "Mean latency of the long poll", unit: "ms" },
    { name: "stream", label: "Mean latency of the SSE lane", unit: "ms" },
  ],

  async run(stage, yours) {
    // A server without a lab ends the lesson here, before it has begun.
    await stage.lab("GET", "/api/lab");
    const interval_s = stage.view.set("interval", INTERVAL_S);
    const { hold_s } = stage.view.settings;
    const id = await stage.create("lesson 6");
    try {
      await stage.network({ delay_ms: DELAY_MS, silence_s: 0 });
      return await play(stage, id, yours, { interval_s, hold_s });
    } finally {
      await stage.noNetwork();
    }
  },
};

async function play(stage, id, yours, { interval_s, hold_s }) {
  stage.open(id, TRANSPORTS);
  const { lanes } = stage.view;
  await stage.ready();
  await stage.counted();
  stage.view.restart();
  await stage.scatter(id, RATE_HZ, MEASURED_S, "Measured:");
  // The slowest poll may still wait for a line from just before the end.
  await stage.pass(interval_s + (2 * DELAY_MS) / 1_000);
  const lines = lanes[0].counts.live;
  const rate_hz = Math.max(lines, 1) / MEASURED_S;
  const theory = await Promise.all(
    lanes.map(({ transport: { name: transport } }) => {
      const asked = { transport, interval_s, hold_s, rate_hz, duration_s: MEASURED_S, round_trip_ms: 2 * DELAY_MS };
      return stage.ask(`/api/theory?${new URLSearchParams(asked)}`).catch((error) => {
        if (error instanceof Refused) return null;
        throw error;
      });
    }),
  );
  const measured = lanes.map((lane) => ({ mean: lane.latency.mean, most: lane.latency.most }));
  const mine = { "short-poll": yours.short, "long-poll": yours.long, sse: yours.stream };
  const at = (name) => lanes.findIndex(({ transport }) => transport.name === name);
  // Two standard errors of the mean of `lines` independent waits, each uniform over the interval.
  const scatter_ms = (2 * interval_s * 1_000) / Math.sqrt(12 * Math.max(lines, 1));
  // Both what theory says and what was measured are right answers. They differ by more than chance for a long poll.
  const near = (name, by) => {
    const { mean } = measured[at(name)];
    if (mean === null) return unknown("–");
    return between(mean, theory[at(name)]?.latency_ms.mean ?? mean, by, milliseconds);
  };
  return {
    caption: `${DELAY_MS} ms each way, an interval of ${interval_s} s, ${lines} lines in ${MEASURED_S} s`,
    columns: ["lane", "mean latency (ms): you", "theory", "measured", "least to most (ms): theory", "most (ms): measured"],
    rows: () =>
      lanes.map(({ transport }, i) => [
        transport.name,
        mine[transport.name] || "–",
        theory[i] === null ? "–" : milliseconds(theory[i].latency_ms.mean),
        milliseconds(measured[i].mean),
        range(theory[i]),
        milliseconds(measured[i].most),
      ]),
    answers: {
      short: near("short-poll", scatter_ms),
      long: near("long-poll", TOLERANCE_MS),
      stream: near("sse", TOLERANCE_MS),
    },
    conclusion: [
      `A stream pays for the distance once: a line is ${DELAY_MS} ms on its way (formula F8). A WebSocket is a stream, too.`,
      `A short poll waits half an interval on average, and then its answer is on its way: ${milliseconds((interval_s * 1_000) / 2)} + ` +
        `${DELAY_MS} ms (F1). The way of its question makes no line later, since the server looks when the question arrives.`,
      `A long poll is as quick as a stream while its question waits at the server. A line that comes just after an answer ` +
        `waits for three ways: that answer's, the next question's, its own. So its latency lies between ${DELAY_MS} and ` +
        `${3 * DELAY_MS} ms (F6), and more lines a second make the worse case more frequent.`,
      `The server took the distance away again. The lanes below go on without it. The mean of ${lines} waits of the short ` +
        `poll varies by chance, 19 times in 20 by ${milliseconds(scatter_ms)} ms or less.`,
    ],
  };
}
