// One strip of the timeline: wire events in, marks out.
//
// A mark is what the eye sees: a request with its answer, a sleep of the client, a break, a dot. The times of the marks
// tell which side waited, so this file names no transport. It reads no clock and no element. `paint.js` draws the marks.

/** The longest time that the timeline shows. */
export const SPAN_MS_MAX = 30_000;
/** Dots and quick requests that are nearer than this become one mark: about a pixel while the longest time is shown. */
export const SAME_PIXEL_MS = 25;
/** After a longer time between question and answer the server waited: it held the request. A round trip on one machine is
 *  shorter, and that of a known distance is added. */
export const HELD_MS_MIN = 50;
/** The same for a request that asks the server to wait, ms. It may wait a short time where lines are dense. */
export const HELD_MS_MIN_ASKED = 10;
/** After a longer time between answer and next question the client waited: it slept. */
export const SLEPT_MS_MIN = 50;
/** Marks of one kind in a strip: one per pixel of the longest time, and some to spare. A mark has nine numbers, so a
 *  strip stays below a megabyte for every lane. */
export const MARKS_MAX = SPAN_MS_MAX / SAME_PIXEL_MS + 80;
/** Requests of one strip without an answer. A lane has one or two. A lane that does not end its requests has more, and
 *  then the oldest are dropped. */
export const OPEN_MAX = 64;

/** The last `MARKS_MAX` marks, oldest first. */
export class Ring {
  #marks = [];
  #oldest = 0;

  get length() {
    return this.#marks.length;
  }

  at(index) {
    return this.#marks[(this.#oldest + index) % this.#marks.length];
  }

  get last() {
    return this.length > 0 ? this.at(this.length - 1) : null;
  }

  push(mark) {
    if (this.length < MARKS_MAX) {
      this.#marks.push(mark);
    } else {
      this.#marks[this.#oldest] = mark;
      this.#oldest = (this.#oldest + 1) % MARKS_MAX;
    }
  }

  clear() {
    this.#marks.length = 0;
    this.#oldest = 0;
  }

  /** Copies the marks. Later changes do not reach the copy. */
  copy() {
    const copy = new Ring();
    for (let i = 0; i < this.length; i++) copy.push({ ...this.at(i) });
    return copy;
  }
}

/** The marks of one lane. Times are those of performance.now(), ms; `to: null` is still going on. */
export class Strip {
  /** When the strip began. Nothing is drawn before this time. */
  since = null;
  /** `{ from, opened, to, end, lines, count, duplex, holds, trip_ms, round_ms }`: a request and its answer. `opened` is when
   *  the answer of a stream began. `holds` says that it asked the server to wait. `end` is data, empty, timeout, refused,
   *  error, cut or left. `trip_ms` is the known time of each way, `round_ms` the longest time there and back. */
  requests = new Ring();
  /** Requests without an end yet, by id. */
  open = new Map();
  /** `{ from, to }`: the client slept between an answer and its next question. */
  sleeps = new Ring();
  /** The sleep that is going on. */
  sleep = null;
  /** `{ from, to }`: from a cut to the next question with an answer. The last break may be going on. */
  breaks = new Ring();
  /** `{ at, count, trip_ms }`: `pushed` are lines to the client, `said` are messages to the server, `heard` are messages to the
   *  client that are not lines. */
  pushed = new Ring();
  said = new Ring();
  heard = new Ring();
  #trip_ms = 0;
  #round_ms = 0;

  /** Takes the link between client and server. What happened before keeps its own. */
  distance({ delay_ms, jitter_ms }) {
    this.#trip_ms = delay_ms;
    this.#round_ms = 2 * (delay_ms + jitter_ms);
  }

