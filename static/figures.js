// Figures as the page writes them: counts, times, bytes.

export const count = (number) => number.toLocaleString("en");

/** Writes ms with at most three significant digits below 100. The unit is always ms, so that columns can be compared. */
export function milliseconds(value) {
  if (value === null) return "–";
  return value < 100 ? value.toPrecision(value < 1 ? 2 : 3) : count(Math.round(value));
}

/** Writes ms with the unit, for a sentence. */
export function span(value_ms) {
  return value_ms === null ? "–" : `${milliseconds(value_ms)} ms`;
}

/** Units of long times: `[name, length in ms, shortest time in ms that is written in it]`. A shorter time stays in ms. */
const UNITS = [["h", 3_600_000, 3_600_000], ["min", 60_000, 60_000], ["s", 1_000, 10_000]];

/** Writes a time that may be days long, in a unit that people read, for a sentence. */
export function longSpan(value_ms) {
  const unit = UNITS.find(([, , from_ms]) => value_ms >= from_ms);
  if (unit === undefined) return span(value_ms);
  const [name, unit_ms] = unit;
  return `${count(Number((value_ms / unit_ms).toPrecision(3)))} ${name}`;
}

/** Writes a duration as minutes and seconds. No duration is negative, even if the clock ran backwards. */
export function duration(elapsed_ms) {
  const s = Math.max(Math.floor(elapsed_ms / 1_000), 0);
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

export function bytes(value) {
  if (value < 1_000) return `${value} B`;
  if (value < 1_000_000) return `${(value / 1_000).toPrecision(3)} kB`;
  return `${(value / 1_000_000).toPrecision(3)} MB`;
}
