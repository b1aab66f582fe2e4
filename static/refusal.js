// Refusals: what an answer without lines means for the subscriber.
//
// Errors of the server are problem documents (RFC 9457). Their `detail` names the thing and the remedy. Some refusals
// pass by themselves; the others are final.

import { passes } from "./backoff.js";

const ANSWER_TIMEOUT_MS = 10_000;

const unauthorized = new EventTarget();

/** Calls `listener` whenever the server wants a login, whichever call it refuses for that. */
export const onUnauthorized = (listener) => unauthorized.addEventListener("refused", listener);

/** Reads the problem document of an answer. Without one, its detail is the status. */
export async function problemOf(response) {
  if (response.status === 401) unauthorized.dispatchEvent(new Event("refused"));
  const problem = await response.json().catch(() => null);
  return problem?.detail ? problem : { status: response.status, detail: `the server answered ${response.status}` };
}

/** Turns a refusal into a state: `gap`, `deleted` and `refused` are final; `later` says how long to stay away. */
export async function refusalOf(response) {
  const problem = await problemOf(response);
  const { detail, earliest, latest } = problem;
  // The server counts with the same words.
  const outcome = response.status < 500 || response.status === 503 ? "refused" : "error";
  // A status below 400 is temporary too: a head that was cut in its first line may say 20 or 2.
  if (response.status < 400 || passes(response.status)) {
    return { state: "later", outcome, detail, advised_ms: retryAfter_ms(response) };
  }
  if (response.status === 410) return { state: "gap", outcome, detail, earliest, latest };
  if (response.status === 404) return { state: "deleted", outcome, detail };
  return { state: "refused", outcome, detail };
}

/**
 * Asks why a stream was refused. Browsers hide that from scripts: `EventSource` and `WebSocket` say only that they
 * failed. The regular API answers the same position with the same status, and scripts can read it.
 */
export async function askWhy(target, cursor, signal) {
  try {
    const response = await fetch(`${target.linesPath}?from=${cursor}&limit=1`, {
      cache: "no-store",
      signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_TIMEOUT_MS)]),
    });
    if (!response.ok) return await refusalOf(response);
    const batch = await response.json();
    if (batch.finished && batch.lines.length === 0) return { state: "finished", batch };
    return { state: "later", detail: "the server refused the stream, but the log can be read" };
  } catch (error) {
    return { state: "later", detail: `no answer: ${error.message}` };
  }
}

/**
 * `Retry-After`, seconds or a date (RFC 9110 §10.2.3), as ms. Undefined when it is absent or invalid. A date is counted
 * from the answer's own `Date`, so that the clocks of page and server need not agree.
 */
export function retryAfter_ms(response) {
  const value = response.headers.get("retry-after")?.trim() ?? "";
  if (/^\d+$/.test(value)) return Number(value) * 1_000;
  // `Date.parse` takes numbers such as `1.5` and `-1` for dates; all dates of HTTP begin with a day's name.
  const sent_ms = Date.parse(response.headers.get("date") ?? "");
  const wait_ms = /^[A-Z]/i.test(value) ? Date.parse(value) - (Number.isNaN(sent_ms) ? Date.now() : sent_ms) : NaN;
  return Number.isNaN(wait_ms) ? undefined : Math.max(wait_ms, 0);
}