  wire(event) {
    this.since ??= event.at;
    switch (event.kind) {
      case "asked":
        this.#endSleep(event.at);
        this.#ask(event.id, event.at, event.holds);
        break;
      case "opened":
        this.#open(event);
        break;
      case "answered":
        this.#answer(event);
        break;
      case "pushed":
        dot(this.pushed, event.at, event.lines, this.#trip_ms);
        break;
      case "said":
        // A client that writes over an open answer has a socket.
        for (const request of this.open.values()) if (request.opened !== null) request.duplex = true;
        dot(this.said, event.at, 1, this.#trip_ms);
        break;
      case "heard":
        dot(this.heard, event.at, 1, this.#trip_ms);
        break;
      case "cut":
        this.#cut(event);
        break;
      case "left":
        this.#endSleep(event.at);
        for (const id of [...this.open.keys()]) this.#end(id, event.at, "left");
        this.#endBreak(event.at);
        break;
    }
  }

  /** Forgets the past. Open requests go on. */
  clear(now) {
    for (const ring of [this.requests, this.sleeps, this.breaks, this.pushed, this.said, this.heard]) ring.clear();
    this.since = now;
  }

  /** Copies the strip as it is now, for a picture that stands still. */
  copy() {
    const copy = new Strip();
    copy.since = this.since;
    for (const [id, request] of this.open) copy.open.set(id, { ...request });
    copy.sleep = this.sleep && { ...this.sleep };
    for (const ring of ["requests", "sleeps", "breaks", "pushed", "said", "heard"]) copy[ring] = this[ring].copy();
    return copy;
  }

  #ask(id, at, holds = false) {
    const [trip_ms, round_ms] = [this.#trip_ms, this.#round_ms];
    const request = { from: at, opened: null, to: null, end: null, lines: 0, count: 1, duplex: false, holds, trip_ms, round_ms };
    this.open.set(id, request);
    if (this.open.size > OPEN_MAX) this.open.delete(this.open.keys().next().value);
    return request;
  }

  #open({ id, at, duplex = false }) {
    // When the browser reconnects by itself, scripts see only the answer.
    const request = this.open.get(id) ?? this.#ask(id, at);
    request.opened = at;
    request.duplex = duplex;
    this.#endSleep(at);
    this.#endBreak(request.from);
  }

  #answer({ id, at, outcome, lines = 0 }) {
    const request = this.open.get(id) ?? this.#ask(id, at);
    request.lines = lines;
    if (outcome !== "refused" && outcome !== "error") this.#endBreak(request.from);
    this.#end(id, at, outcome);
    // During a break the client waits for the server, so it does not sleep.
    if (!this.#isBroken()) this.sleep = { from: at, to: null };
  }

  #cut({ id, at }) {
    this.#endSleep(at);
    for (const broken of id === undefined ? [...this.open.keys()] : [id]) this.#end(broken, at, "cut");
    if (this.#isBroken()) return;
    const { last } = this.breaks;
    if (last && at - last.to < SAME_PIXEL_MS) last.to = null;
    else this.breaks.push({ from: at, to: null });
  }

  #end(id, at, end) {
    const request = this.open.get(id);
    if (!request) return;
    this.open.delete(id);
    request.to = at;
    request.end = end;
    const { last } = this.requests;
    const isPoll = (request) => request.opened === null;
    const areAlike =
      last && last.end === end && isPoll(last) && isPoll(request) && isHeld(last, at) === isHeld(request, at);
    if (areAlike && request.from - last.from < SAME_PIXEL_MS) {
      last.count += 1;
      last.lines += request.lines;
      if (isHeld(last, at)) last.to = at;
    } else {
      this.requests.push(request);
    }
  }

  #endSleep(at) {
    if (this.sleep && at - this.sleep.from >= SLEPT_MS_MIN) this.sleeps.push({ from: this.sleep.from, to: at });
    this.sleep = null;
  }

  #isBroken() {
    return this.breaks.last?.to === null;
  }

  #endBreak(at) {
    const { last } = this.breaks;
    if (last?.to === null) last.to = Math.max(last.from, at);
  }
}

/** Whether the server waited before it answered. A request that is going on ends at `now`. */
export function isHeld(request, now) {
  const waited_ms = (request.to ?? now) - request.from - request.round_ms;
  return request.opened === null && waited_ms >= (request.holds ? HELD_MS_MIN_ASKED : HELD_MS_MIN);
}

function dot(ring, at, count, trip_ms) {
  const { last } = ring;
  if (last && at - last.at < SAME_PIXEL_MS) last.count += count;
  else ring.push({ at, count, trip_ms });
}
