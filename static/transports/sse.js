// Server-sent events: the server waits for ever, and browsers reconnect by themselves.
//
// One question, and an answer that does not end: events as text (WHATWG HTML §9.2). Each carries an id, which is
// our cursor. When the connection ends without a goodbye, `EventSource` waits the time the server asked for
// (`retry:`) and comes back with the last id in `Last-Event-ID`: for the browser, that is all of it.

import { Backoff, sleep } from "../backoff.js";
import { askWhy } from "../refusal.js";

/** Why there is no ping: shown where the button is disabled. */
export const pingRefusal = "an EventSource only receives; nothing can be asked on it.";

/** Requests that the server holds open for us: a browser has six connections for them. */
export const heldRequests = 1;

const FIRST_CEILING_MS = 500;

/** Follows `target` from `target.from`; each line, and the end, goes to `onBatch`. */
export function subscribe(target, onBatch) {
  const abort = new AbortController();
  const backoff = new Backoff(FIRST_CEILING_MS);
  let cursor = target.from;
  let source = null;
  let exchange = null;

  function open() {
    exchange = target.wire.asked();
    // A first request says where to start in its query. On the browser's own reconnects the query is still the
    // same, but `Last-Event-ID` wins over it.
    source = new EventSource(`${target.path}?from=${cursor}${target.query}`);
    source.addEventListener("open", () => {
      // The browser's own reconnect: when it asked is hidden from scripts, that it was answered is not.
      exchange ??= target.wire.asked();
      exchange.opened();
    });
    // Heartbeats are comments, which scripts never see: a connection that died in silence is found by TCP alone.
    source.addEventListener("hello", (event) => {
      backoff.succeeded();
      cursor = event.lastEventId;
      target.onState("live");
    });
    // A line is an event without a name.
    source.addEventListener("message", (event) => {
      const line = JSON.parse(event.data);
      cursor = event.lastEventId;
      target.wire.pushed(1);
      onBatch({ lines: [line], next: cursor, more: false, finished: false });
    });
    // Each goodbye is followed by the end of the body, after which an open EventSource would come back: close it.
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
        target.onState("reconnecting", { detail: "the stream was cut; the browser reconnects by itself" });
      } else {
        closed();
      }
    });
  }

  // CLOSED: the answer was no stream, so the browser gave up for good. 204 (the log is over), 404, 410 or an
  // error of a proxy: an EventSource tells none of them, the regular API does.
  async function closed() {
    const why = await askWhy(target, cursor, abort.signal);
    if (abort.signal.aborted) return;
    if (why.state === "finished") return onBatch(why.batch);
    if (why.state !== "later") return target.onState(why.state, why);
    const wait_ms = backoff.failed(why.advised_ms);
    target.onState("reconnecting", { detail: why.detail, wait_ms });
    if (await sleep(wait_ms, abort.signal)) open();
  }

  function unsubscribe() {
    abort.abort();
    source.close();
    target.wire.left();
  }

  open();
  return { unsubscribe };
}
