// Server-sent events: the server waits for ever, and browsers reconnect by themselves.
//
// The client sends one request, and the answer does not end: it is events as text (WHATWG HTML §9.2). Each event has an
// id, which is the cursor. When the connection ends without a goodbye, `EventSource` waits as long as the server asked
// for (`retry:`). Then it comes back with the last id in `Last-Event-ID`. The page needs no code for that.

import { ADVICE_MS_MAX, Backoff, sleep } from "../backoff.js";
import { askWhy } from "../refusal.js";

/** Why there is no ping. The page shows this beside the disabled button. */
export const pingRefusal = "an EventSource only receives; it cannot send.";

/** Requests that the server holds open for this client. A browser has six connections for them. */
export const heldRequests = 1;

/** A stream that is silent for longer is dead: the time of two heartbeats, 15 s each by default, and a margin. */
const SILENCE_MS_MAX = 35_000;
/** A connection that the browser makes by itself has failed after this time. The browser first waits as long as it was
 *  asked to (`retry:`), which no script sees, so this is longer than any advice that counts. */
const RETURN_MS_MAX = ADVICE_MS_MAX + SILENCE_MS_MAX;
const FIRST_CEILING_MS = 500;

/** Follows `target` from `target.from`. Each line, and the end of the log, goes to `onBatch`. */
export function subscribe(target, onBatch) {
  const abort = new AbortController();
  const backoff = new Backoff(FIRST_CEILING_MS);
  let cursor = target.from;
  let source = null;
  let exchange = null;
  let watchdog = null;

  function open() {
    exchange = target.wire.asked();
    // The query of the first request says where to start. When the browser reconnects by itself the query is still the
    // same, but `Last-Event-ID` wins over it. Heartbeats are comments by default, which scripts never see. As events they
    // show that the connection lives.
    source = new EventSource(`${target.path}?from=${cursor}&heartbeat=event${target.query}`);
    watch();
    source.addEventListener("open", () => {
      // When the browser reconnects by itself, scripts see the answer but not the time of the request.
      exchange ??= target.wire.asked();
      exchange.opened();
      watch();
    });
    source.addEventListener("hello", (event) => {
      backoff.greeted();
      watch();
      cursor = event.lastEventId;
      target.onState("live");
    });
    // A line is an event without a name.
    source.addEventListener("message", (event) => {
      const line = JSON.parse(event.data);
      cursor = event.lastEventId;
      backoff.succeeded();
      watch();
      target.wire.pushed(1);
      onBatch({ lines: [line], next: cursor, more: false, finished: false });
    });
    source.addEventListener("heartbeat", () => watch());
    // The body ends after a goodbye, and an open EventSource would then come back. So each goodbye closes it.
    source.addEventListener("finished", (event) => {
      unsubscribe();
      onBatch({ lines: [], next: event.lastEventId, more: false, finished: true });
    });
    source.addEventListener("gap", (event) => {
      unsubscribe();
      target.onState("gap", JSON.parse(event.data));
    });
    source.addEventListener("deleted", () => {
      unsubscribe();
      target.onState("deleted", {});
    });
    source.addEventListener("error", () => {
      exchange?.cut();
      exchange = null;
      if (source.readyState === EventSource.CONNECTING) {
        watch(RETURN_MS_MAX);
        target.onState("reconnecting", { detail: "the stream was cut; the browser reconnects by itself" });
      } else {
        clearTimeout(watchdog);
        closed();
      }
    });
  }

  // Every event is a sign of life. Without one for too long, the connection is dead, even if TCP still holds it open. The
  // watchdog also guards a connection that never opens.
  function watch(silence_ms = SILENCE_MS_MAX) {
    clearTimeout(watchdog);
    watchdog = setTimeout(giveUp, silence_ms);
  }

  // Closes a silent stream. The client comes back by its own rule, not by the browser's.
  function giveUp() {
    source.close();
    exchange?.cut();
    exchange = null;
    later({ detail: "the stream was silent for too long" });
  }

  // CLOSED: the answer was not a stream, so the browser gave up for good. It may be a 204 (the log is over), a 404, a
  // 410 or an error of a proxy. An EventSource does not tell which one; the regular API does.
  async function closed() {
    const why = await askWhy(target, cursor, abort.signal);
    if (abort.signal.aborted) return;
    if (why.state === "finished") return onBatch(why.batch);
    if (why.state !== "later") return target.onState(why.state, why);
    later(why);
  }

  async function later({ detail, advised_ms }) {
    const wait_ms = backoff.failed(advised_ms);
    target.onState("reconnecting", { detail, wait_ms });
    if (await sleep(wait_ms, abort.signal)) open();
  }

  function unsubscribe() {
    abort.abort();
    clearTimeout(watchdog);
    source.close();
    target.wire.left();
  }

  open();
  return { unsubscribe };
}
