//! The columns of `reproduction.csv`, which `wirelab reproduce` writes: no run fills them.

use super::Column;

/// The columns of `reproduction.csv`.
pub const REPRODUCTION_COLUMNS: &[Column] = &[
    Column::explained("reproduction", "", "Name of the reproduction and of its plan."),
    Column::explained("figure", "", "What is counted, and of which cell of the plan."),
    Column::explained("unit", "", "Unit of the numbers that follow, up to `ci_high`."),
    Column::explained(
        "printed",
        "see `unit`",
        "Number that the source prints; empty where it gives a law alone.",
    ),
    Column::explained("printed_here", "see `unit`", "The printed number, scaled to the set-up here."),
    Column::explained(
        "predicted",
        "see `unit`",
        "Median over runs of what the law gives for this set-up; empty where it gives nothing.",
    ),
    Column::explained(
        "value",
        "see `unit`",
        "Median over runs of what was measured; empty where no valid run has it.",
    ),
    Column::explained(
        "ci_low",
        "see `unit`",
        "Lower end of the 95 % bootstrap interval of `value`; empty under 6 runs.",
    ),
    Column::explained(
        "ci_high",
        "see `unit`",
        "Upper end of the 95 % bootstrap interval of `value`; empty under 6 runs.",
    ),
    Column::explained("over_printed_ratio", "ratio", "`value` / `printed_here`."),
    Column::explained(
        "asked",
        "",
        "What the figure is asked: whether a law holds, whether a constant is the printed one, or nothing (`shown`).",
    ),
    Column::explained(
        "outcome",
        "",
        "Answer of the runs: `agrees`, `differs`, or `cannot tell` with the reason.",
    ),
    Column::explained(
        "verdict",
        "",
        "Verdict of all figures together: `reproduced`, `same law, other constant`, `contradicted` or `cannot be shown \
         here`.",
    ),
    Column::explained("why", "", "Reason for the verdict; empty where every figure agrees."),
    Column::explained("differs", "", "What differs between their set-up and the one here."),
    Column::explained("source", "", "Authors, title, year and place of the printed numbers."),
    Column::explained("runs", "", "Runs behind the figure, as in `runs.csv`, separated by blanks."),
];
