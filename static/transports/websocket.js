// WebSocket: the server waits for ever, on a connection that both sides may write to.
//
// One HTTP request is upgraded (RFC 6455). From then on there are no requests and no headers: each line of the log is
// one text frame. A WebSocket does not reconnect by itself, and its frames have no id. So this module keeps position,
// back-off and watchdog.

import { Backoff, sleep } from "../backoff.js";
import { askWhy } from "../refusal.js";
import { hangUp } from "../sockets.js";

/** A ping is possible: both sides may write. */
export const pingRefusal = null;

/** Requests that the server holds open for this client: none. A WebSocket is not one of the browser's six connections. */
export const heldRequests = 0;

/** A restarted server must not see thousands of pages at once. So each page comes back at a random time within five
 *  seconds. This ceiling doubles with each further failure. */
const FIRST_CEILING_MS = 5_000;
/** Heartbeat while the server has named none, and the shortest one that the watchdog accepts. */
const HEARTBEAT_S = { absent: 15, min: 1 };

/** Follows `target` from `target.from`. Each line, and the end of the log, goes to `onBatch`. */
export function subscribe(target, onBatch) {
  const abort = new AbortController();
  const backoff = new Backoff(FIRST_CEILING_MS);
  const answers = new Map(); // ref → what to do with the answer to that command
  let commands = 0;
  let cursor = target.from;
  let socket = null;
  let exchange = null;
  let watchdog = null;

  function open() {
    const url = new URL(`${target.path}?from=${cursor}${target.query}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const asked = (exchange = target.wire.asked());
    const opened = (socket = new WebSocket(url));
    opened.addEventListener("open", () => asked.opened({ duplex: true }));
    let subscribed = false;
    let lastFrame = performance.now();
    // The watchdog also guards a socket that never opens or never says hello, because no event tells of that.
    watch(HEARTBEAT_S.absent * 1_000, () => lastFrame);
    opened.addEventListener("message", (event) => {
      if (opened !== socket) return; // this page gave the socket up or closed it
      lastFrame = performance.now();
      const frame = JSON.parse(event.data);
      if (frame.type === "hello") {
        watch(Math.max(frame.heartbeat_s ?? HEARTBEAT_S.absent, HEARTBEAT_S.min) * 1_000, () => lastFrame);
      } else if (frame.type === "subscribed") {
        subscribed = true;
        backoff.greeted();
        cursor = frame.cursor;
        target.onState("live");
      } else if (frame.type === "line") {
        // A frame has no cursor. The epoch of the cursor before and the number of the line make it.
        cursor = `${cursor.split(".")[0]}.${frame.line.seq}`;
        backoff.succeeded();
        target.wire.pushed(1);
        onBatch({ lines: [frame.line], next: cursor, more: false, finished: false });
      } else if (frame.type === "finished") {
        unsubscribe();
        onBatch({ lines: [], next: frame.cursor, more: false, finished: true });
      } else if (frame.type === "gap" || frame.type === "deleted") {
        unsubscribe();
        target.onState(frame.type, frame);
      } else if (frame.ref !== undefined) {
        // The server answers commands in order, and each answer names its command.
        target.wire.heard(frame.type);
        answers.get(frame.ref)?.(frame);
        answers.delete(frame.ref);
      }
    });
    // This event also follows an error: the browser says only that the socket is closed (1006).
    opened.addEventListener("close", (event) => {
      if (opened === socket) reconnect(subscribed, event);
    });
  }

  // The browser answers ping frames and hides them from scripts. So after a heartbeat without a frame the page sends a
  // ping as a message. After another silent heartbeat the connection is dead, even if TCP still holds it open.
  function watch(heartbeat_ms, lastFrame) {
    clearInterval(watchdog);
    let asked = 0;
    watchdog = setInterval(() => {
      if (asked > lastFrame()) return reconnect(true, { code: 1006, reason: "no sign of life" });
      if (performance.now() - lastFrame() < heartbeat_ms) return;
      asked = performance.now();
      send({ type: "ping" });
    }, heartbeat_ms);
  }

  async function reconnect(subscribed, { code, reason }) {
    drop();
    // The server may have refused the upgrade (404, 410, 503). The socket does not tell; the regular API does.
    const why = subscribed
      ? { state: "later", detail: `the socket was closed (${code}${reason && ` ${reason}`})` }
      : await askWhy(target, cursor, abort.signal);
    if (abort.signal.aborted) return;
    if (why.state === "finished") return onBatch(why.batch);
    if (why.state !== "later") return target.onState(why.state, why);
    const wait_ms = backoff.failed(why.advised_ms);
    target.onState("reconnecting", { detail: why.detail, wait_ms });
    if (await sleep(wait_ms, abort.signal)) open();
  }

  function send(command) {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(command));
  }

  /** Sends a command. `onAnswer` gets the frame of its answer, or null when the socket ends first. */
  function command(fields, onAnswer) {
    const ref = String(++commands);
    answers.set(ref, onAnswer);
    target.wire.said(fields.type);
    send({ ...fields, ref });
  }

  /** Asks for a pong. `onPong` gets the round trip, ms, or null when the socket ends first. */
  function ping(onPong) {
    const sent = performance.now();
    command({ type: "ping" }, (frame) => onPong(frame && performance.now() - sent));
  }

  /** Appends a line to the log. `onAnswer` gets the reason for a refusal, or null. */
  function publish(text, onAnswer) {
    const { deployment } = target;
    const cut = { problem: { detail: "the socket was closed before the answer; check the log for the line" } };
    command({ type: "publish", deployment, text }, (frame) => onAnswer((frame ?? cut).problem?.detail ?? null));
  }

  /** Stops the lines until `resume`, which goes on from the same place. A pong to a later ping follows the last line. */
  function pause() {
    target.wire.said("pause");
    send({ type: "pause" });
  }

  function resume() {
    target.wire.said("resume");
    send({ type: "resume" });
  }

  function drop() {
    clearInterval(watchdog);
    exchange?.cut();
    for (const onAnswer of answers.values()) onAnswer(null);
    answers.clear();
    const dropped = socket;
    socket = null; // its last events are ignored
    if (dropped) hangUp(dropped);
  }

  function unsubscribe() {
    abort.abort();
    target.wire.left();
    drop();
  }

  open();
  return { unsubscribe, ping, publish, pause, resume };
}
