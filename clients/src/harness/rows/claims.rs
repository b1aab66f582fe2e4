//! The columns of `claims.csv` and `two_way.csv`, which `wirelab claims` writes: no run fills them.

use super::Column;

/// The columns of `claims.csv`.
pub const CLAIMS_COLUMNS: &[Column] = &[
    explained("claim", "", "The claim, as people say it."),
    explained("about", "", "Of what, in which circumstances, and what is taken for it."),
    explained("figure", "", "Transport and figure that decide it; empty where nothing here can."),
    explained(
        "value",
        "see `unit`",
        "Its median over runs; of lines missed, repeated or out of order the most in a run; of sources their number \
         of lines.",
    ),
    explained(
        "ci_low",
        "see `unit`",
        "Lower end of the 95 % bootstrap interval of that median; empty under 6 runs.",
    ),
    explained(
        "ci_high",
        "see `unit`",
        "Upper end of the 95 % bootstrap interval of that median; empty under 6 runs.",
    ),
    explained("other_figure", "", "What it is compared with; empty where it is compared with a limit."),
    explained("other_value", "see `unit`", "Median of that over runs."),
    explained("other_ci_low", "see `unit`", "Lower end of its interval."),
    explained("other_ci_high", "see `unit`", "Upper end of its interval."),
    explained("unit", "", "Of value, other value and their intervals."),
    explained("evidence", "", "The same in words, and what stands beside it."),
    explained(
        "verdict",
        "",
        "`holds` (seen, and it follows from how the transport is made), `holds here` (measured on this machine, over its \
         loopback), `does not hold` (the opposite was measured) or `not measurable here`.",
    ),
    explained(
        "why",
        "",
        "Why it is not measurable here: nothing measures it, too few runs, intervals that overlap.",
    ),
    explained("runs", "", "The runs it came from, as in `runs.csv`, separated by blanks; empty for sources."),
];

/// The columns of `two_way.csv`.
pub const TWO_WAY_COLUMNS: &[Column] = &[
    explained("transport", "", "How lines come on that connection."),
    explained("sent_count", "count", "Appends that the client sent on it while lines came."),
    explained("answered_count", "count", "Those that the server answered on it while lines went on coming."),
];

const fn explained(name: &'static str, unit: &'static str, definition: &'static str) -> Column {
    Column { name, unit, definition }
}
