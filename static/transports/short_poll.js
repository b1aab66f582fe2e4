// Short polling: the client waits, between requests.
//
// The client asks, gets an answer at once, sleeps, and asks again. The server holds nothing open for it. The price:
// many answers have no line, and a new line waits for the next request.

import { Backoff, sleep } from "../backoff.js";
import { refusalOf } from "../refusal.js";

/** Why there is no ping. The page shows this beside the disabled button. */
export const pingRefusal = "between two polls nothing is open; each poll is a round trip of its own.";

/** Requests that the server holds open for this client: none, because it answers at once. */
export const heldRequests = 0;

/** The server answers at once, so an answer is late after this time. */
const ANSWER_TIMEOUT_MS = 10_000;
const FIRST_CEILING_MS = 500;

/** Follows `target` from `target.from`. Each batch that has lines, or the end of the log, goes to `onBatch`. */
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
  let cursor = target.from;
  let entityTag = null;
  // The first request leaves after a random part of the interval, so pages that open together do not ask together.
  let wait_ms = Math.random() * target.settings.interval_ms;

  // This sleep is the whole difference from long polling, where the server waits instead.
  while (await sleep(wait_ms, signal)) {
    const asked = performance.now();
    const exchange = target.wire.asked();
    const answer = await ask(target, cursor, entityTag, signal);
    if (signal.aborted) return;
    exchange.ended(answer.outcome, answer.batch?.lines.length);
    if (answer.state === "later") {
      wait_ms = backoff.failed(answer.advised_ms);
      target.onState("reconnecting", { detail: answer.detail, wait_ms });
      continue;
    }
    if (answer.state !== "answered") return target.onState(answer.state, answer);

    backoff.succeeded();
    target.onState("live");
    // The next request follows the schedule. Ticks that passed during a late answer are skipped.
    const { interval_ms } = target.settings;
    wait_ms = interval_ms - ((performance.now() - asked) % interval_ms);
    const { batch } = answer;
    if (!batch) continue; // 304
    entityTag = answer.entityTag;
    // An empty answer has a cursor too: the next request starts there.
    cursor = batch.next;
    // The server has more lines than fit into one answer: ask for them now, without an interval between.
    if (batch.more && batch.lines.length > 0) wait_ms = 0;
    if (batch.lines.length > 0 || batch.finished) onBatch(batch);
    if (batch.finished) return;
  }
}

/** Sends one request and reads its answer. */
async function ask(target, cursor, entityTag, signal) {
  try {
    const response = await fetch(`${target.path}?from=${cursor}${target.query}`, {
      // The entity tag of the last answer: send a body only if the log changed since.
      headers: entityTag ? { "If-None-Match": entityTag } : {},
      // Without this the browser may answer from its cache: the script would see 200 instead of 304.
      cache: "no-store",
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
    });
    // The tag still holds: there is no new line, and the answer has no body.
    if (response.status === 304) return { state: "answered", outcome: "empty" };
    if (response.status !== 200) return await refusalOf(response);
    const batch = await response.json();
    const outcome = batch.lines.length > 0 ? "data" : "empty";
    return { state: "answered", outcome, batch, entityTag: response.headers.get("etag") };
  } catch (error) {
    return { state: "later", detail: `no answer: ${error.message}` };
  }
}
