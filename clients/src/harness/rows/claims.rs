//! The columns of `claims.csv` and `two_way.csv`, which `wirelab claims` writes: no run fills them.

use super::{Column, Kind};

/// The columns of `claims.csv`.
pub const CLAIMS_COLUMNS: &[Column] = &[
    explained("claim", "", "The claim, as people say it."),
    explained(
        "about",
        "",
        "Transport and circumstances in which the claim is tested, and what counts as holding.",
    ),
    explained("figure", "", "Transport and figure that decide the claim; empty where nothing here can."),
    explained(
        "value",
        "see `unit`",
        "Median of the figure over runs. For lines missed, repeated or out of order: the most in one run. For sources: \
         their number of lines.",
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
    explained(
        "other_figure",
        "",
        "Transport and figure that the first is compared with; empty where it is compared with a limit.",
    ),
    explained("other_value", "see `unit`", "Median of the other figure over runs."),
    explained("other_ci_low", "see `unit`", "Lower end of the interval of `other_value`."),
    explained("other_ci_high", "see `unit`", "Upper end of the interval of `other_value`."),
    explained("unit", "", "Unit of `value`, `other_value` and their intervals."),
    explained("evidence", "", "The figures in words, with others that decide nothing."),
    explained(
        "verdict",
        "",
        "`holds` (confirmed, and it follows from how the transport works), `holds here` (confirmed on this machine, over \
         its loopback), `does not hold` (the opposite was measured) or `not measurable here`.",
    ),
    explained(
        "why",
        "",
        "Reason why the claim is not measurable here, such as too few runs or intervals that overlap.",
    ),
    explained(
        "runs",
        "",
        "Runs behind the figures, as in `runs.csv`, separated by blanks; empty for sources.",
    ),
];

/// The columns of `two_way.csv`.
pub const TWO_WAY_COLUMNS: &[Column] = &[
    explained("transport", "", "Transport of the connection that brings lines."),
    explained("sent_count", "count", "Appends that the client sent on the connection while lines came."),
    explained(
        "answered_count",
        "count",
        "Appends that the server answered on the connection while lines went on coming.",
    ),
];

const fn explained(name: &'static str, unit: &'static str, definition: &'static str) -> Column {
    // Only numbers have a unit here.
    let kind = if unit.is_empty() { Kind::Text } else { Kind::Number };
    Column { name, unit, kind, definition }
}
