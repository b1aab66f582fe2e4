// Marks → canvas: draws the two life lines of one strip and everything between them.
//
// Shape and fill carry the meaning; colour only repeats it. A solid bar means that the server waits. Ticks mean that the
// client sleeps. A triangle is an answer (hollow: empty), a dot is a message on an open stream, a cross is a failure, a
// torn edge is a cut. Where signs are dense they get narrower, so that bars and ticks still show who waits. This file
// reads no clock and keeps no state.

import { isHeld } from "./strip.js";

/** A slant is as wide as the known time of its way, and this wide even for a short trip: otherwise question and answer
 *  would look like one line. Where questions are nearer, a short trip takes this share of their distance, but a pixel at
 *  least. */
export const SLANT_PX_MIN = 8;
const SLANT_SHARE = 1 / 4;
/** A bar begins and ends at most this share of its length inside, so most of it is seen. */
const INSET_SHARE = 1 / 8;
/** Slants that are nearer than this would fill the space between the lines, so some are left out. */
const SLANTS_APART_PX = 6;
/** How long a dot travels before it rests at its place. */
const TRAVEL_MS = 260;
const BAR_PX = 10;
/** Signs of one kind that are nearer than this hide each other. So each cell of this width shows one. */
const CELL_PX = 3;
const SLEEP_PX = 8;
/** Width of a tick of a sleep, and of the space after it. */
const SLEEP_DASH = [3, 4];
const BREAK_PX_MIN = 14;
const TOOTH_PX = 5;
/** A dot for many lines is bigger, up to this radius. */
const DOT_PX_MAX = 6.5;
const DOT_PX_MIN = 1.5;
/** A triangle where answers are dense. */
const HEAD_PX_MIN = 2;
const CIRCLE = 2 * Math.PI;

/** Reads the present colours and font from the style of the page. */
export function paletteOf(element) {
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    ground: colour("timeline-ground") || colour("card"),
    text: colour("text"),
    quiet: colour("quiet"),
    line: colour("line"),
    server: colour("accent"),
    client: colour("busy"),
    data: colour("good"),
    bad: colour("bad"),
    font: style.fontFamily,
  };
}

/** Maps times to places: `x = at * scale + offset`. `settled` draws every dot at its final place. */
export class View {
  constructor({ now, scale, offset, left, right, settled }) {
    Object.assign(this, { now, scale, offset, left, right, settled });
  }

  x(at) {
    return at * this.scale + this.offset;
  }

  /** The cell of a time. Cells move with the picture; otherwise the drawn signs would flicker. */
  cell(at, width_px = CELL_PX) {
    return Math.floor((at * this.scale) / width_px);
  }
}

/** Heights of the two life lines of a strip. */
export function linesOf(top, height) {
  const margin = Math.max(12, Math.round(height * 0.22));
  return { client: top + margin, server: top + height - margin };
}

/** Requests in view, collected once per strip and frame. All strips share the list, so frames allocate less memory. */
const seen = [];

/** Draws one strip. `lines` comes from `linesOf`. */
export function paintStrip(context, palette, view, lines, strip) {
  if (strip.since === null) return;
  collect(strip, view);
  context.lineCap = "butt";
  context.lineJoin = "miter";
  lifeLines(context, palette, view, lines, strip);
  breaks(context, palette, view, lines, strip);
  sleeps(context, palette, view, lines, strip);
  tubes(context, palette, view, lines, strip);
  bars(context, palette, view, lines, strip);
  messages(context, palette, view, lines, strip);
  slants(context, palette, view, lines);
  heads(context, palette, view, lines);
  seen.length = 0;
}

/** Collects the requests in view, with the places that several passes need. */
function collect(strip, view) {
  for (let i = 0; i < strip.requests.length; i++) place(strip.requests.at(i), view);
  for (const request of strip.open.values()) place(request, view);
  for (let i = 0; i < seen.length; i++) narrow(i, view);
}

