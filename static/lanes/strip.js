// One strip of the timeline: wire events in, marks out.
//
// A mark is what the eye sees: a request with its answer, a sleep of the client, a break, a dot. Who waited is in
// their times alone, so this knows no transport by name. It reads no clock and no element; `paint.js` draws the marks.

/** The longest time that is ever shown. */
export const SPAN_MS_MAX = 30_000;
/** Dots and quick requests nearer than this are one mark: about a pixel when the longest time is shown. */
export const SAME_PIXEL_MS = 25;
/** A longer time between question and answer was held: the server waited. A round trip alone stays below it. */
export const HELD_MS_MIN = 50;
/** A longer time between answer and question was slept: the client waited. */
export const SLEPT_MS_MIN = 50;
/** Marks of one kind in a strip: one per pixel of the longest time shown, and some to spare. With seven numbers to a
 *  mark, a strip stays below a megabyte however long and however fast its lane runs. */
export const MARKS_MAX = SPAN_MS_MAX / SAME_PIXEL_MS + 80;
/** Requests of one strip that have no answer yet. A lane has one or two; only a lane that forgets to end its own
 *  has more, and then the oldest are dropped. */
export const OPEN_MAX = 64;

/** The last so many marks, oldest first. */
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

  /** The same marks, which nobody changes any more. */
  copy() {
    const copy = new Ring();
    for (let i = 0; i < this.length; i++) copy.push({ ...this.at(i) });
    return copy;
  }
}

/** All times are of performance.now(), ms; `to: null` is still going on. */
export class Strip {
  /** When the strip began; nothing is drawn before. */
  since = null;
  /** `{ from, opened, to, end, lines, count, duplex }`: a question and what became of it. `opened` is when a stream's
   *  answer began, `end` one of data, empty, timeout, refused, error, cut, left. */
  requests = new Ring();
  /** The same, without an end yet, by id. */
  open = new Map();
  /** `{ from, to }`: the client slept between an answer and its next question. */
  sleeps = new Ring();
  /** The sleep that goes on. */
  sleep = null;
  /** `{ from, to }`: cut, until the question that was answered again. The last may go on. */
  breaks = new Ring();
  /** `{ at, count }`: lines pushed up; messages down; messages up that are no lines. */
  pushed = new Ring();
  said = new Ring();
  heard = new Ring();

  wire(event) {
    this.since ??= event.at;
    switch (event.kind) {
      case "asked":
        this.#endSleep(event.at);
        this.#ask(event.id, event.at);
        break;
      case "opened":
        this.#open(event);
        break;
      case "answered":
        this.#answer(event);
        break;
      case "pushed":
        dot(this.pushed, event.at, event.lines);
        break;
      case "said":
        // Whoever talks back on an open answer has a socket, not an answer.
        for (const request of this.open.values()) if (request.opened !== null) request.duplex = true;
        dot(this.said, event.at, 1);
        break;
      case "heard":
        dot(this.heard, event.at, 1);
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

  /** Forgets what was; what is still open goes on. */
  clear(now) {
    for (const ring of [this.requests, this.sleeps, this.breaks, this.pushed, this.said, this.heard]) ring.clear();
    this.since = now;
  }

  /** The strip as it is now, for a picture that stands still while this one goes on. */
  copy() {
    const copy = new Strip();
    copy.since = this.since;
    for (const [id, request] of this.open) copy.open.set(id, { ...request });
    copy.sleep = this.sleep && { ...this.sleep };
    for (const ring of ["requests", "sleeps", "breaks", "pushed", "said", "heard"]) copy[ring] = this[ring].copy();
    return copy;
  }

  #ask(id, at) {
    const request = { from: at, opened: null, to: null, end: null, lines: 0, count: 1, duplex: false };
    this.open.set(id, request);
    if (this.open.size > OPEN_MAX) this.open.delete(this.open.keys().next().value);
    return request;
  }

  #open({ id, at, duplex = false }) {
    // A browser that reconnects by itself tells only of the answer.
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
    // In a break the client waits for a server, not for its own clock.
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
    const merges = last && last.end === end && isQuick(last) && isQuick(request);
    if (merges && request.from - last.from < SAME_PIXEL_MS) {
      last.count += 1;
      last.lines += request.lines;
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

/** Whether the server waited before it answered. `now` ends what goes on. */
export function isHeld(request, now) {
  return request.opened === null && (request.to ?? now) - request.from >= HELD_MS_MIN;
}

function isQuick(request) {
  return request.opened === null && request.to - request.from < HELD_MS_MIN;
}

function dot(ring, at, count) {
  const { last } = ring;
  if (last && at - last.at < SAME_PIXEL_MS) last.count += count;
  else ring.push({ at, count });
}
