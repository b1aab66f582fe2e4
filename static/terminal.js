// Text of a terminal on the page: colours, the last state of a progress bar, and no other command.
//
// A line may hold what its program wrote for a terminal. `runsOf` (pure) turns that into runs of text with a style, and
// `show` into elements. Colours and weights (SGR) are shown; they end with their line. After a carriage return only the
// last state that shows something is left. Other escape sequences, which move the cursor, set titles or link, are left
// out. Any other control character is written out, and so is one that changes the direction of text. The line itself stays
// as it is. Names have no colours: `visible` (pure) writes out all of these characters.

import { count } from "./figures.js";

/** Runs in a line; a line of a megabyte could have more elements than a browser can lay out. The rest has no style. */
export const RUNS_MAX = 200;
/** Parameters of one sequence of SGR that count; a terminal has a bound too. */
const PARAMETERS_MAX = 32;
/** The 16 named colours as a background, which brings its own text colour; xterm's. `terminal.css` has those of text. */
const NAMED = [
  [0, 0, 0], [205, 0, 0], [0, 205, 0], [205, 205, 0], [0, 0, 238], [205, 0, 205], [0, 205, 205], [229, 229, 229],
  [127, 127, 127], [255, 0, 0], [0, 255, 0], [255, 255, 0], [92, 92, 255], [255, 0, 255], [0, 255, 255], [255, 255, 255],
];
/** Levels of red, green and blue among the 256 colours. */
const LEVELS = [0, 95, 135, 175, 215, 255];
/** Half the light between black and white, as contrast counts it (WCAG 2, relative luminance). */
const MIDDLE = 0.179;

/**
 * A control sequence of ECMA-48, or a single character that is written out; TAB is text. In this order: CSI (§5.4);
 * strings, which end with BEL or ST (§5.6); other escape sequences; control characters and those that change the direction
 * of text. Each part ends before the next control character, so that no character is looked at again and again.
 */
