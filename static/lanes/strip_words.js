// A strip of the timeline in words, for visitors who do not see the picture. Pure.

import { isHeld } from "./strip.js";

/** Describes what `strip` shows between two times: one sentence without a full stop. */
export function describe(strip, from, to) {
  const counts = { requests: 0, data: 0, empty: 0, failed: 0, streams: 0 };
  let held_ms = 0;
  let open_ms = 0;
  const within_ms = (begin, end) => Math.max(0, Math.min(end ?? to, to) - Math.max(begin, from, strip.since ?? from));

  for (const request of all(strip.requests, strip.open.values())) {
    if ((request.to ?? to) < from) continue;
    if (request.opened !== null) {
      counts.streams += 1;
      open_ms += within_ms(request.opened, request.to);
    } else if (isHeld(request, to)) {
      // The rest of the time the question or its answer was on the way.
      const { from: asked, to: answered, trip_ms } = request;
      held_ms += within_ms(asked + trip_ms, answered === null ? null : answered - trip_ms);
    }
    // A request from before this time is seen, but it does not count as asked.
    if (request.from >= from) counts.requests += request.count;
    if (request.end === "data") counts.data += request.count;
    if (request.end === "empty" || request.end === "timeout") counts.empty += request.count;
    if (request.end === "refused" || request.end === "error") counts.failed += request.count;
  }
  let slept_ms = 0;
  for (const sleep of all(strip.sleeps, strip.sleep ? [strip.sleep] : [])) slept_ms += within_ms(sleep.from, sleep.to);
  let breaks = 0;
  for (const pause of all(strip.breaks)) if ((pause.to ?? to) >= from) breaks += 1;
  const seen = (ring) => {
    let sum = 0;
    for (const { at, count } of all(ring)) if (at >= from && at <= to) sum += count;
    return sum;
  };

  const lived_ms = within_ms(from, to);
  const share = (part_ms) => `${Math.round((100 * part_ms) / lived_ms)} % of the time`;
  const words = [plural(counts.requests, "request")];
  if (counts.data > 0) words.push(`${counts.data} answered with lines`);
  if (counts.empty > 0) words.push(`${counts.empty} answered empty`);
  if (counts.failed > 0) words.push(`${counts.failed} refused or failed`);
  if (counts.streams > 0) words.push(`a stream open ${share(open_ms)}`);
  if (held_ms > 0) words.push(`held by the server ${share(held_ms)}`);
  if (slept_ms > 0) words.push(`the client slept ${share(slept_ms)}`);
  const pushed = seen(strip.pushed);
  if (pushed > 0) words.push(`${plural(pushed, "line")} pushed`);
  const said = seen(strip.said);
  if (said > 0) words.push(`${plural(said, "message")} from the client`);
  if (breaks > 0) words.push(plural(breaks, "break"));
  return lived_ms > 0 ? words.join(", ") : "nothing yet";
}

function* all(ring, others = []) {
  for (let i = 0; i < ring.length; i++) yield ring.at(i);
  yield* others;
}

function plural(count, word) {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}
