// WebSocket: the server waits for ever, on a connection that both sides may write to.
//
// One HTTP request is upgraded (RFC 6455). From then on there are no requests and no headers: each line of the
// log is one text frame. Nothing reconnects by itself and no frame carries an id, so position, back-off and
// watchdog are ours to keep.

import { Backoff, sleep } from "../backoff.js";
import { askWhy } from "../refusal.js";
import { hangUp } from "../sockets.js";

/** Nothing stands against a ping: both sides may write. */
export const pingRefusal = null;

/** Requests that the server holds open for us: none. Browsers count sockets apart from their six connections. */
export const heldRequests = 0;

/** A socket that was closed on thousands of pages must not see them all at once: each comes back somewhere in
 *  these five seconds, and after further failures in a ceiling that doubles. */
const FIRST_CEILING_MS = 5_000;
/** Before the server says its own or if it says none, and the least: a watchdog is no load. */
const HEARTBEAT_S = { absent: 15, min: 1 };

/** Follows `target` from `target.from`; each line, and the end, goes to `onBatch`. */
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
    // Also over a socket that never opens, or opens and never says hello: no event would tell.
    watch(HEARTBEAT_S.absent * 1_000, () => lastFrame);
    opened.addEventListener("message", (event) => {
      if (opened !== socket) return; // given up, or closed by us
      lastFrame = performance.now();
      const frame = JSON.parse(event.data);
      if (frame.type === "hello") {
        watch(Math.max(frame.heartbeat_s ?? HEARTBEAT_S.absent, HEARTBEAT_S.min) * 1_000, () => lastFrame);
      } else if (frame.type === "subscribed") {
        subscribed = true;
        backoff.succeeded();
        cursor = frame.cursor;
        target.onState("live");
      } else if (frame.type === "line") {
        // A frame has no cursor: the epoch of the one before and the line's number make it.
        cursor = `${cursor.split(".")[0]}.${frame.line.seq}`;
        target.wire.pushed(1);
        onBatch({ lines: [frame.line], next: cursor, more: false, finished: false });
      } else if (frame.type === "finished") {
        unsubscribe();
        onBatch({ lines: [], next: frame.cursor, more: false, finished: true });
      } else if (frame.type === "gap" || frame.type === "deleted") {
        unsubscribe();
        target.onState(frame.type, frame);
      } else if (frame.ref !== undefined) {
        // Commands are answered in order, and each answer names its command.
        target.wire.heard(frame.type);
        answers.get(frame.ref)?.(frame);
        answers.delete(frame.ref);
      }
    });
    // Also after an error: a browser says no more than that the socket is closed (1006).
    opened.addEventListener("close", (event) => {
      if (opened === socket) reconnect(subscribed, event);
    });
  }

  // Ping frames are answered by the browser and hidden from scripts. So after a heartbeat without any frame we
  // ask by a message, and after another one the connection is dead, whatever TCP thinks of it.
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
    // Refused before the upgrade (404, 410, 503)? The socket does not tell; the regular API does.
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

  /** A command whose answer is awaited: `onAnswer` is given its frame, or null when the socket ends before. */
  function command(fields, onAnswer) {
    const ref = String(++commands);
    answers.set(ref, onAnswer);
    target.wire.said(fields.type);
    send({ ...fields, ref });
  }

  /** Asks for a pong; `onPong` is told the round trip, ms, or null when the socket ended before. */
  function ping(onPong) {
    const sent = performance.now();
    command({ type: "ping" }, (frame) => onPong(frame && performance.now() - sent));
  }

  /** Appends a line to the log that is followed; `onAnswer` is told why not, or null. */
  function publish(text, onAnswer) {
    const { deployment } = target;
    const cut = { problem: { detail: "the socket was closed before the answer: the line may be there or not" } };
    command({ type: "publish", deployment, text }, (frame) => onAnswer((frame ?? cut).problem?.detail ?? null));
  }

  /** No lines until `resume`, which goes on where this stopped. The pong to a ping that follows is behind the last. */
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
    socket = null; // its last events are no longer ours
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
