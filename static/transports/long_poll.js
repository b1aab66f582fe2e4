// Long polling: the server waits once.
//
// The client asks. The answer comes when the log has a new line, or when the hold expires without one. Then the client
// asks again at once. A line that is appended between an answer and the next request comes with the next answer.

import { Backoff, sleep } from "../backoff.js";
import { refusalOf, retryAfter_ms } from "../refusal.js";

/** Why there is no ping. The page shows this beside the disabled button. */
export const pingRefusal = "a held request gets one answer and carries no further question.";

/** Requests that the server holds open for this client. A browser has six connections for them. */
export const heldRequests = 1;

/** The client waits this much longer than the hold, because the server must end the hold. */
const MARGIN_S = 10;
const FIRST_CEILING_MS = 500;

/** Follows `target` from `target.from`. Each batch goes to `onBatch`. */
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
  const unheld = new Backoff(FIRST_CEILING_MS);
  let cursor = target.from;
  // The first request is not held: its answer shows at once that the server is there.
  let hold_s = 0;

  // The client sleeps after failures, and after answers without a line that the server did not hold. Otherwise the next
  // request leaves as soon as the last answer is read.
  while (!signal.aborted) {
    const exchange = target.wire.asked({ holds: hold_s > 0 });
    const asked = performance.now();
    const answer = await ask(target, cursor, hold_s, signal);
    if (signal.aborted) return;
    exchange.ended(answer.outcome, answer.batch?.lines.length);
    if (answer.state === "later") {
      const wait_ms = backoff.failed(answer.advised_ms);
      target.onState("reconnecting", { detail: answer.detail, wait_ms });
      hold_s = 0;
      await sleep(wait_ms, signal);
      continue;
    }
    if (answer.state !== "answered") return target.onState(answer.state, answer);

    backoff.succeeded();
    target.onState("live");
    cursor = answer.cursor ?? cursor;
    if (answer.batch) onBatch(answer.batch);
    if (answer.batch?.finished) return;
    const wait_ms = pauseAfter(answer, performance.now() - asked, hold_s * 1_000, unheld);
    hold_s = target.settings.hold_s;
    if (wait_ms > 0) await sleep(wait_ms, signal);
  }
}

/** How long to wait after a good answer, ms: not at all after lines, or after a hold. */
function pauseAfter({ batch, advised_ms }, held_ms, hold_ms, unheld) {
  if (!batch?.lines.length) return unheld.afterNothing(held_ms, hold_ms, advised_ms);
  unheld.succeeded();
  return 0;
}

/** Sends one request and reads its answer. */
async function ask(target, cursor, hold_s, signal) {
  try {
    const response = await fetch(`${target.path}?from=${cursor}&wait=${hold_s}${target.query}`, {
      // The next request may be equal to the last one: it must not be answered from the browser's cache.
      cache: "no-store",
      signal: AbortSignal.any([signal, AbortSignal.timeout((hold_s + MARGIN_S) * 1_000)]),
    });
    // The hold expired. There is no body, but the entity tag holds the cursor.
    if (response.status === 204) {
      const cursor = cursorOf(response.headers.get("etag"));
      return { state: "answered", outcome: "timeout", cursor, advised_ms: retryAfter_ms(response) };
    }
    if (response.status !== 200) return await refusalOf(response);
    const batch = await response.json();
    const outcome = batch.lines.length > 0 ? "data" : "empty";
    return { state: "answered", outcome, batch, cursor: batch.next, advised_ms: retryAfter_ms(response) };
  } catch (error) {
    return { state: "later", detail: `no answer: ${error.message}` };
  }
}

/** Takes the cursor out of an entity tag: without `W/`, quotes and `.end`. */
function cursorOf(entityTag) {
  return entityTag?.match(/^(?:W\/)?"(.+?)(?:\.end)?"$/)?.[1];
}
