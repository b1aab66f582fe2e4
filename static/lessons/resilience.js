// Lesson 3, resilience: every connection is cut and the server refuses for a while; who notices, who comes back, what
// is lost?

import { milliseconds } from "../figures.js";

const RATE_HZ = 5;
const BEFORE_S = 5;
const REFUSE_S = 4;
const INTERVAL_S = 2;
const BACK_S_MAX = 60;
const AFTER_S = 3;

const seconds = (ms) => (ms === null ? "–" : (ms / 1_000).toFixed(1));

/** How long a lane was away, over all its outages, since the server may be stopped after the lesson's own. */
function away({ outages }) {
  if (outages.length === 0) return "not noticed";
  return outages.at(-1).back === null ? "not yet" : seconds(outages.reduce((sum, { cut, back }) => sum + back - cut, 0));
}

export const lesson = {
  title: "Resilience",
  summary: `All connections are cut and refused for ${REFUSE_S} s. Who comes back by itself, and what is lost?`,
  text: [
    `The server drops every connection without a goodbye and refuses new ones for ${REFUSE_S} s, while the deployment ` +
      `goes on writing ${RATE_HZ} lines a second. An EventSource reconnects by itself; for the WebSocket, twenty lines of ` +
      "ours do; a poll just asks again.",
    "And with the real thing: stop the server in its terminal (Ctrl-C, or kill -9) and start it again on its data. The " +
      "lanes go on by themselves, and the table below with them. A deployment that the server fed is then cancelled: a " +
      "generator does not survive its server, the lines that were acknowledged do.",
  ],
  needs: [],
  predictions: [
    { name: "lost", label: "How many lines are lost, over all lanes?" },
    { name: "first", label: "Which lane is back first?", isLane: true },
  ],

  async run(stage) {
    // Where there is none the lesson ends here, not at its outage.
    await stage.lab("GET", "/api/lab");
    const id = await stage.create("lesson 3", { kind: "generate", rate_hz: RATE_HZ });
    stage.view.set("interval", INTERVAL_S);
    stage.open(id);
    // The whole cut, from before it to after.
    stage.view.zoom(30);
    const { lanes } = stage.view;
    await stage.ready();
    stage.view.restart();
    await stage.seconds(BEFORE_S, "All is well:");
    const cut = performance.now();
    await stage.lab("POST", "/api/lab/outage", { refuse_s: REFUSE_S });
    await stage.seconds(REFUSE_S, "Cut, and refused:");
    stage.say("The server answers again. Who comes back?");
    await stage.until(() => lanes.every(({ state, lastLine }) => state === "live" && lastLine > cut + REFUSE_S * 1_000), BACK_S_MAX);
    await stage.seconds(AFTER_S, "Everybody catches up:");
    // Latencies are absolute only once the clock was looked at again.
    await stage.until(() => stage.view.clock !== null, AFTER_S);
    const back = lanes.filter(({ outages }) => outages.length > 0 && outages.at(-1).back !== null);
    const first = back.sort((a, b) => a.outages.at(-1).back - b.outages.at(-1).back)[0];
    const [lost, twice] = ["lost", "repeated"].map((what) => lanes.reduce((sum, { counts }) => sum + counts[what], 0));
    // As it is now: the clock is not known again while the server is stopped below.
    const { isAbsolute } = stage.view;
    return {
      caption: "How each lane came through, and is doing now",
      columns: ["lane", "state", "without a connection (s)", "lines", "lost", "twice", "longest wait of a line (ms)"],
      rows: () =>
        lanes.map((lane) => [
          lane.transport.name,
          lane.state,
          away(lane),
          String(lane.counts.live),
          String(lane.counts.lost),
          String(lane.counts.repeated),
          milliseconds((isAbsolute ? lane.absolute : lane.relative).quantile(1)),
        ]),
      answers: {
        lost: String(lost),
        first: first === undefined ? "nobody noticed" : `${first.transport.name}, ${seconds(first.outages.at(-1).back - cut)} s after the cut`,
      },
      conclusion: [
        `${lost} lines lost and ${twice} came twice, over all lanes. Each asks again from its last cursor: a cut is to cost ` +
          "time and no lines. How long a lane stays away is drawn by lot: pages that come back together would be the next " +
          "outage. A short poll whose interval spans the cut does not even notice it.",
        "Where the lanes' lines differ, it is by what was on its way when we began to count.",
      ],
    };
  },
};