/** Makes the slants of a request as wide as its way, or as the distance to the next question allows. */
function narrow(i, view) {
  const sign = seen[i];
  const distance = (of, next) => (next > of.asked ? next - of.asked : Infinity);
  // The last question has no next one yet. It keeps the width of those before it until it is older than they became.
  const { asked: next = i > 0 ? Math.max(sign.asked + distance(seen[i - 1], sign.asked), sign.to) : Infinity } = seen[i + 1] ?? {};
  const trip = sign.request.trip_ms * view.scale;
  const length = sign.to - sign.asked;
  sign.slant = Math.min(Math.max(distance(sign, next) * SLANT_SHARE, 1), SLANT_PX_MIN);
  sign.inset = Math.max(Math.min(length * INSET_SHARE, sign.slant), Math.min(trip, length / 2));
  sign.slant = Math.max(sign.slant, trip);
  // An answer cannot arrive before its question. So both slants get their width, one after the other.
  sign.arrived = sign.asked + sign.slant;
  if (sign.answered !== null) sign.answer = Math.max(sign.answered, sign.arrived + sign.slant);
}

function place(request, view) {
  const asked = view.x(request.from);
  const to = view.x(request.to ?? view.now);
  if (to + 2 * SLANT_PX_MIN < view.left || asked > view.right) return;
  const last = seen.at(-1);
  const before = last?.request;
  const isHidden = before?.end === request.end && view.cell(before.from) === view.cell(request.to ?? view.now);
  if (isHidden) {
    // The server waited on, so the bar goes on.
    if (isHeld(before, view.now) && isHeld(request, view.now)) last.to = to;
    return;
  }
  const answered = request.opened === null ? request.to : request.opened;
  // `narrow` fills in the rest.
  seen.push({ request, asked, to, answered: answered === null ? null : view.x(answered), slant: 0, inset: 0, arrived: asked, answer: null });
}

function lifeLines(context, palette, view, { client, server }, strip) {
  const from = Math.max(view.x(strip.since), view.left);
  context.strokeStyle = palette.quiet;
  context.lineWidth = 1.5;
  context.globalAlpha = 0.6;
  context.beginPath();
  for (const y of [client, server]) {
    context.moveTo(from, y);
    context.lineTo(view.right, y);
  }
  context.stroke();
  context.globalAlpha = 1;
}

/** Covers both lines during a break, with torn edges. */
function breaks(context, palette, view, { client, server }, strip) {
  for (let i = 0; i < strip.breaks.length; i++) {
    const { from, to } = strip.breaks.at(i);
    const left = view.x(from);
    const right = Math.max(view.x(to ?? view.now), left + BREAK_PX_MIN);
    if (right < view.left || left > view.right) continue;
    const [top, bottom] = [client - BAR_PX, server + BAR_PX];
    context.fillStyle = palette.ground;
    context.fillRect(left, top, right - left, bottom - top);
    context.strokeStyle = palette.bad;
    context.lineWidth = 2;
    context.beginPath();
    tear(context, left, top, bottom);
    // A break that is going on has no second edge yet.
    if (to !== null) tear(context, right, top, bottom);
    context.stroke();
  }
}

function tear(context, x, top, bottom) {
  const teeth = Math.max(4, Math.round((bottom - top) / (2 * TOOTH_PX)) * 2);
  context.moveTo(x, top);
  for (let i = 1; i <= teeth; i++) {
    context.lineTo(x + (i % 2 === 1 ? TOOTH_PX : 0), top + ((bottom - top) * i) / teeth);
  }
}

/** Draws ticks on the client's line while the client sleeps. */
function sleeps(context, palette, view, { client }, strip) {
  context.strokeStyle = palette.client;
  context.lineWidth = SLEEP_PX;
  context.setLineDash(SLEEP_DASH);
  for (let i = 0; i < strip.sleeps.length; i++) sleep(context, view, client, strip.sleeps.at(i));
  if (strip.sleep) sleep(context, view, client, strip.sleep);
  context.setLineDash([]);
}

