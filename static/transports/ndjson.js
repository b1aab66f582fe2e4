// NDJSON: the server waits for ever, one JSON object per line of an endless body.
//
// The plainest stream there is: read the body, split at LF, parse each piece. There is no browser object that
// does it, and none is needed. A last record says why the stream ended; without one it was cut.

import { Backoff, sleep } from "../backoff.js";
import { refusalOf } from "../refusal.js";

/** Why there is no ping: shown where the button is disabled. */
export const pingRefusal = "the request is over, only its answer goes on; nothing can be asked on it.";

/** Requests that the server holds open for us: a browser has six connections for them. */
export const heldRequests = 1;

/** Two heartbeats of a server that keeps to 15 s, and some: a stream silent for longer is dead. */
const SILENCE_MS_MAX = 35_000;
/** A record is one line of at most 1 MiB, six times as long if every character is escaped. */
const RECORD_CHARS_MAX = 8 * 1024 * 1024;
const FIRST_CEILING_MS = 500;

/** Follows `target` from `target.from`; the lines that arrived together go to `onBatch` together. */
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

/** One request and its answer, to the end; says how it ended. `position.cursor` moves with the lines. */
async function stream(target, position, onBatch, backoff, exchange, signal) {
  // Closing this closes the connection, whether we are asked to or the stream fell silent.
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
    // Chunks end anywhere, also inside a character: the decoder keeps its first bytes for the next chunk.
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let unfinished = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (signal.aborted) return { state: "later" };
      // The body's proper end, but no record said goodbye: a server that is stopping. Come back.
      if (done) return { state: "later", detail: "the stream ended without a goodbye" };
      // Blank lines are signs of life; any byte is.
      clearTimeout(watchdog);
      watchdog = setTimeout(close, SILENCE_MS_MAX);
      const records = (unfinished + value).split("\n");
      unfinished = records.pop();
      if (unfinished.length > RECORD_CHARS_MAX) return { state: "refused", detail: "a record without end" };
      const end = take(records, target, position, onBatch, backoff);
      if (end) return end;
    }
  } catch (error) {
    // Also a body that was cut before its final chunk: what stands in `unfinished` comes again.
    return { state: "later", detail: `the stream was cut: ${error.message}` };
  } finally {
    clearTimeout(watchdog);
    signal.removeEventListener("abort", close);
    close();
  }
}

/** The whole records of one chunk. Returns the end if one of them was a goodbye. */
function take(records, target, position, onBatch, backoff) {
  const lines = [];
  let end = null;
  for (const record of records.filter((record) => record.trim() !== "").map((record) => JSON.parse(record))) {
    if (record.hello) {
      backoff.succeeded();
      position.cursor = record.hello.cursor;
      target.onState("live");
    } else if (record.finished) end = { state: "finished" };
    else if (record.gap) end = { state: "gap", ...record.gap };
    else if (record.deleted) end = { state: "deleted" };
    else if (record.seq !== undefined) lines.push(record);
  }
  // A record carries its line's number; with the epoch of the cursor before it, that is the cursor behind it.
  const last = lines.at(-1);
  if (last) target.wire.pushed(lines.length);
  if (last) position.cursor = `${position.cursor.split(".")[0]}.${last.seq}`;
  const finished = end?.state === "finished";
  if (last || finished) onBatch({ lines, next: position.cursor, more: false, finished });
  return end;
}
