//! The columns of `claims.csv` and `two_way.csv`, which `wirelab claims` writes: no run fills them.

use super::Column;

/// The columns of `claims.csv`.
pub const CLAIMS_COLUMNS: &[Column] = &[
    Column::explained("claim", "", "The claim, as people say it."),
    Column::explained(
        "about",
        "",
        "Transport and circumstances in which the claim is tested, and what counts as holding.",
    ),
    Column::explained(
        "figure",
        "",
        "Transport and figure that decide the claim; empty where nothing here can.",
    ),
    Column::explained(
        "value",
        "see `unit`",
        "Median of the figure over runs. For lines missed, repeated or out of order: the most in one run. For sources: \
         their number of lines.",
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
    Column::explained(
        "other_figure",
        "",
        "Transport and figure that the first is compared with; empty where it is compared with a limit.",
    ),
    Column::explained("other_value", "see `unit`", "Median of the other figure over runs."),
    Column::explained("other_ci_low", "see `unit`", "Lower end of the interval of `other_value`."),
    Column::explained("other_ci_high", "see `unit`", "Upper end of the interval of `other_value`."),
    Column::explained("unit", "", "Unit of `value`, `other_value` and their intervals."),
    Column::explained("evidence", "", "The figures in words, with others that decide nothing."),
    Column::explained(
        "verdict",
        "",
        "`holds` (confirmed, and it follows from how the transport works), `holds here` (confirmed on this machine, over \
         its loopback), `does not hold` (the opposite was measured) or `not measurable here`.",
    ),
    Column::explained(
        "why",
        "",
        "Reason why the claim is not measurable here, such as too few runs or intervals that overlap.",
    ),
    Column::explained(
        "runs",
        "",
        "Runs behind the figures, as in `runs.csv`, separated by blanks; empty for sources.",
    ),
];

/// The columns of `two_way.csv`.
pub const TWO_WAY_COLUMNS: &[Column] = &[
    Column::explained("transport", "", "Transport of the connection that brings lines."),
    Column::explained(
        "sent_count",
        "count",
        "Appends that the client sent on the connection while lines came.",
    ),
    Column::explained(
        "answered_count",
        "count",
        "Appends that the server answered on the connection while lines went on coming.",
    ),
];