function sleep(context, view, y, { from, to }) {
  // The ticks begin after the slant of the answer, which may be wider than its trip.
  const [begin, end] = [view.x(from), view.x(to ?? view.now)];
  const left = begin + Math.min((end - begin) * SLANT_SHARE, SLANT_PX_MIN);
  const right = end - Math.min((end - begin) * INSET_SHARE, 2);
  if (right <= left || right < view.left || left > view.right) return;
  context.beginPath();
  context.moveTo(left, y);
  context.lineTo(right, y);
  context.stroke();
}

/** Fills the space between the lines while both sides may write. */
function tubes(context, palette, view, { client, server }, strip) {
  context.fillStyle = palette.server;
  context.strokeStyle = palette.server;
  for (const { request, answer, to } of seen) {
    if (!request.duplex) continue;
    const left = Math.max(answer, view.x(strip.since), view.left);
    const right = Math.min(to, view.right);
    if (right <= left) continue;
    context.globalAlpha = 0.13;
    context.fillRect(left, client, right - left, server - client);
    context.globalAlpha = 1;
    context.fillRect(left, client - 1.5, right - left, 3);
  }
}

/** Draws a bar on the server's line while the server waits, from the arrival of the question until the answer leaves. */
function bars(context, palette, view, { server }, strip) {
  context.fillStyle = palette.server;
  for (const { request, asked, arrived, inset, to } of seen) {
    const isStream = request.opened !== null;
    if (!isStream && !isHeld(request, view.now)) continue;
    const left = Math.max(isStream ? arrived : asked + inset, view.x(strip.since), view.left);
    // The answer left before it arrived. A request that is open or was cut has a bar to its end.
    const leaves = isStream || request.to === null || request.end === "cut" || request.end === "left";
    const right = Math.min(leaves ? to : to - inset, view.right);
    context.fillRect(left, server - BAR_PX / 2, Math.max(right - left, 0), BAR_PX);
  }
}

/** Draws messages on an open stream as dots: up to the client's line, or down to the server's. */
function messages(context, palette, view, { client, server }, strip) {
  context.lineWidth = 1;
  // The slants of an opening have their width, so they may end after the first lines came. Dots are drawn after them.
  const openings = seen.filter(({ request }) => request.opened !== null);
  const drawnAt = (at) => {
    const opening = openings.findLast(({ request }) => request.opened <= at);
    return Math.max(view.x(at), opening?.answer ?? -Infinity);
  };
  dots(context, view, drawnAt, strip.pushed, { from: server, to: client, colour: palette.data, hollow: null });
  dots(context, view, drawnAt, strip.heard, { from: server, to: client, colour: palette.text, hollow: palette.ground });
  // A message of the client arrives later than it leaves, by the time of its way.
  const arrivesAt = (at, trip_ms) => drawnAt(at) + trip_ms * view.scale;
  dots(context, view, arrivesAt, strip.said, { from: client, to: server, colour: palette.text, hollow: null });
}

