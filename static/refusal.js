// Refusals: what an answer that brings no lines means for its subscriber.
//
// Errors of the server are problem documents (RFC 9457): their `detail` names the thing and the remedy. Overload
// and server errors pass; the others are final.

const ANSWER_TIMEOUT_MS = 10_000;

/** The problem document of an answer; from anything else, what its status says. */
export async function problemOf(response) {
  const problem = await response.json().catch(() => null);
  return problem?.detail ? problem : { status: response.status, detail: `the server answered ${response.status}` };
}

/** A refusal as a state: `gap` and `deleted` and `refused` are final, `later` says how long to stay away. */
export async function refusalOf(response) {
  const problem = await problemOf(response);
  const { detail, earliest, latest } = problem;
  // The word that the server's own counts use.
  const outcome = response.status < 500 || response.status === 503 ? "refused" : "error";
  // What is no refusal at all passes too: a head that was cut in its first line may say 20 or 2.
  if (response.status < 400 || response.status === 429 || response.status >= 500) {
    return { state: "later", outcome, detail, advised_ms: retryAfter_ms(response) };
  }
  if (response.status === 410) return { state: "gap", outcome, detail, earliest, latest };
  if (response.status === 404) return { state: "deleted", outcome, detail };
  return { state: "refused", outcome, detail };
}

/**
 * Why a stream was refused, which browsers hide from scripts: `EventSource` and `WebSocket` only say that they
 * failed. The regular API answers the same position with the same status, readably.
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
    return { state: "later", detail: "the stream was refused, but the log can be read: trying again" };
  } catch (error) {
    return { state: "later", detail: `no answer: ${error.message}` };
  }
}

/** `Retry-After` in seconds or as a date (RFC 9110 §10.2.3), as ms from now; undefined when absent or neither. */
function retryAfter_ms(response) {
  const value = response.headers.get("retry-after") ?? "";
  const wait_ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isNaN(wait_ms) ? undefined : Math.max(wait_ms, 0);
}
