// Lesson 4, six connections: what the limit of a browser does to the seventh stream, and to every button. By HTTPS the
// browser speaks HTTP/2, and the same page shows the cure.

import { CONNECTIONS_MAX, IS_MULTIPLEXED } from "../held.js";
import { exactly } from "./verdict.js";

const RATE_HZ = 2;
const STALL_S = 6;
const FREE_S_MAX = 10;
/** How long the button waits before it sends its request again, ms. */
const AGAIN_MS = 500;

/** Sends such a request as a button sends, until it is answered: an outage may cut it. */
function press(button) {
  const again = () => setTimeout(() => press(button), AGAIN_MS);
  fetch("/healthz", { cache: "no-store" }).then(() => (button.answered = performance.now()), () => button.isMeant && again());
}

export const lesson = {
  title: "Six connections",
  summary: "Over HTTP/1.1 a browser opens six connections to a server. What happens to the seventh stream?",
  text: [
    `A WebSocket opens first. Then ${CONNECTIONS_MAX} lanes each keep a stream open, and one more lane asks for a stream. Usually ` +
      "this page leaves the last connection free. In this lesson it does not.",
    IS_MULTIPLEXED
      ? "This page came over HTTP/2. All of its requests share one connection there, and each stream of lines is one stream " +
        "of that connection. Only the WebSockets have connections of their own. Open the page of a server without TLS to see " +
        "the limit of HTTP/1.1."
      : "The limit is the browser's. It holds per origin, and all tabs share it. HTTP/2 has no such limit, but browsers speak " +
        "it inside of TLS alone. Start the server with --tls self-signed and open this lesson by HTTPS to see the cure.",
  ],
  needs: ["sse", "ndjson", "websocket"],
  predictions: [
    { name: "streams", label: `Of ${CONNECTIONS_MAX + 1} event streams, how many show lines?` },
    { name: "socket", label: "The WebSocket:", choices: ["shows lines", "waits too"] },
    { name: "button", label: "A button that sends a request:", choices: ["is answered", "waits too"] },
  ],

  async run(stage) {
    try {
      return await play(stage);
    } finally {
      stage.view.held.restore();
    }
  },
};

async function play(stage) {
  const { view } = stage;
  if (view.held.all > 0) throw new Error("other tabs hold some of the six connections; close them and run this again");
  const id = await stage.create("lesson 4", { kind: "generate", rate_hz: RATE_HZ });
  view.held.max = Infinity;
  // The socket comes first: its lane reads the history by a plain request, and later no connection is left for that.
  stage.open(id, ["websocket"]);
  const [socket] = view.lanes;
  const streams = [];
  for (let i = 0; i < CONNECTIONS_MAX; i += 1) {
    stage.say("The page opens streams:", `${i + 1} of ${CONNECTIONS_MAX}`);
    const stream = view.add("sse");
    stream.connect();
    streams.push(stream);
    if (!(await stage.until(() => stream.counts.live > 0, 10))) throw new Error(`stream ${i + 1} did not open`);
  }
  const seventh = view.add("ndjson");
  const asked = performance.now();
  seventh.connect();
  const button = { answered: null, isMeant: true };
  press(button);
  await stage.seconds(STALL_S, `Six streams are open, a seventh ${IS_MULTIPLEXED ? "joins them" : "waits"}:`);
  const during = [socket, ...streams, seventh].map((lane) => ({
    lane,
    live: lane.counts.live,
    state: lane.state,
  }));
  const buttonWaited = button.answered === null;
  if (IS_MULTIPLEXED) return shared(during, buttonWaited, await openConnections());
  stage.say("The page closed one of the six.");
  streams[0].disconnect();
  const freed = performance.now();
  const came = await stage.until(() => seventh.counts.live > 0 && button.answered !== null, FREE_S_MAX);
  button.isMeant = false;
  const waited_s = ((freed - asked) / 1_000).toFixed(1);
  const after_s = ((performance.now() - freed) / 1_000).toFixed(1);
  return {
    ...measured(during, buttonWaited),
    conclusion: [
      `The seventh stream waited ${waited_s} s inside the browser. Meanwhile the server did not see its request. ` +
        (came ? `After the page closed one of the six, the first line came within ${after_s} s.` : "It still waits."),
      `A request like that of a button ${buttonWaited ? "waited as well" : "was answered at once"}. The WebSocket showed ` +
        `${during[0].live} lines by then, because browsers count WebSockets separately.`,
      "The lanes still hold all six connections, so buttons that send a request wait. Disconnect a lane, or leave the lesson.",
    ],
  };
}

/** Returns the table of the lanes, and what the predictions stand beside. */
function measured(during, buttonWaited) {
  return {
    caption: `The lanes while ${CONNECTIONS_MAX} streams were open, and the lanes now`,
    columns: ["lane", `lines after ${STALL_S} s`, "state then", "lines now", "state now"],
    rows: () =>
      during.map(({ lane, live, state }) => [
        `${lane.number}. ${lane.transport.name}`,
        String(live),
        state,
        String(lane.counts.live),
        lane.state,
      ]),
    answers: {
      streams: exactly(during.slice(1).filter(({ live }) => live > 0).length),
      socket: exactly(during[0].live > 0 ? "shows lines" : "waits too"),
      button: exactly(buttonWaited ? "waits too" : "is answered"),
    },
  };
}

/** Returns the measurement of a page over HTTP/2, where nothing is given back. */
function shared(during, buttonWaited, connections) {
  const streams = during.slice(1).filter(({ live }) => live > 0).length;
  return {
    ...measured(during, buttonWaited),
    conclusion: [
      `${streams} streams showed lines at the same time, and a request like that of a button ` +
        `${buttonWaited ? "waited" : "was answered at once"}.`,
      connections === null
        ? "The server did not say how many connections it has."
        : `The server counts ${connections} open connections in all. One is of HTTP/2 and carries every stream and button; the ` +
          "others are WebSockets, that of the lane and those by which the page hears from the server.",
    ],
  };
}

/** Asks the server how many connections are open, of all pages and programs; null if it does not say. */
async function openConnections() {
  const answer = await fetch("/metrics", { cache: "no-store" }).catch(() => null);
  if (!answer?.ok) return null;
  const counts = [...(await answer.text()).matchAll(/^wirelab_connections\{[^}]*\} (\d+)$/gm)];
  return counts.reduce((sum, [, count]) => sum + Number(count), 0);
}
