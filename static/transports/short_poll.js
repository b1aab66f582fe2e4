// Short polling: the client waits, between requests.
//
// Ask, get an answer at once, sleep, ask again. Nothing is held open for us on the server; the price is that most
// questions have no news, and news waits for the next question.

import { Backoff, sleep } from "../backoff.js";
import { refusalOf } from "../refusal.js";

/** Why there is no ping: shown where the button is disabled. */
export const pingRefusal = "between polls there is no connection; each answer is a round trip.";

/** Requests that the server holds open for us: none, it answers at once. */
export const heldRequests = 0;

/** An answer that comes at once is late after this. */
const ANSWER_TIMEOUT_MS = 10_000;
const FIRST_CEILING_MS = 500;

/** Follows `target` from `target.from`; each batch with lines or the end goes to `onBatch`. */
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
  // First after a random part of the interval: pages opened together must not ask together for ever.
  let wait_ms = Math.random() * target.settings.interval_ms;

  // This sleep is the whole difference to long polling: there, the server does the waiting.
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
    // Back to the schedule. Ticks that passed while an answer was late are skipped, not made up for.
    const { interval_ms } = target.settings;
    wait_ms = interval_ms - ((performance.now() - asked) % interval_ms);
    const { batch } = answer;
    if (!batch) continue; // 304
    entityTag = answer.entityTag;
    // Also an empty answer tells where we are: the next question starts there.
    cursor = batch.next;
    // The answer was cut at its bound: what is left is asked for now, not an interval later.
    if (batch.more) wait_ms = 0;
    if (batch.lines.length > 0 || batch.finished) onBatch(batch);
    if (batch.finished) return;
  }
}

/** One question, one answer. */
async function ask(target, cursor, entityTag, signal) {
  try {
    const response = await fetch(`${target.path}?from=${cursor}${target.query}`, {
      // The entity tag of the last answer: "tell me only if something changed since".
      headers: entityTag ? { "If-None-Match": entityTag } : {},
      // Else the browser answers from its own cache, and a script sees that 200 instead of the 304.
      cache: "no-store",
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
    });
    // Our tag still holds: nothing happened, and the server sent no body to say so.
    if (response.status === 304) return { state: "answered", outcome: "empty" };
    if (response.status !== 200) return await refusalOf(response);
    const batch = await response.json();
    const outcome = batch.lines.length > 0 ? "data" : "empty";
    return { state: "answered", outcome, batch, entityTag: response.headers.get("etag") };
  } catch (error) {
    return { state: "later", detail: `no answer: ${error.message}` };
  }
}
