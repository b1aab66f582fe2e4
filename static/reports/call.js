// One call of the lab: its answer, or an error with the server's own words.

import { problemOf } from "../refusal.js";

/** An answer that comes at once is late after this. */
const ANSWER_TIMEOUT_MS = 10_000;

/** The server answered, and will not do it. */
export class Refused extends Error {
  /** The status of its answer. */
  status;

  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

/** What a call of `/api/lab` answers, null when that has no body. `signal` aborts it; `body` is sent as JSON. */
export async function call(path, { signal, method = "GET", body } = {}) {
  const late = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  const response = await fetch(`/api/lab${path}`, {
    method,
    cache: "no-store",
    signal: signal ? AbortSignal.any([signal, late]) : late,
    ...(body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Refused(response.status, (await problemOf(response)).detail);
  const text = await response.text();
  return text === "" ? null : JSON.parse(text);
}

/** The same in words for people: a server that is away is not a server that refuses. */
export function inWords(error) {
  return error instanceof Refused ? error.message : `no answer: ${error.message}`;
}
