// The log on the page: lines become rows, in batches, and the oldest rows are removed.
//
// Text from logs becomes text nodes only; `terminal.js` gives them their colours. The caller decides what is appended.
// This file decides what stays. It removes no row while the visitor reads above the newest line or has selected
// something.

import { count } from "./figures.js";
import { show, visible } from "./terminal.js";

/** What a single log keeps. More rows make the layout of a browser slow; the regular API has all lines. */
export const WHOLE_WINDOW = { rows: 5_000, chars: 8 * 1024 * 1024 };
/** What each of several logs side by side keeps. The longest line, of a million characters, still fits. */
export const ONE_OF_MANY = { rows: 300, chars: 1024 * 1024 };
/** How often as much as it keeps a log may hold while the visitor reads. After that, new lines wait outside. */
const HELD_TIMES = 2;
/** Nearer to the bottom than this, px, the log scrolls along. */
const BOTTOM_PX = 24;
const NEWEST = "↓ Newest";

export class LogView {
  #scroller;
  #above;
  #jump;
  #kept;
  /** Lines and notes that the next frame appends. */
  #pending = [];
  #pendingChars = 0;
  #shownChars = 0;
  /** Lines that were removed from the top or never fetched. */
  #aboveCount = 0;
  #frame = null;
  #isFollowing = true;
  /** Width and height of the log at the last look: the browser scrolls, not the visitor, when they change. */
  #size = "";
  /** Whether lines that are still pending were dropped: rows appended now would follow a hole. */
  #hasHole = false;

