// One call of the server: its answer, or an error in words for people.

import { problemOf } from "./refusal.js";

/** An answer that comes at once is late after this: a button must not seem dead. */
const ANSWER_TIMEOUT_MS = 10_000;

/** The server answered, and will not do it: its own words. */
export class Refused extends Error {
  /** The status of its answer. */
  status;

  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** The answer's JSON, null when it has no body. `signal` aborts the call; `body` is sent as JSON. */
export async function call(path, { signal, method = "GET", body } = {}) {
  const late = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  try {
    const response = await fetch(path, {
      method,
      cache: "no-store",
      signal: signal ? AbortSignal.any([signal, late]) : late,
      ...(body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Refused(response.status, (await problemOf(response)).detail);
    const text = await response.text();
    return text === "" ? null : JSON.parse(text);
  } catch (error) {
    if (error instanceof Refused || signal?.aborted) throw error;
    const why = late.aborted ? "the server hangs, or all six of the browser's connections to it are in use" : error.message;
    throw new Error(`no answer: ${why}`);
  }
}
