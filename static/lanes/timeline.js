// The timeline "Who waits": a sequence diagram that scrolls, with one strip per lane and the newest time at the right.
//
// The lanes view adds a strip per lane and passes on the wire events of the lane. This file has the element, its
// buttons, the time axis and the loop. `strip.js` turns events into marks, and `paint.js` draws them. This file names no
// transport. It draws only while the timeline is visible.

import { Legend } from "./legend.js";
import { View, linesOf, paintStrip, paletteOf } from "./paint.js";
import { SPAN_MS_MAX, Strip } from "./strip.js";
import { describe } from "./strip_words.js";

/** Seconds to choose from, and the first choice. */
const SPANS_S = [5, 12, SPAN_MS_MAX / 1_000];
const SPAN_S_FIRST = 12;
/** All strips share this height. `STRIP_PX` bounds one strip: it needs a least height, and a low one is easy to follow. */
const STRIPS_PX = 300;
const STRIP_PX = { min: 44, max: 92 };
/** On a narrow screen each name stands above its strip, which has this height. `timeline.css` has the same width. */
const NARROW = "(max-width: 600px)";
const NAME_PX = 18;
const NARROW_STRIP_PX = 66;
const AXIS_PX = 24;
/** Seconds between two lines of the axis. The lines are at least so many pixels apart. */
const AXIS_STEPS_S = [1, 2, 5, 10];
const AXIS_STEP_PX_MIN = 64;
/** Width of a time on the axis. A time that does not fit is not written. */
const AXIS_WORD_PX = 36;
/** In a lower window the legend is folded at first, so that the figures of the lanes are visible too. */
const LEGEND_PX_MIN = 800;
/** Room for the newest sign, because a sign is drawn around its time. */
const RIGHT_PX = 12;
/** Time between two pictures when the system asks for less motion. */
const STILL_MS = 500;
/** How often the picture is put into words. A screen reader should also read other things. */
const WORDS_MS = 5_000;

