// Verdicts: what came of a question of a lesson, and which predictions of it are right.

/** An answer that no prediction can be held against. */
export const unknown = (is) => ({ is, fits: null, allowed: "" });

/** An answer that a prediction must name exactly: a number, a lane or a choice. `is` may say more than that. */
export const exactly = (value, is = String(value)) => ({ is, fits: (said) => said.trim() === String(value), allowed: "" });

/** A number that a prediction may miss by `by`. `write` writes a number. */
export function within(value, by, write = String) {
  return {
    is: write(value),
    fits: (said) => Math.abs(Number(said) - value) <= by,
    allowed: `${write(Math.max(value - by, 0))} to ${write(value + by)}`,
  };
}