const CONTROL =
  /(?:\x1b\[|\x9b)([0-?]*)[ -/]*([@-~])|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x00-\x08\n-\x1f\x7f-\x9f]*(?:\x07|\x1b\\|\x9c)|\x1b(?![[\]PX^_])[ -/]*[0-~]|[\x00-\x08\n-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;
/** Control characters, and embeddings, overrides and isolates, which show text in another order than it has (Unicode 16,
 *  §23.2). The program writes out the same ones for a terminal. */
const UNSEEN = /[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g;

const PLAIN = { ink: null, paper: null, is: new Set() };
/** A control character that is written as in a terminal, `\u{7}`: no font lacks these signs. */
const SIGN = { ...PLAIN, is: new Set(["sign"]) };

/** Which weights a code of SGR switches on, and which ones it switches off. */
const ON = { 1: "bold", 2: "dim", 3: "italic", 4: "underlined", 7: "inverse", 9: "struck", 21: "underlined" };
const OFF = { 22: ["bold", "dim"], 23: ["italic"], 24: ["underlined"], 27: ["inverse"], 29: ["struck"] };

/** Splits a line into runs `{ text, style }` of what a terminal shows at its end. `earlier` counts the states before, as a
 *  progress bar has them. */
export function runsOf(line) {
  const state = { runs: [], style: PLAIN, hasText: false, before: null, states: 0 };
  let from = 0;
  for (const control of line.matchAll(CONTROL)) {
    add(state, line.slice(from, control.index));
    from = control.index + control[0].length;
    const [all, parameters, final] = control;
    if (final === "m" && /^[\d;:]*$/.test(parameters)) state.style = styled(state.style, parameters);
    else if (all === "\r") carriageReturn(state);
    else if (all.length === 1) add(state, signOf(all), SIGN);
  }
  add(state, line.slice(from));
  if (state.hasText) state.states += 1;
  const runs = state.hasText ? state.runs : (state.before ?? []);
  return { runs, earlier: Math.max(state.states - 1, 0) };
}

/** Returns a name, or other short text, with each invisible character written out. */
export function visible(text) {
  return text.replace(UNSEEN, signOf);
}

/** Shows a line in an element. */
export function show(element, line) {
  const { runs, earlier } = runsOf(line);
  if (earlier > 0) element.title = `${count(earlier)} earlier states of this line are left out; the log has them`;
  element.replaceChildren(...runs.map(({ text, style }) => (style === PLAIN ? text : elementOf(text, style))));
}

/** Returns `\u{7}` for BEL. */
function signOf(character) {
  return `\\u{${character.codePointAt(0).toString(16)}}`;
}

function add(state, text, style = state.style) {
  if (text === "") return;
  const { runs } = state;
  state.hasText = true;
  const last = runs.at(-1);
  if (last !== undefined && (last.style === style || runs.length > RUNS_MAX)) last.text += text;
  else runs.push({ text, style: runs.length < RUNS_MAX ? style : PLAIN });
}

/** Begins the line again; what stood there is seen if nothing more comes. */
function carriageReturn(state) {
  if (state.hasText) {
    state.before = state.runs;
    state.states += 1;
  }
  state.runs = [];
  state.hasText = false;
}

/** Returns the style after the parameters of SGR (ECMA-48 §8.3.117; colours as in ISO 8613-6 and xterm). */
function styled(before, parameters) {
  const style = { ...before, is: new Set(before.is) };
  const codes = parameters.split(";", PARAMETERS_MAX);
  for (let i = 0; i < codes.length; i++) {
    const [code, ...more] = codes[i].split(":").map(Number);
    if (code === 0) Object.assign(style, { ink: null, paper: null, is: new Set() });
    else if (code === 4 && more[0] === 0) style.is.delete("underlined");
    else if (ON[code]) style.is.add(ON[code]);
    else if (OFF[code]) OFF[code].forEach((weight) => style.is.delete(weight));
    else if (code >= 30 && code <= 37) style.ink = code - 30;
    else if (code >= 90 && code <= 97) style.ink = code - 82;
    else if (code >= 40 && code <= 47) style.paper = code - 40;
    else if (code >= 100 && code <= 107) style.paper = code - 92;
    else if (code === 39) style.ink = null;
    else if (code === 49) style.paper = null;
    else if (code === 38 || code === 48 || code === 58) {
      const given = more.length > 0 ? more : codes.slice(i + 1, i + 5).map(Number);
      const [colour, used] = colourOf(given);
      if (more.length === 0) i += used;
      if (code === 38) style.ink = colour ?? style.ink;
      if (code === 48) style.paper = colour ?? style.paper;
    }
  }
  const isPlain = style.ink === null && style.paper === null && style.is.size === 0;
  return isPlain ? PLAIN : style;
}

/** Returns the colour that `5;n` or `2;r;g;b` mean (null: none), and how many of the numbers belong to it. Written with
 *  colons, the numbers of `2` may have the name of a colour space before them. */
function colourOf([kind, ...given]) {
  const isByte = (value) => Number.isInteger(value) && value >= 0 && value <= 255;
  if (kind === 5) return [isByte(given[0]) ? paletteOf(given[0]) : null, 2];
  if (kind !== 2) return [null, 1];
  const rgb = given.length > 3 ? given.slice(1, 4) : given;
  return [rgb.length === 3 && rgb.every(isByte) ? rgb : null, 4];
}

/** Returns colour `n` of the 256 colours: a number below 16 for a named one, otherwise red, green and blue. */
function paletteOf(n) {
  if (n < 16) return n;
  if (n >= 232) return Array(3).fill(8 + 10 * (n - 232));
  return [36, 6, 1].map((step) => LEVELS[Math.floor((n - 16) / step) % 6]);
}

/** Returns an element for a run. Styles are set as properties: the page's policy allows no style in markup. */
function elementOf(text, { ink, paper, is }) {
  const run = document.createElement("span");
  run.textContent = text;
  run.className = [...is].filter((weight) => weight !== "inverse").join(" ");
  const isInverse = is.has("inverse");
  const [front, back] = isInverse ? [paper, ink] : [ink, paper];
  if (isInverse && back === null) {
    // The page's own colours, changed over.
    run.classList.add("inverse");
    if (front !== null) run.style.setProperty("--ink", css(rgbOf(front)));
  } else if (back !== null) {
    run.classList.add("paper");
    const ground = rgbOf(back);
    run.style.setProperty("--paper", css(ground));
    run.style.setProperty("--ink", css(front === null ? readableOn(ground) : rgbOf(front)));
  } else if (typeof front === "number") run.classList.add(`ink-${front}`);
  else if (front !== null) {
    run.classList.add("ink");
    run.style.setProperty("--ink", css(front));
  }
  return run;
}

const rgbOf = (colour) => (typeof colour === "number" ? NAMED[colour] : colour);
const css = (rgb) => `rgb(${rgb.join(" ")})`;

/** Returns black or white, whichever can be read on a colour. */
function readableOn(rgb) {
  const [r, g, b] = rgb.map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > MIDDLE ? [0, 0, 0] : [255, 255, 255];
}