export class Timeline {
  #element;
  #canvas;
  #context;
  #names;
  #legend;
  #pauseButton;
  #spanButtons;
  #state;
  #palette;
  /** id → `{ strip, frozen, label, name }`. While the timeline is paused it shows the copy `frozen`. */
  #lanes = new Map();
  #span_ms = SPAN_S_FIRST * 1_000;
  #size = { width: 0, height: 0, ratio: 0, strip: 0, name: 0 };
  /** `began` is 0:00 on the axis: the first strip was added then. `pausedAt` is null while the picture goes on. */
  #began = performance.now();
  /** The link between the clients and the server, for the strips. */
  #network = null;
  #pausedAt = null;
  #isOnScreen = false;
  /** Cancels the next picture; null while no picture is due. */
  #cancel = null;
  /** Position of the last picture, device pixels; null draws again even if nothing moved. */
  #drawn = null;
  #worded = -Infinity;
  #wantsStillness = matchMedia("(prefers-reduced-motion: reduce)");
  #wantsDark = matchMedia("(prefers-color-scheme: dark)");
  #isNarrow = matchMedia(NARROW);
  #onScreen = new IntersectionObserver(([entry]) => {
    this.#isOnScreen = entry.isIntersecting;
    this.#wake();
  });
  #onResize = new ResizeObserver(() => this.#redraw());
  #ended = new AbortController();

  /** Builds the timeline in `element`, an empty block of the page. */
  constructor(element) {
    this.#element = element;
    this.#build();
    const { signal } = this.#ended;
    element.addEventListener("keydown", (event) => this.#key(event), { signal });
    document.addEventListener("visibilitychange", () => this.#wake(), { signal });
    this.#wantsStillness.addEventListener("change", () => this.#redraw(), { signal });
    this.#wantsDark.addEventListener("change", () => this.#restyle(), { signal });
    this.#isNarrow.addEventListener("change", () => this.#layOut(), { signal });
    this.#restyle();
    this.#onScreen.observe(this.#canvas);
    this.#onResize.observe(this.#names.parentElement);
  }

  /** Adds a strip at the bottom. `waits` says in words which side waits: "the server, once". */
  addStrip(id, { name, waits }) {
    const label = make("div", "timeline-name");
    label.append(make("strong", "", name), make("span", "", waits));
    label.append(make("small", "timeline-client", "client"), make("small", "timeline-server", "server"));
    this.#names.append(label);
    if (this.#lanes.size === 0) this.#began = performance.now();
    const strip = new Strip();
    if (this.#network !== null) strip.distance(this.#network);
    this.#lanes.set(id, { strip, frozen: null, label, name });
    this.#layOut();
  }

  removeStrip(id) {
    this.#lanes.get(id)?.label.remove();
    this.#lanes.delete(id);
    this.#layOut();
  }

  /** Takes an event on the wire of a lane. The loop draws it later. */
  wire(id, event) {
    this.#lanes.get(id)?.strip.wire(event);
  }

  /** Draws what happens from now on with the delay of this link: `{ delay_ms, jitter_ms }`, each way. */
  distance(network) {
    this.#network = network;
    for (const { strip } of this.#lanes.values()) strip.distance(network);
  }

  /** Stops the picture. Events are still recorded. */
  pause() {
    if (this.#pausedAt !== null) return;
    this.#pausedAt = performance.now();
    for (const lane of this.#lanes.values()) lane.frozen = lane.strip.copy();
    this.#showPause();
  }

  /** Lets the picture go on with the present events. */
  resume() {
    this.#pausedAt = null;
    for (const lane of this.#lanes.values()) lane.frozen = null;
    this.#showPause();
  }

  /** Forgets the past of all strips. */
  clear() {
    this.#began = performance.now();
    for (const { strip } of this.#lanes.values()) strip.clear(this.#began);
    this.resume();
  }

  close() {
    this.#ended.abort();
    this.#onScreen.disconnect();
    this.#onResize.disconnect();
    this.#cancel?.();
    this.#lanes.clear();
    this.#element.replaceChildren();
  }

  #build() {
    this.#pauseButton = make("button", "", "Pause");
    this.#pauseButton.type = "button";
    this.#pauseButton.setAttribute("aria-keyshortcuts", "p");
    this.#pauseButton.addEventListener("click", () => this.#togglePause());
    const spans = make("div", "timeline-spans");
    spans.setAttribute("role", "group");
    spans.setAttribute("aria-label", "Seconds shown");
    this.#spanButtons = SPANS_S.map((span_s) => {
      const button = make("button", "", `${span_s} s`);
      button.type = "button";
      button.addEventListener("click", () => this.show(span_s));
      spans.append(button);
      return button;
    });
    this.#state = make("span", "timeline-state");
    this.#state.setAttribute("role", "status");
    const keys = make("span", "timeline-keys quiet", "keys: p pauses, + and − zoom");
    const bar = make("div", "timeline-bar");
    bar.append(make("h2", "", "Who waits"), this.#state, keys, spans, this.#pauseButton);

    this.#names = make("div", "timeline-names");
    this.#canvas = make("canvas");
    this.#canvas.setAttribute("role", "img");
    this.#canvas.setAttribute("aria-label", "Timeline: no lanes yet");
    // The picture can take the focus; otherwise the keys would work only after a click on a button.
    this.#canvas.tabIndex = 0;
    this.#context = this.#canvas.getContext("2d");
    const body = make("div", "timeline-body");
    body.append(this.#names, this.#canvas);

    const signs = make("ul", "timeline-legend");
    signs.setAttribute("aria-label", "What the signs mean");
    this.#legend = new Legend(signs);
    this.#element.classList.add("timeline");
    const how = make("details", "timeline-how");
    how.append(make("summary", "", "How to read it"), signs);
    how.open = innerHeight >= LEGEND_PX_MIN && !this.#isNarrow.matches;
    this.#element.append(bar, body, how);
    this.show(SPAN_S_FIRST);
    this.#layOut();
  }

  #key(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const span = SPANS_S.indexOf(this.#span_ms / 1_000);
    if (event.key === "p" || (event.key === " " && event.target === this.#canvas)) this.#togglePause();
    else if (event.key === "+" || event.key === "=") this.show(SPANS_S[Math.max(span - 1, 0)]);
    else if (event.key === "-") this.show(SPANS_S[Math.min(span + 1, SPANS_S.length - 1)]);
    else return;
    event.preventDefault();
  }

  #togglePause() {
    if (this.#pausedAt === null) this.pause();
    else this.resume();
  }

  #showPause() {
    this.#pauseButton.textContent = this.#pausedAt === null ? "Pause" : "Resume";
    this.#state.textContent = this.#pausedAt === null ? "" : "paused; the lanes go on";
    this.#redraw();
  }

  /** How many seconds the timeline shows. */
  get span_s() {
    return this.#span_ms / 1_000;
  }

  /** Shows `span_s` seconds, one of `SPANS_S`. */
  show(span_s) {
    this.#span_ms = span_s * 1_000;
    this.#spanButtons.forEach((button, i) => button.setAttribute("aria-pressed", String(SPANS_S[i] === span_s)));
    this.#redraw();
  }

  /** One height for all strips, and for their names beside the picture. */
  #layOut() {
    const count = Math.max(this.#lanes.size, 1);
    const { matches: isNarrow } = this.#isNarrow;
    const wide = Math.round(Math.min(Math.max(STRIPS_PX / count, STRIP_PX.min), STRIP_PX.max));
    const height = isNarrow ? NARROW_STRIP_PX : wide;
    this.#size.strip = height;
    this.#size.name = isNarrow ? NAME_PX : 0;
    this.#canvas.style.height = `${this.#lanes.size * height + AXIS_PX}px`;
    const lines = linesOf(0, height);
    for (const { label } of this.#lanes.values()) {
      label.style.height = `${height}px`;
      label.style.setProperty("--client", `${lines.client}px`);
      label.style.setProperty("--server", `${lines.server}px`);
    }
    this.#worded = -Infinity;
    this.#redraw();
  }

  #restyle() {
    this.#palette = paletteOf(this.#element);
    this.#legend.paint(this.#palette);
    this.#redraw();
  }

  /** Draws again even if nothing moves. */
  #redraw() {
    this.#drawn = null;
    this.#wake();
  }

  #wake() {
    const isSeen = this.#isOnScreen && !document.hidden && !this.#ended.signal.aborted;
    if (!isSeen || this.#cancel !== null || (this.#pausedAt !== null && this.#drawn !== null)) return;
    const draw = () => {
      this.#cancel = null;
      this.#draw();
      this.#wake();
    };
    if (this.#wantsStillness.matches && this.#drawn !== null) {
      const timer = setTimeout(draw, STILL_MS);
      this.#cancel = () => clearTimeout(timer);
    } else {
      const frame = requestAnimationFrame(draw);
      this.#cancel = () => cancelAnimationFrame(frame);
    }
  }

  #draw() {
    this.#fit();
    const now = this.#pausedAt ?? performance.now();
    const { width, height, ratio, strip: stripHeight, name } = this.#size;
    const right = width - RIGHT_PX;
    const scale = right / this.#span_ms;
    // The picture moves by whole device pixels, so it does not shimmer.
    const moved = Math.round(now * scale * ratio);
    if (moved === this.#drawn) return;
    this.#drawn = moved;
    const offset = right - moved / ratio;
    const view = new View({ now, scale, offset, left: 0, right, settled: this.#wantsStillness.matches });
    const context = this.#context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.#drawAxis(view);
    let top = 0;
    for (const { strip, frozen } of this.#lanes.values()) {
      paintStrip(context, this.#palette, view, linesOf(top + name, stripHeight - name), frozen ?? strip);
      top += stripHeight;
    }
    if (now - this.#worded >= WORDS_MS) this.#putInWords(now);
  }

  /** Gives the canvas as many pixels as the screen has. */
  #fit() {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const ratio = devicePixelRatio;
    const isSame = width === this.#size.width && height === this.#size.height && ratio === this.#size.ratio;
    if (isSame) return;
    if (ratio !== this.#size.ratio) this.#legend.paint(this.#palette);
    Object.assign(this.#size, { width, height, ratio });
    this.#canvas.width = Math.round(width * ratio);
    this.#canvas.height = Math.round(height * ratio);
    this.#drawn = null;
  }

  /** Draws one axis for all strips: an instant has the same place on each. */
  #drawAxis(view) {
    const context = this.#context;
    const { width, strip } = this.#size;
    const bottom = this.#lanes.size * strip;
    context.fillStyle = this.#palette.line;
    for (let i = 1; i <= this.#lanes.size; i++) context.fillRect(0, i * strip - 0.5, width, 1);
    const apart = (step_s) => step_s * 1_000 * view.scale >= AXIS_STEP_PX_MIN;
    const step_s = AXIS_STEPS_S.find(apart) ?? AXIS_STEPS_S.at(-1);
    context.font = `13px ${this.#palette.font}`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const newest = Math.floor((view.now - this.#began) / 1_000 / step_s) * step_s;
    for (let second = newest; second >= 0; second -= step_s) {
      const x = view.x(this.#began + second * 1_000);
      if (x < view.left) break;
      context.fillStyle = this.#palette.line;
      context.fillRect(x - 0.5, 0, 1, bottom + 4);
      context.fillStyle = this.#palette.quiet;
      if (x > AXIS_WORD_PX / 2) context.fillText(clock(second), x, bottom + AXIS_PX / 2 + 2);
    }
    context.fillStyle = this.#palette.quiet;
    context.fillRect(view.right, 0, 1.5, bottom + 4);
  }

  #putInWords(now) {
    this.#worded = now;
    const from = now - this.#span_ms;
    const strips = [...this.#lanes.values()].map(
      ({ strip, frozen, name }) => `${name}: ${describe(frozen ?? strip, from, now)}.`,
    );
    const what = strips.length > 0 ? `the last ${this.#span_ms / 1_000} seconds. ${strips.join(" ")}` : "no lanes yet";
    this.#canvas.setAttribute("aria-label", `Timeline: ${what}`);
  }
}

/** Writes seconds as minutes and seconds. */
function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function make(name, className = "", text = "") {
  const element = document.createElement(name);
  if (className) element.className = className;
  element.textContent = text;
  return element;
}
