// Lesson 3, resilience: the server cuts every connection and refuses new ones for a while. Which lanes come back, and
// what is lost?

import { Refused } from "../call.js";
import { milliseconds } from "../figures.js";
import { exactly, unknown } from "./verdict.js";

const RATE_HZ = 5;
const BEFORE_S = 5;
const REFUSE_S = 4;
const INTERVAL_S = 2;
const BACK_S_MAX = 60;
const AFTER_S = 3;
/** The status of an outage that is refused because another one begins. */
const CONFLICT = 409;
/** How often the lesson asks for its outage. Another outage lasts 30 s at most. */
const ASKS_MAX = 60;

/** Begins the outage. Waits while another one is under way. */
async function cutAll(stage) {
  for (let asks = 1; ; asks += 1) {
    try {
      return await stage.lab("POST", "/api/lab/outage", { refuse_s: REFUSE_S });
    } catch (error) {
      const isLate = error instanceof Refused && error.status === CONFLICT && asks < ASKS_MAX;
      if (!isLate) throw error;
      await stage.seconds(1, "Another outage is under way. The lesson's own follows:");
    }
  }
}

const seconds = (ms) => (ms === null ? "–" : (ms / 1_000).toFixed(1));

/** How long a lane was away, over all its outages. The server may be stopped once more after the lesson's outage. */
function away({ outages }) {
  if (outages.length === 0) return "not noticed";
  return outages.at(-1).back === null ? "not yet" : seconds(outages.reduce((sum, { cut, back }) => sum + back - cut, 0));
}

export const lesson = {
  title: "Resilience",
  summary: `The server cuts all connections and refuses new ones for ${REFUSE_S} s. Which lanes come back, and what is lost?`,
  text: [
    "An outage is a time without a connection. Here the server drops every connection without a goodbye and refuses new " +
      `ones for ${REFUSE_S} s. The deployment goes on writing ${RATE_HZ} lines a second. An EventSource reconnects by ` +
      "itself. For the WebSocket, twenty lines of this page do it. A poll just asks again.",
    "Afterwards, try a real outage. Stop the server in its terminal (Ctrl-C, or kill -9) and start it again on its data. " +
      "The lanes and the table go on by themselves. The generator ends with its server, so the deployment becomes " +
      "cancelled. Lines that the server acknowledged are kept.",
  ],
  needs: [],
  predictions: [
    { name: "lost", label: "How many lines are lost, over all lanes?" },
    { name: "first", label: "Which lane is back first?", isLane: true },
  ],

  async run(stage) {
    // A server without a lab ends the lesson here, before it has begun.
    await stage.lab("GET", "/api/lab");
    const id = await stage.create("lesson 3", { kind: "generate", rate_hz: RATE_HZ });
    stage.view.set("interval", INTERVAL_S);
    stage.open(id);
    // The timeline then shows the whole outage.
    stage.view.zoom(30);
    const { lanes } = stage.view;
    await stage.ready();
    stage.view.restart();
    await stage.seconds(BEFORE_S, "All is well:");
    await cutAll(stage);
    const cut = performance.now();
    stage.expectOutage();
    await stage.seconds(REFUSE_S, "The server refuses connections:");
    stage.say("The server answers again. Which lane comes back first?");
    await stage.until(() => lanes.every(({ state, lastLine }) => state === "live" && lastLine > cut + REFUSE_S * 1_000), BACK_S_MAX);
    await stage.seconds(AFTER_S, "All lanes catch up:");
    // Latencies are absolute only after the page has asked for the server's clock again.
    await stage.until(() => stage.view.clock !== null, AFTER_S);
    const back = lanes.filter(({ outages }) => outages.length > 0 && outages.at(-1).back !== null);
    const first = back.sort((a, b) => a.outages.at(-1).back - b.outages.at(-1).back)[0];
    const [lost, twice] = ["lost", "repeated"].map((what) => lanes.reduce((sum, { counts }) => sum + counts[what], 0));
    // As it is now: the clock becomes unknown when you stop the server afterwards.
    const { isAbsolute } = stage.view;
    return {
      caption: "The outage, and each lane as it is now",
      columns: ["lane", "state", "away, since it noticed (s)", "lines", "lost", "twice", "longest wait of a line (ms)"],
      rows: () =>
        lanes.map((lane) => [
          lane.transport.name,
          lane.state,
          away(lane),
          String(lane.counts.live),
          String(lane.counts.lost),
          String(lane.counts.repeated),
          milliseconds((isAbsolute ? lane.absolute : lane.relative).most),
        ]),
      answers: {
        lost: exactly(lost),
        first:
          first === undefined
            ? unknown("no lane noticed")
            : exactly(first.transport.name, `${first.transport.name}, ${seconds(first.outages.at(-1).back - cut)} s after the cut`),
      },
      conclusion: [
        `Over all lanes, ${lost} lines were lost and ${twice} came twice. Each lane asks again from its last cursor, its ` +
          "position in the log. So a cut costs time and no lines. How long a lane stays away is random: if all pages came " +
          "back together, they could overload the server. A short poll that sleeps during the whole cut does not notice it.",
        "The lanes may differ by a few lines, which were on their way when the measurement began.",
      ],
    };
  },
};
