// Refusals: what an answer without lines means for the subscriber.
//
// Errors of the server are problem documents (RFC 9457). Their `detail` names the thing and the remedy. Overload and
// server errors are temporary; other refusals are final.

const ANSWER_TIMEOUT_MS = 10_000;

/** Reads the problem document of an answer. Without one, its detail is the status. */
export async function problemOf(response) {
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
  if (response.status < 400 || response.status === 429 || response.status >= 500) {
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

/** `Retry-After`, seconds or a date (RFC 9110 §10.2.3), as ms from now. Undefined when it is absent or invalid. */
function retryAfter_ms(response) {
  const value = response.headers.get("retry-after") ?? "";
  const wait_ms = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - Date.now();
  return Number.isNaN(wait_ms) ? undefined : Math.max(wait_ms, 0);
}
