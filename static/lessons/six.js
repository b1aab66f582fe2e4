// Lesson 4, six connections: what a browser's limit does to the seventh stream, and to every button.

import { CONNECTIONS_MAX } from "../held.js";

const RATE_HZ = 2;
const STALL_S = 6;
const FREE_S_MAX = 10;

export const lesson = {
  title: "Six connections",
  summary: "Over HTTP/1.1 a browser opens six connections to a server. What becomes of the seventh stream?",
  text: [
    `${CONNECTIONS_MAX} lanes keep a stream open, one more wants to, and a WebSocket opens beside them. For this lesson the page ` +
      "lifts its own rule to stop before the last connection.",
    "The limit is the browser's, per origin, and all its tabs share it. HTTP/2 has no such limit: a proxy that speaks it in " +
      "front of this server lifts it. This server speaks HTTP/2 without TLS, which no browser does.",
  ],
  needs: ["sse", "ndjson", "websocket"],
  predictions: [
    { name: "streams", label: `Of ${CONNECTIONS_MAX + 1} event streams, how many show lines?` },
    { name: "socket", label: "The WebSocket:", choices: ["shows lines", "waits too"] },
    { name: "button", label: "A button that asks the server something:", choices: ["is answered", "waits too"] },
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
  if (view.held.all > 0) throw new Error("other tabs hold some of the six; close them and run this again");
  const id = await stage.create("lesson 4", { kind: "generate", rate_hz: RATE_HZ });
  view.held.max = Infinity;
  // The socket first: a lane reads its history by a plain request, for which there will be no connection.
  stage.open(id, ["websocket"]);
  const [socket] = view.lanes;
  const streams = [];
  for (let i = 0; i < CONNECTIONS_MAX; i += 1) {
    stage.say("Streams are opened:", `${i + 1} of ${CONNECTIONS_MAX}`);
    const stream = view.add("sse");
    stream.connect();
    streams.push(stream);
    if (!(await stage.until(() => stream.counts.live > 0, 10))) throw new Error(`stream ${i + 1} did not open`);
  }
  const seventh = view.add("ndjson");
  const asked = performance.now();
  seventh.connect();
  // What a button would do.
  const button = { answered: null };
  fetch("/healthz", { cache: "no-store" }).then(() => (button.answered = performance.now()), () => {});
  await stage.seconds(STALL_S, "Six streams are open, a seventh waits:");
  const during = [socket, ...streams, seventh].map((lane) => ({
    lane,
    live: lane.counts.live,
    state: lane.state,
  }));
  const buttonWaited = button.answered === null;
  stage.say("One of the six is closed.");
  streams[0].disconnect();
  const freed = performance.now();
  const came = await stage.until(() => seventh.counts.live > 0 && button.answered !== null, FREE_S_MAX);
  const waited_s = ((freed - asked) / 1_000).toFixed(1);
  const after_s = ((performance.now() - freed) / 1_000).toFixed(1);
  return {
    caption: `The lanes while ${CONNECTIONS_MAX} streams were open, and now`,
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
      streams: String(during.slice(1).filter(({ live }) => live > 0).length),
      socket: during[0].live > 0 ? "shows lines" : "waits too",
      button: buttonWaited ? "waits too" : "is answered",
    },
    conclusion: [
      `The seventh stream waited ${waited_s} s inside the browser: the server never saw its request. ` +
        (came ? `When one of the six was closed, its first line came within ${after_s} s.` : "It still waits."),
      `A button pressed meanwhile ${buttonWaited ? "waited as well" : "was answered at once"}. The WebSocket showed ` +
        `${during[0].live} lines by then: browsers count sockets apart.`,
      "The lanes keep all six still, so the buttons that ask the server wait. Disconnect a lane, or leave the lesson.",
    ],
  };
}
