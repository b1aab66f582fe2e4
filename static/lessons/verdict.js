// Verdicts: what came of a question of a lesson, and which predictions of it are right.

/** An answer that no prediction can be held against. */
export const unknown = (is) => ({ is, fits: null, allowed: "" });

/** An answer that a prediction must name exactly: a number, a lane or a choice. `is` may say more than that. */
export const exactly = (value, is = String(value)) => ({ is, fits: (said) => said.trim() === String(value), allowed: "" });

/** A number that a prediction may miss by `by`. `write` writes a number. */
export const within = (value, by, write = String) => between(value, value, by, write);

/** A measured number. A prediction may lie between it and `other`, which also is right, or miss the nearer one by `by`. */
export function between(value, other, by, write = String) {
  const least = Math.max(Math.min(value, other) - by, 0);
  const most = Math.max(value, other) + by;
  return {
    is: write(value),
    fits: (said) => least <= Number(said) && Number(said) <= most,
    allowed: `${write(least)} to ${write(most)}`,
  };
}
