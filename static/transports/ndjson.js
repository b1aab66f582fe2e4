// NDJSON: the server waits for ever, one JSON object per line of an endless body.
//
// This is the plainest stream: read the body, split it at LF, parse each piece. Browsers have no object for it, and the
// page needs none. The last record says why the stream ended. A stream without such a record was cut.

import { Backoff, sleep } from "../backoff.js";
import { refusalOf } from "../refusal.js";

/** Why there is no ping. The page shows this beside the disabled button. */
export const pingRefusal = "the request is over and only its answer goes on; the client cannot send on it.";

/** Requests that the server holds open for this client. A browser has six connections for them. */
export const heldRequests = 1;

/** A stream that is silent for longer is dead: the time of two heartbeats, 15 s each by default, and a margin. */
const SILENCE_MS_MAX = 35_000;
/** A record is one line of at most 1 MiB, or six times as long when every character is escaped. */
const RECORD_CHARS_MAX = 8 * 1024 * 1024;
const FIRST_CEILING_MS = 500;

/** Follows `target` from `target.from`. Lines that arrived together go to `onBatch` together. */
export function subscribe(target, onBatch) {
  const abort = new AbortController();
  follow(target, onBatch, abort.signal);
  const unsubscribe = () => {
    abort.abort();
    target.wire.left();
  };
  return { unsubscribe };
}

async function follow(target, onBatch, signal) {
  const backoff = new Backoff(FIRST_CEILING_MS);
  const position = { cursor: target.from };
  while (!signal.aborted) {
    const exchange = target.wire.asked();
    const end = await stream(target, position, onBatch, backoff, exchange, signal);
    if (signal.aborted || end.state === "finished") return;
    exchange.ended(end.outcome);
    if (end.state !== "later") return target.onState(end.state, end);
    const wait_ms = backoff.failed(end.advised_ms);
    target.onState("reconnecting", { detail: end.detail, wait_ms });
    await sleep(wait_ms, signal);
  }
}

/** Sends one request, reads its answer to the end, and returns how it ended. `position.cursor` moves with the lines. */
async function stream(target, position, onBatch, backoff, exchange, signal) {
  // Aborting this closes the connection: when the caller unsubscribes, and when the stream fell silent.
  const request = new AbortController();
  const close = () => request.abort();
  signal.addEventListener("abort", close);
  let watchdog = setTimeout(close, SILENCE_MS_MAX);
  try {
    const response = await fetch(`${target.path}?from=${position.cursor}${target.query}`, {
      cache: "no-store",
      signal: request.signal,
    });
    if (response.status !== 200) return await refusalOf(response);
    exchange.opened();
    // A chunk may end inside a character. The decoder keeps the first bytes of that character for the next chunk.
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let unfinished = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (signal.aborted) return { state: "later" };
      // The body ended properly, but without a goodbye: the server is stopping. The client comes back.
      if (done) return { state: "later", detail: "the stream ended without a goodbye" };
      // Every byte is a sign of life; a blank line is a heartbeat.
      clearTimeout(watchdog);
      watchdog = setTimeout(close, SILENCE_MS_MAX);
      const records = (unfinished + value).split("\n");
      unfinished = records.pop();
      if (unfinished.length > RECORD_CHARS_MAX) return { state: "refused", detail: "the server sent a record that is too long" };
      const end = take(records, target, position, onBatch, backoff);
      if (end) return end;
    }
  } catch (error) {
    // A body that was cut before its final chunk comes here too. The server sends what is in `unfinished` again.
    return { state: "later", detail: `the stream was cut: ${error.message}` };
  } finally {
    clearTimeout(watchdog);
    signal.removeEventListener("abort", close);
    close();
  }
}

/** Takes the whole records of one chunk. Returns the end if a record was a goodbye. */
function take(records, target, position, onBatch, backoff) {
  const lines = [];
  let end = null;
  for (const record of records.filter((record) => record.trim() !== "").map((record) => JSON.parse(record))) {
    if (record.hello) {
      backoff.greeted();
      position.cursor = record.hello.cursor;
      target.onState("live");
    } else if (record.finished) end = { state: "finished" };
    else if (record.gap) end = { state: "gap", ...record.gap };
    else if (record.deleted) end = { state: "deleted" };
    else if (record.seq !== undefined) lines.push(record);
  }
  // A record has the number of its line. With the epoch of the cursor before, it makes the cursor after the line.
  const last = lines.at(-1);
  if (last) backoff.succeeded();
  if (last) target.wire.pushed(lines.length);
  if (last) position.cursor = `${position.cursor.split(".")[0]}.${last.seq}`;
  const finished = end?.state === "finished";
  if (last || finished) onBatch({ lines, next: position.cursor, more: false, finished });
  return end;
}
