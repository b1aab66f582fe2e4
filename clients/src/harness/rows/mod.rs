//! Rows: the lines of a results folder's CSV files as types, each with its columns, its writer and its reader.
//!
//! One file of this folder is one CSV file: a field is a column, and its doc comment is the column's definition in
//! `results/README.md`. A run fills rows from what it measured, the reports read them back from bytes; both give the
//! same values, since a row holds a number as the file writes it. A cell that was not measured, or does not apply, is
//! `None`: an empty cell, never a 0. Pure.

mod checks;
mod claims;
mod csv_file;
mod field;
mod percentiles;
mod receipts;
mod reproduction;
mod runs;
#[cfg(test)]
mod tests;
mod theory;
mod timeseries;

pub use checks::CheckRow;
pub(in crate::harness) use checks::THRESHOLD;
pub use claims::{CLAIMS_COLUMNS, TWO_WAY_COLUMNS};
pub use csv_file::{CsvFile, Garbled, Record, csv_text};
pub use field::{Field, Kind, number_text};
pub use percentiles::{PercentileRow, percentile_rows};
pub use receipts::RECEIPT_COLUMNS;
pub use reproduction::REPRODUCTION_COLUMNS;
pub use runs::{RunRow, Twin};
pub use theory::TheoryRow;
pub use timeseries::SeriesRow;

/// Version of the files of a results folder. Raised by every change of a file's columns or of the manifest's members:
/// a folder is read by the wirelab that has its version, and refused by every other.
pub const SCHEMA_VERSION: u32 = 4;

/// A column of a CSV file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// The header; the unit is its suffix.
    pub name: &'static str,
    /// The unit in words; empty for texts and identifiers.
    pub unit: &'static str,
    /// What a cell may hold.
    pub kind: Kind,
    /// Definition of the column, in a sentence or two.
    pub definition: &'static str,
}

impl Column {
    /// Explains a column of a table that no run fills. Only numbers have a unit there.
    const fn explained(name: &'static str, unit: &'static str, definition: &'static str) -> Self {
        let kind = if unit.is_empty() { Kind::Text } else { Kind::Number };
        Self { name, unit, kind, definition }
    }
}

/// One line of a CSV file.
pub trait Row: Sized {
    /// Name of the file in a results folder.
    const FILE: &'static str;
    /// The file's columns, in order.
    const COLUMNS: &'static [Column];

    /// Returns the row's cells as the file writes them, in the order of [`Self::COLUMNS`].
    fn cells(&self) -> Vec<String>;

    /// Reads a row. Columns that it does not have are passed over.
    fn parse(record: &Record<'_>) -> Result<Self, Garbled>;
}

/// Writes a CSV file: the header, then these rows.
pub fn write<R: Row>(rows: &[R]) -> Vec<u8> {
    let header = R::COLUMNS.iter().map(|column| column.name.to_owned()).collect();
    csv_text(std::iter::once(header).chain(rows.iter().map(Row::cells)))
}

/// Reads a CSV file that [`write()`] wrote.
pub fn read<R: Row>(text: &str) -> Result<Vec<R>, Garbled> {
    let file = CsvFile::read(R::FILE, text)?;
    R::COLUMNS.iter().try_for_each(|column| file.require(column.name))?;
    file.records().map(|record| R::parse(&record)).collect()
}

/// The rows of every CSV file that `wirelab run` writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Rows {
    /// `runs.csv`.
    pub runs: Vec<RunRow>,
    /// `percentiles.csv`.
    pub percentiles: Vec<PercentileRow>,
    /// `theory.csv`.
    pub theory: Vec<TheoryRow>,
    /// `checks.csv`.
    pub checks: Vec<CheckRow>,
    /// `timeseries.csv`.
    pub series: Vec<SeriesRow>,
}

/// Declares a row: `NAME of FILE from SOURCE { column: type [unit] = value of the source; … }`. The doc comment of a
/// column is its definition in the data dictionary.
macro_rules! row {
    (
        $(#[$meta:meta])*
        $row:ident of $file:literal from $source:ty {
            $( $(#[doc = $definition:literal])+ $name:ident: $type:ty [$unit:literal] = $value:expr; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $row {
            $( $(#[doc = $definition])+ pub $name: $type, )*
        }

        impl $row {
            /// Fills the row, with numbers as the file writes them.
            pub fn of(source: &$source) -> Self {
                Self {
                    $( $name: {
                        let value: fn(&$source) -> $type = $value;
                        $crate::harness::rows::Field::rounded(value(source))
                    }, )*
                }
            }

            /// Returns the number in a column; `None` for an empty cell, a text, and a column that is not there.
            pub fn number(&self, column: &str) -> Option<f64> {
                match column {
                    $( stringify!($name) => $crate::harness::rows::Field::number(&self.$name), )*
                    _ => None,
                }
            }

            /// Returns a cell as the file writes it; `None` for a column that is not there.
            pub fn text(&self, column: &str) -> Option<String> {
                match column {
                    $( stringify!($name) => Some($crate::harness::rows::Field::text(&self.$name)), )*
                    _ => None,
                }
            }
        }

        impl $crate::harness::rows::Row for $row {
            const FILE: &'static str = $file;
            const COLUMNS: &'static [$crate::harness::rows::Column] = &[
                $( $crate::harness::rows::Column {
                    name: stringify!($name),
                    unit: $unit,
                    kind: <$type as $crate::harness::rows::Field>::KIND,
                    definition: concat!($($definition),+).trim_ascii(),
                }, )*
            ];

            fn cells(&self) -> Vec<String> {
                vec![ $( $crate::harness::rows::Field::text(&self.$name), )* ]
            }

            fn parse(
                record: &$crate::harness::rows::Record<'_>,
            ) -> Result<Self, $crate::harness::rows::Garbled> {
                Ok(Self { $( $name: record.field(stringify!($name))?, )* })
            }
        }
    };
}
use row;
