// One call of the server: its answer, or an error that the page can show.

import { problemOf } from "./refusal.js";

/** The server answers at once, so an answer is late after this time. A button must not seem dead. */
const ANSWER_TIMEOUT_MS = 10_000;

/** A refusal of the server, in its own words. */
export class Refused extends Error {
  /** The status of the answer. */
  status;

  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** Returns the JSON of the answer, or null without a body. `signal` aborts the call; `body` is sent as JSON. `key` is an
 *  idempotency key, which makes the call safe to repeat. */
export async function call(path, { signal, method = "GET", body, key } = {}) {
  const late = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  try {
    const response = await fetch(path, {
      method,
      cache: "no-store",
      signal: signal ? AbortSignal.any([signal, late]) : late,
      headers: { ...(body && { "Content-Type": "application/json" }), ...(key && { "Idempotency-Key": key }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Refused(response.status, (await problemOf(response)).detail);
    const text = await response.text();
    return text === "" ? null : JSON.parse(text);
  } catch (error) {
    if (error instanceof Refused || signal?.aborted) throw error;
    const why = late.aborted ? "the server hangs, or the browser uses all six connections to it; close other tabs" : error.message;
    throw new Error(`no answer: ${why}`);
  }
}
