// Delivery latency of one lane: the newest value, quantiles, and the last half minute as a curve.
//
// The histogram has a fixed size, so an hour of lines costs no more than a minute. It reads no clock: the caller says
// how late a line was.

/** Each bucket is 2 % wider than the one before, so a quantile is exact to 1 %. */
const GROWTH = 1.02;
/** Latencies below this share one bucket, ms: browsers round their clocks to 0.1 ms or more. */
const LEAST_MS = 0.05;
/** Latencies above this share one bucket, ms. */
const MOST_MS = 600_000;
const BUCKETS = Math.ceil(Math.log(MOST_MS / LEAST_MS) / Math.log(GROWTH)) + 1;

/** Length of one point of the curve, ms, and the number of points: half a minute in all. */
export const STEP_MS = 500;
export const STEPS = 60;

/** How many lines a quantile needs. With fewer, it would probably be below the true one: the chance that all of n lines
 *  are below the quantile q is q ** n, and it must not exceed 2.5 %. The reports have the same rule. */
export function linesFor(q) {
  return Math.ceil(Math.log(0.025) / Math.log(q));
}

export class Latency {
  #buckets = new Uint32Array(BUCKETS);
  #sum = 0;
  #least = Infinity;
  #most = -Infinity;
  #steps = new Float64Array(STEPS).fill(NaN);
  #step = 0;
  count = 0;
  /** Latency of the newest line, ms; null before the first line. */
  last = null;

  /** Records the latency of a line, ms, that came at `now_ms` (performance.now()). */
  record(latency_ms, now_ms) {
    const index = Math.ceil(Math.log(Math.max(latency_ms, LEAST_MS) / LEAST_MS) / Math.log(GROWTH));
    this.#buckets[Math.min(index, BUCKETS - 1)] += 1;
    this.#sum += latency_ms;
    this.#least = Math.min(this.#least, latency_ms);
    this.#most = Math.max(this.#most, latency_ms);
    this.count += 1;
    this.last = latency_ms;
    this.#advance(now_ms);
    const slot = this.#step % STEPS;
    this.#steps[slot] = Number.isNaN(this.#steps[slot]) ? latency_ms : Math.max(this.#steps[slot], latency_ms);
  }

  /** Mean latency, ms; null before the first line. */
  get mean() {
    return this.count === 0 ? null : this.#sum / this.count;
  }

  /** The largest latency, ms; null before the first line. */
  get most() {
    return this.count === 0 ? null : this.#most;
  }

  /** The latency, ms, that a share `q` of all lines did not exceed; null while there are too few lines to say. */
  quantile(q) {
    if (this.count < linesFor(q)) return null;
    let left = Math.max(Math.ceil(q * this.count), 1);
    const index = this.#buckets.findIndex((count) => (left -= count) <= 0);
    // The middle of the bucket is neither always too high nor too low. It stays between the least and the most seen.
    const middle = index === 0 ? 0 : LEAST_MS * GROWTH ** (index - 0.5);
    return Math.min(Math.max(middle, this.#least), this.#most);
  }

  /** Returns the worst latency of each step, oldest first; NaN where no line came. The last step is that of `now_ms`. */
  curve(now_ms) {
    this.#advance(now_ms);
    return Array.from({ length: STEPS }, (_, i) => this.#steps[(this.#step + 1 + i) % STEPS]);
  }

  /** Moves on to the step of `now_ms`. Steps without a line stay empty. */
  #advance(now_ms) {
    const step = Math.floor(now_ms / STEP_MS);
    if (step - this.#step > STEPS) this.#step = step - STEPS;
    while (this.#step < step) this.#steps[++this.#step % STEPS] = NaN;
  }
}

/** Lines whose first receipt is kept: more than a lane can be behind the fastest on one machine. */
const FIRSTS_MAX = 20_000;

/** When each line came first on any lane. Lanes are compared with that while the clocks disagree. */
export class Firsts {
  #receipts = new Map(); // name of the line → { log, seq, at }
  /** For each log: the newest line that came, and the newest whose first receipt is no longer known. */
  #newest = new Map();
  #forgotten = new Map();

  /** Returns how much later a line came than on the fastest lane, ms; null when that is no longer known. `log` has the
   *  same name on every lane. */
  behind(log, seq, now_ms) {
    const line = `${log}.${seq}`;
    const first = this.#receipts.get(line);
    if (first !== undefined) return now_ms - first.at;
    if (seq <= (this.#forgotten.get(log) ?? 0)) return null;
    this.#receipts.set(line, { log, seq, at: now_ms });
    this.#newest.set(log, Math.max(seq, this.#newest.get(log) ?? 0));
    if (this.#receipts.size > FIRSTS_MAX) {
      const [oldest, { log: of, seq: until }] = this.#receipts.entries().next().value;
      this.#receipts.delete(oldest);
      this.#forgotten.set(of, Math.max(until, this.#forgotten.get(of) ?? 0));
    }
    return 0;
  }

  /** Forgets all receipts, because the clock jumped. Lines that came on one lane are not measured on the others. */
  forget() {
    this.#receipts.clear();
    this.#forgotten = new Map(this.#newest);
  }
}