/** Draws the dots of one ring; `drawnAt(at, trip_ms)` is the place where the message of a time arrives. */
function dots(context, view, drawnAt, ring, { from, to, colour, hollow }) {
  if (ring.length === 0) return;
  context.strokeStyle = colour;
  context.globalAlpha = 0.7;
  context.beginPath();
  let before = null;
  for (let i = 0; i < ring.length; i++) {
    const { at, trip_ms } = ring.at(i);
    const cell = view.cell(at, SLANTS_APART_PX);
    const x = drawnAt(at, trip_ms);
    if (x < view.left || x > view.right || cell === before) continue;
    before = cell;
    context.moveTo(x - slantOf(trip_ms, view), from);
    context.lineTo(x, to);
  }
  context.stroke();
  context.globalAlpha = 1;
  context.beginPath();
  let cellBefore = null;
  let last = -Infinity;
  for (let i = 0; i < ring.length; i++) {
    const { at, count, trip_ms } = ring.at(i);
    const cell = view.cell(at);
    const x = drawnAt(at, trip_ms);
    if (x < view.left || x > view.right || cell === cellBefore) continue;
    cellBefore = cell;
    const travelled = view.settled ? 1 : Math.min((view.now - at) / TRAVEL_MS, 1);
    const y = from + (to - from) * travelled;
    // Dense dots are smaller, so that they can be told apart.
    const most = Math.min(Math.max((x - last) / 2, DOT_PX_MIN), DOT_PX_MAX);
    last = x;
    const radius = Math.min(4 + 0.6 * Math.log2(count), most);
    const centre = x - slantOf(trip_ms, view) * (1 - travelled);
    context.moveTo(centre + radius, y);
    context.arc(centre, y, radius, 0, CIRCLE);
  }
  context.fillStyle = hollow ?? colour;
  context.fill();
  if (hollow === null) return;
  context.lineWidth = 1.5;
  context.stroke();
  context.lineWidth = 1;
}

/** Returns the width of the slant of a message. */
function slantOf(trip_ms, view) {
  return Math.max(trip_ms * view.scale, SLANT_PX_MIN);
}

/** Draws slants: questions go down, answers go up. */
function slants(context, palette, view, { client, server }) {
  context.strokeStyle = palette.text;
  context.lineWidth = 1.5;
  context.beginPath();
  let before = null;
  for (const { request, asked, arrived, answer, slant } of seen) {
    const cell = view.cell(request.from, SLANTS_APART_PX);
    if (cell === before && slant < SLANT_PX_MIN) continue;
    before = cell;
    const isLost = request.end === "cut" && request.opened === null && !isHeld(request, view.now);
    context.moveTo(asked, client);
    // A question without an answer may never have arrived.
    if (isLost) context.lineTo((asked + arrived) / 2, (client + server) / 2);
    else context.lineTo(arrived, server);
    if (answer === null || isUnanswered(request)) continue;
    context.moveTo(answer - slant, server);
    context.lineTo(answer, client);
  }
  context.stroke();
}

function isUnanswered(request) {
  return request.opened === null && (request.end === "cut" || request.end === "left");
}

/** Draws the sign at the end of each answer. */
function heads(context, palette, view, { client, server }) {
  for (const { request, asked, answer, slant } of seen) {
    const { end, opened } = request;
    if (opened !== null || end === null || end === "left") continue;
    if (end === "data" || end === "empty" || end === "timeout") {
      triangle(context, palette, { x: answer, y: client, share: Math.min(slant / SLANT_PX_MIN, 1) }, end === "data", request);
    } else if (end === "cut") {
      if (!isHeld(request, view.now)) cross(context, palette, asked + SLANT_PX_MIN / 2, (client + server) / 2);
    } else {
      cross(context, palette, answer, client);
    }
  }
}

function triangle(context, palette, { x, y, share }, isFilled, { lines }) {
  const size = Math.max(Math.min(6 + 0.5 * Math.log2(1 + lines), 9) * share, HEAD_PX_MIN);
  context.beginPath();
  context.moveTo(x, y - size);
  context.lineTo(x + size, y + size * 0.8);
  context.lineTo(x - size, y + size * 0.8);
  context.closePath();
  context.fillStyle = isFilled ? palette.data : palette.ground;
  context.strokeStyle = isFilled ? palette.data : palette.text;
  context.lineWidth = Math.max(1.75 * share, 0.75);
  context.fill();
  context.stroke();
}

function cross(context, palette, x, y) {
  const arm = 5.5;
  context.strokeStyle = palette.bad;
  context.lineWidth = 3;
  context.beginPath();
  context.moveTo(x - arm, y - arm);
  context.lineTo(x + arm, y + arm);
  context.moveTo(x + arm, y - arm);
  context.lineTo(x - arm, y + arm);
  context.stroke();
}
