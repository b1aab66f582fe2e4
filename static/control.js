// What buttons ask of the server: one request, one answer, or words that say why not.

import { problemOf } from "./refusal.js";

/** An answer that comes at once is late after this: a button must not seem dead. */
const ANSWER_TIMEOUT_MS = 8_000;

/** The answer's JSON (null without a body). Throws an Error in words for people. */
export async function ask(method, path, body) {
  const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
  let response;
  try {
    response = await fetch(path, {
      method,
      cache: "no-store",
      signal,
      ...(body !== undefined && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
    });
  } catch (error) {
    const late = "no answer: the server hangs, or all six of the browser's connections to it are in use";
    throw new Error(signal.aborted ? late : `no answer: ${error.message}`);
  }
  if (!response.ok) throw new Error((await problemOf(response)).detail);
  return response.status === 204 ? null : response.json();
}
