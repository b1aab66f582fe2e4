// Lesson 2, many clients: more lanes, a crowd of subscribers, and two rooms that stay separate.

import { Refused, call } from "../call.js";
import { count, milliseconds } from "../figures.js";
import { endingWithPage } from "../presence.js";
import { exactly, unknown } from "./verdict.js";

const ROOMS = ["A", "B"];
const ROUNDS = 20;
const ROUND_S = 0.5;
const CROWD_FIRST = 100;
/** Statuses of refusals. */
const CONFLICT = 409;
const NOT_FOUND = 404;
/** The server allows no larger crowd. */
const CROWD_MAX = 2_000;
/** How often the lesson asks for a crowd that connects. Then it goes on; the conclusion says how many connected. */
const CONNECT_LOOKS_MAX = 20;
/** A crowd reports once a second. After this time its figures include the last round. */
const FIGURES_S = 1.5;
/** What the median latency does, and up to which factor that is the nearest word: halfway, on a scale of factors. */
const GROWTH = [
  ["stays", Math.SQRT2],
  ["doubles", Math.sqrt(2 * 100)],
  ["grows a hundredfold", Infinity],
];

/** Says why there is no crowd. If others take its place, each of them has a button that ends it. */
async function withoutCrowd(stage, refused) {
  const said = document.createElement("p");
  said.append(`There was no crowd: ${refused.message}`);
  if (refused.status !== CONFLICT) return said;
  const running = (await stage.lab("GET", "/api/lab/crowds")).filter(({ ended }) => !ended);
  for (const { id, transport, subscribers } of running) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `End crowd ${id} (${count(subscribers)} × ${transport})`;
    button.addEventListener("click", async () => {
      button.disabled = true;
      const problem = await call(`/api/lab/crowds/${id}`, { method: "DELETE" }).then(
        () => null,
        (error) => (error instanceof Refused && error.status === NOT_FOUND ? null : error),
      );
      button.replaceWith(problem === null ? `Crowd ${id} has ended. ` : `Crowd ${id} was not ended: ${problem.message} `);
    });
    said.append(" ", button);
  }
  return said;
}

export const lesson = {
  title: "Many clients, two rooms",
  summary: "Two deployments at once, more lanes, and a crowd of subscribers of the size that you choose.",
  text: [
    `Two deployments, room A and room B, each get a line every ${ROUND_S * 1_000} ms. Three lanes follow A, two follow B. ` +
      "Then a crowd follows room A as well. A crowd is many subscribers in a process of its own.",
    "The server keeps no queue per subscriber. Each connection reads the log from its own cursor, its position in the log.",
  ],
  needs: ["sse", "websocket", "long-poll"],
  predictions: [
    { name: "crowd", label: "Subscribers in the crowd:", value: CROWD_FIRST, min: 1, max: CROWD_MAX, step: 1, required: true },
    { name: "strays", label: "How many lines of room B come to room A?" },
    { name: "slower", label: "With the crowd, the median latency of the lanes", choices: GROWTH.map(([word]) => word) },
  ],

  async run(stage, { crowd: wanted }) {
    const subscribers = Number(wanted);
    const [a, b] = [await stage.create("lesson 2, room A"), await stage.create("lesson 2, room B")];
    stage.open(a, []);
    for (const name of ["sse", "websocket", "long-poll"]) stage.view.add(name, a, "room A").connect();
    for (const name of ["sse", "websocket"]) stage.view.add(name, b, "room B").connect();
    const lanes = stage.view.lanes.map((lane) => ({ lane, room: lane.deployment === a ? "A" : "B", strays: 0, lines: 0, lost: 0, repeated: 0 }));
    for (const seen of lanes) {
      seen.lane.onLines = (lines) => (seen.strays += lines.filter(({ text }) => !text.startsWith(`room ${seen.room}`)).length);
    }
    await stage.ready();

    const speak = async (text) => {
      stage.view.restart();
      for (let round = 1; round <= ROUNDS; round += 1) {
        stage.say(text, `${round} of ${ROUNDS} lines`);
        await Promise.all([a, b].map((id, i) => stage.publish(id, [`room ${ROOMS[i]}, line ${round}`])));
        await stage.pass(ROUND_S);
      }
      for (const seen of lanes) {
        (seen.p50 ??= []).push(seen.lane.latency.quantile(0.5));
        const { live, lost, repeated } = seen.lane.counts;
        seen.lines += live;
        seen.lost += lost;
        seen.repeated += repeated;
      }
    };
    await speak("Alone:");
    const asked = { deployment: a, transport: "sse", subscribers };
    const crowd = await stage
      .lab("POST", endingWithPage("/api/lab/crowds"), asked, ({ id }) => `/api/lab/crowds/${id}`)
      .catch((error) => {
        if (error instanceof Refused) return error;
        throw error;
      });
    if (!(crowd instanceof Refused)) {
      const look = async () => Object.assign(crowd, (await stage.lab("GET", "/api/lab/crowds")).find(({ id }) => id === crowd.id));
      for (let looks = 0; crowd.connected < subscribers && looks < CONNECT_LOOKS_MAX; looks += 1) {
        stage.say("The crowd connects:", `${crowd.connected} of ${subscribers}`);
        await stage.pass(ROUND_S);
        await look();
      }
      await speak(`With ${subscribers} more:`);
      await stage.pass(FIGURES_S);
      await look();
    }
    const strays = lanes.reduce((sum, seen) => sum + seen.strays, 0);
    return {
      caption: "Two rooms side by side",
      columns: ["lane", "room", "lines", "lines of the other room", "lost, twice", "p50 alone (ms)", `p50 with ${subscribers} more (ms)`],
      rows: () =>
        lanes.map(({ lane, room, lines, lost, repeated, strays, p50 }) => [
          lane.transport.name,
          room,
          String(lines),
          String(strays),
          `${lost}, ${repeated}`,
          milliseconds(p50[0]),
          milliseconds(p50[1] ?? null),
        ]),
      answers: {
        strays: exactly(strays),
        slower: slower(lanes[0]),
      },
      conclusion: [
        crowd instanceof Refused
          ? await withoutCrowd(stage, crowd)
          : `The crowd: ${crowd.connected} subscribers connected, ${count(crowd.lines)} lines received, ${crowd.lost} lost, ` +
            `${crowd.duplicated} twice, p50 ${milliseconds(crowd.latency_ms?.p50 ?? null)} ms.` +
            (crowd.problem === null ? "" : ` ${crowd.gave_up} gave up. The reason of the first: ${crowd.problem}`),
      ],
    };
  },
};

/** Says by how much the median latency of a lane grew. */
function slower({ lane, p50: [alone, together] }) {
  if (together === undefined || together === null || alone === null) return unknown("–");
  const [word] = GROWTH.find(([, factor]) => together / alone <= factor);
  const factor = (together / alone).toPrecision(2);
  return exactly(word, `${word}: ${factor} times (${lane.transport.name}: ${milliseconds(alone)} ms, then ${milliseconds(together)} ms)`);
}
