// WebSocket: the server waits for ever, on a connection that both sides may write to.
//
// One HTTP request is upgraded (RFC 6455). From then on there are no requests and no headers: each line of the
// log is one text frame. Nothing reconnects by itself and no frame carries an id, so position, back-off and
// watchdog are ours to keep.

import { Backoff, sleep } from "../backoff.js";
import { askWhy } from "../refusal.js";

/** Nothing stands against a ping: both sides may write. */
export const pingRefusal = null;

/** A socket that was closed on thousands of pages must not see them all at once: each comes back somewhere in
 *  these five seconds, and after further failures in a ceiling that doubles. */
const FIRST_CEILING_MS = 5_000;
/** Before the server says its own or if it says none, and the least: a watchdog is no load. */
const HEARTBEAT_S = { absent: 15, min: 1 };

/** Follows `target` from `target.from`; each line, and the end, goes to `onBatch`. */
export function subscribe(target, onBatch) {
  const abort = new AbortController();
  const backoff = new Backoff(FIRST_CEILING_MS);
  const pings = new Map(); // ref → what to do with its pong
  let cursor = target.from;
  let socket = null;
  let watchdog = null;

  function open() {
    const url = new URL(`${target.path}?from=${cursor}`, location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const opened = (socket = new WebSocket(url));
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
        onBatch({ lines: [frame.line], next: cursor, more: false, finished: false });
      } else if (frame.type === "finished") {
        unsubscribe();
        onBatch({ lines: [], next: frame.cursor, more: false, finished: true });
      } else if (frame.type === "gap" || frame.type === "deleted") {
        unsubscribe();
        target.onState(frame.type, frame);
      } else if (frame.type === "pong") {
        pings.get(frame.ref)?.();
        pings.delete(frame.ref);
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

  /** Asks for a pong; `onPong` is told the round trip, ms. */
  function ping(onPong) {
    const sent = performance.now();
    const ref = `ping-${sent}`;
    pings.set(ref, () => onPong(performance.now() - sent));
    send({ type: "ping", ref });
  }

  function drop() {
    clearInterval(watchdog);
    pings.clear();
    const dropped = socket;
    socket = null; // its last events are no longer ours
    dropped?.close();
  }

  function unsubscribe() {
    abort.abort();
    drop();
  }

  open();
  return { unsubscribe, ping };
}