  /**
   * `scroller` holds the rows. `above` says how many lines are not shown. `jump` goes back to the newest line. `kept`
   * says how many rows and characters stay.
   */
  constructor(scroller, above, jump, kept) {
    this.#scroller = scroller;
    this.#above = above;
    this.#jump = jump;
    this.#kept = kept;
    // A note above or below the log takes room from it, and then the newest line is no longer in sight.
    new ResizeObserver(() => this.#resized()).observe(scroller);
    scroller.addEventListener("scroll", () => {
      if (this.#resized()) return;
      const below_px = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
      this.#follow(below_px < BOTTOM_PX);
    });
    jump.addEventListener("click", () => {
      this.#follow(true);
      this.#flush();
      scroller.scrollTop = scroller.scrollHeight;
      scroller.focus();
    });
    scroller.addEventListener("copy", (event) => this.#copy(event));
  }

  /** Appends the lines of one batch; `origin` is `history` or `live`. */
  append(lines, origin) {
    for (const line of lines) this.#push({ line, origin, chars: line.text.length });
  }

  /** Appends a remark of the page between the lines. */
  note(text) {
    this.#push({ note: text, chars: text.length });
  }

  /** Counts lines that the page did not ask for. */
  skip(count) {
    this.#aboveCount += count;
    this.#schedule();
  }

  /** Empties the log. Later lines are shown again. */
  clear() {
    this.#pending = [];
    this.#pendingChars = this.#shownChars = this.#aboveCount = 0;
    this.#hasHole = false;
    this.#scroller.replaceChildren();
    this.#follow(true);
    this.#schedule();
  }

  #push(entry) {
    this.#pending.push(entry);
    this.#pendingChars += entry.chars;
    // A hidden page draws no frames, so pending entries need a bound too.
    const { rows, chars } = this.#kept;
    if (this.#pending.length > 2 * rows || this.#pendingChars > 2 * chars) this.#drop();
    this.#schedule();
  }

  /** Drops the oldest pending entries until the rest is within bounds. The newest entry always stays. */
  #drop() {
    let first = Math.max(this.#pending.length - this.#kept.rows, 0);
    let chars = this.#pending.slice(first).reduce((sum, entry) => sum + entry.chars, 0);
    while (chars > this.#kept.chars && first < this.#pending.length - 1) chars -= this.#pending[first++].chars;
    this.#hasHole ||= first > 0;
    this.#aboveCount += this.#pending.slice(0, first).filter((entry) => entry.line).length;
    this.#pending = this.#pending.slice(first);
    this.#pendingChars = chars;
  }

  #schedule() {
    this.#frame ??= requestAnimationFrame(() => {
      this.#frame = null;
      this.#flush();
    });
  }

  #flush() {
    this.#drop();
    if (this.#mustWait()) return;
    if (this.#hasHole) {
      // What is kept has room for the pending lines alone, so the rows before the hole leave.
      this.#aboveCount += this.#scroller.querySelectorAll(".line").length;
      this.#scroller.replaceChildren();
      this.#shownChars = 0;
      this.#hasHole = false;
    }
    const rows = document.createDocumentFragment();
    rows.append(...this.#pending.map(row));
    this.#shownChars += this.#pendingChars;
    this.#pending = [];
    this.#pendingChars = 0;
    this.#scroller.append(rows);
    if (!this.#isHeld()) this.#trim();
    this.#jump.textContent = NEWEST;
    this.#above.hidden = this.#aboveCount === 0;
    this.#above.querySelector("output").value = count(this.#aboveCount);
    if (this.#isFollowing) this.#scroller.scrollTop = this.#scroller.scrollHeight;
  }

  /** Whether rows must stay: the visitor reads above the newest line, or has selected something here. */
  #isHeld() {
    return !this.#isFollowing || this.#selection() !== null;
  }

  /** The visitor's selection, if it is not empty and touches this log; otherwise null. */
  #selection() {
    const selection = getSelection();
    if (selection.isCollapsed || selection.rangeCount === 0) return null;
    const range = selection.getRangeAt(0);
    return range.intersectsNode(this.#scroller) ? range : null;
  }

  /** Whether pending lines wait outside, because rows must stay and there is no room for more. */
  #mustWait() {
    if (!this.#isHeld()) return false;
    const { rows, chars } = this.#kept;
    const hasRoom =
      !this.#hasHole &&
      this.#scroller.children.length + this.#pending.length <= HELD_TIMES * rows &&
      this.#shownChars + this.#pendingChars <= HELD_TIMES * chars;
    if (hasRoom) return false;
    this.#jump.hidden = false;
    this.#jump.textContent = `${NEWEST}, ${count(this.#pending.length)} or more`;
    // When the selection is given up, the lines come in, even if no further one is appended.
    document.addEventListener("selectionchange", () => this.#schedule(), { once: true });
    return true;
  }

  /** Copies the selected part of each line, one line each. Browsers leave out lines without text. */
  #copy(event) {
    const range = this.#selection();
    if (range === null) return;
    const texts = [...this.#scroller.querySelectorAll(".text")].filter((text) => {
      return range.comparePoint(text, 0) <= 0 && range.comparePoint(text, text.childNodes.length) >= 0;
    });
    event.clipboardData.setData("text/plain", texts.map((text) => within(range, text)).join("\n"));
    event.preventDefault();
  }

  #trim() {
    const rows = this.#scroller.children;
    let excess = rows.length - this.#kept.rows;
    while (rows.length > 1 && (excess > 0 || this.#shownChars > this.#kept.chars)) {
      const oldest = rows[0];
      this.#shownChars -= Number(oldest.dataset.chars);
      if (oldest.dataset.seq) this.#aboveCount += 1;
      oldest.remove();
      excess -= 1;
    }
  }

  /** Stays at the newest line if the log has another size than before. Tells whether it has. */
  #resized() {
    const { clientWidth, clientHeight } = this.#scroller;
    const size = `${clientWidth} × ${clientHeight}`;
    if (size === this.#size) return false;
    this.#size = size;
    if (this.#isFollowing) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    return true;
  }

  #follow(isFollowing) {
    const isBack = isFollowing && !this.#isFollowing;
    this.#isFollowing = isFollowing;
    this.#jump.hidden = isFollowing;
    if (isBack) this.#schedule();
  }
}

/** Returns the text of an element as far as it lies in a range. */
function within(range, element) {
  const part = document.createRange();
  part.selectNodeContents(element);
  if (range.compareBoundaryPoints(Range.START_TO_START, part) > 0) part.setStart(range.startContainer, range.startOffset);
  if (range.compareBoundaryPoints(Range.END_TO_END, part) < 0) part.setEnd(range.endContainer, range.endOffset);
  return part.toString();
}

function row({ line, origin, note, chars }) {
  const row = document.createElement("div");
  row.dataset.chars = chars;
  if (!line) {
    row.className = "note";
    row.textContent = note;
    return row;
  }
  row.className = `line ${origin}`;
  row.dataset.seq = line.seq;
  const isError = line.stream === "stderr";
  row.append(cell("seq", line.seq), cell("at", clock(line.at_us)), cell("stream", isError ? "err" : ""));
  if (line.level) row.append(cell("level", visible(line.level)));
  const text = cell("text", "");
  show(text, line.text);
  row.append(text);
  return row;
}

function cell(name, text) {
  const cell = document.createElement("span");
  cell.className = name;
  cell.textContent = text;
  return cell;
}

/** The time of the append, in local time, to the millisecond. */
function clock(at_us) {
  const at = new Date(at_us / 1_000);
  const two = (number) => String(number).padStart(2, "0");
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
  return `${time}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}
