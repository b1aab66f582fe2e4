//! The columns of `reproduction.csv`, which `wirelab reproduce` writes: no run fills them.

use super::{Column, Kind};

/// The columns of `reproduction.csv`.
pub const REPRODUCTION_COLUMNS: &[Column] = &[
    explained("reproduction", "", "Name of the reproduction and of its plan."),
    explained("figure", "", "What is counted, and of which cell of the plan."),
    explained("unit", "", "Unit of the numbers that follow, up to `ci_high`."),
    explained("printed", "see `unit`", "Number that the source prints; empty where it gives a law alone."),
    explained("printed_here", "see `unit`", "The printed number, scaled to the set-up here."),
    explained(
        "predicted",
        "see `unit`",
        "Median over runs of what the law gives for this set-up; empty where it gives nothing.",
    ),
    explained(
        "value",
        "see `unit`",
        "Median over runs of what was measured; empty where no valid run has it.",
    ),
    explained(
        "ci_low",
        "see `unit`",
        "Lower end of the 95 % bootstrap interval of `value`; empty under 6 runs.",
    ),
    explained(
        "ci_high",
        "see `unit`",
        "Upper end of the 95 % bootstrap interval of `value`; empty under 6 runs.",
    ),
    explained("over_printed_ratio", "ratio", "`value` / `printed_here`."),
    explained(
        "asked",
        "",
        "What the figure is asked: whether a law holds, whether a constant is the printed one, or nothing (`shown`).",
    ),
    explained("outcome", "", "Answer of the runs: `agrees`, `differs`, or `cannot tell` with the reason."),
    explained(
        "verdict",
        "",
        "Verdict of all figures together: `reproduced`, `same law, other constant`, `contradicted` or `cannot be shown \
         here`.",
    ),
    explained("why", "", "Reason for the verdict; empty where every figure agrees."),
    explained("differs", "", "What differs between their set-up and the one here."),
    explained("source", "", "Authors, title, year and place of the printed numbers."),
    explained("runs", "", "Runs behind the figure, as in `runs.csv`, separated by blanks."),
];

const fn explained(name: &'static str, unit: &'static str, definition: &'static str) -> Column {
    // Only numbers have a unit here.
    let kind = if unit.is_empty() { Kind::Text } else { Kind::Number };
    Column { name, unit, kind, definition }
}
