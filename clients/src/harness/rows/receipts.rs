//! The members of a line in `raw/<run_id>.ndjson.gz`, which `run --raw` writes: the table that is no CSV file.

use super::{Column, Kind};

/// The members of a line, in order: those of [`Receipt`](crate::harness::receipts::Receipt).
pub const RECEIPT_COLUMNS: &[Column] = &[
    counted("deployment", "", "Number of the deployment in the run, from 1."),
    counted("subscriber", "", "Number of the measured subscriber of that deployment, from 1."),
    counted("seq", "", "Position of the line in the log of its deployment, from 1."),
    counted(
        "due_us",
        "µs",
        "Due time of the line since the start of the schedule; null for a seq that was never published.",
    ),
    counted("received_us", "µs", "Receipt of the line since the start of the schedule."),
];

const fn counted(name: &'static str, unit: &'static str, definition: &'static str) -> Column {
    Column { name, unit, kind: Kind::Whole, definition }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::receipts::Receipt;

    #[test]
    fn the_members_of_a_receipt_are_the_columns() {
        let receipt = Receipt { deployment: 1, subscriber: 2, seq: 3, due_us: None, received_us: 4 };
        let json = serde_json::to_string(&receipt).unwrap();
        let places: Vec<_> =
            RECEIPT_COLUMNS.iter().map(|column| json.find(&format!("\"{}\":", column.name))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{json}");
        assert_eq!(json.matches("\":").count(), RECEIPT_COLUMNS.len(), "{json}");
    }
}
