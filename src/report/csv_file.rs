//! A CSV file of a results folder: columns by name, and errors that name file, row and column.

use std::collections::HashMap;

use super::folder::FolderError;

pub(super) fn garbled(file: &str, what: impl ToString) -> FolderError {
    FolderError::Garbled { file: file.to_owned(), what: what.to_string() }
}

/// A CSV file whose columns are found by name.
pub(super) struct CsvFile {
    file: &'static str,
    columns: HashMap<String, usize>,
    rows: Vec<csv::StringRecord>,
}

/// One row of it.
pub(super) struct Row<'a> {
    table: &'a CsvFile,
    number: usize,
    cells: &'a csv::StringRecord,
}

impl CsvFile {
    /// A file without rows must have these columns, too. One that does not end with a line's end was cut off.
    pub(super) fn read(file: &'static str, text: &str, needed: &[&str]) -> Result<Self, FolderError> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| garbled(file, error))?;
        let columns = header.iter().enumerate().map(|(i, name)| (name.to_owned(), i)).collect();
        let rows = reader.records().collect::<Result<_, _>>().map_err(|error| garbled(file, error))?;
        let table = Self { file, columns, rows };
        needed.iter().try_for_each(|column| table.column(column).map(|_| ()))?;
        if !text.ends_with('\n') {
            return Err(garbled(file, "its last line has no end, so the file was cut off"));
        }
        Ok(table)
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().enumerate().map(|(i, cells)| Row { table: self, number: i + 1, cells })
    }

    fn column(&self, name: &str) -> Result<usize, FolderError> {
        let column = self.columns.get(name).copied();
        column.ok_or_else(|| garbled(self.file, format!("column {name} is missing")))
    }
}

impl Row<'_> {
    pub(super) fn text(&self, column: &str) -> Result<&str, FolderError> {
        // The reader refuses rows that are shorter than the header.
        Ok(&self.cells[self.table.column(column)?])
    }

    /// A text of a column that older folders do not have; there it is empty.
    pub(super) fn later_text(&self, column: &str) -> &str {
        self.table.columns.get(column).map_or("", |column| &self.cells[*column])
    }

    /// A number of a column that older folders do not have.
    pub(super) fn later_number(&self, column: &str) -> Result<Option<f64>, FolderError> {
        if self.table.columns.contains_key(column) { self.number(column) } else { Ok(None) }
    }

    pub(super) fn number(&self, column: &str) -> Result<Option<f64>, FolderError> {
        self.parsed(column, "a number of at least 0", |number: &f64| number.is_finite() && *number >= 0.0)
    }

    /// A number that may be negative.
    pub(super) fn signed(&self, column: &str) -> Result<Option<f64>, FolderError> {
        self.parsed(column, "a number", |number: &f64| number.is_finite())
    }

    pub(super) fn count(&self, column: &str) -> Result<Option<u64>, FolderError> {
        self.parsed(column, "a whole number", |_| true)
    }

    fn parsed<T: std::str::FromStr>(
        &self,
        column: &str,
        wanted: &str,
        fits: impl Fn(&T) -> bool,
    ) -> Result<Option<T>, FolderError> {
        let text = self.text(column)?;
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse() {
            Ok(value) if fits(&value) => Ok(Some(value)),
            Ok(_) | Err(_) => Err(self.not(column, text, wanted)),
        }
    }

    /// The word of a closed set.
    pub(super) fn word<T: Copy>(&self, column: &str, words: &[(&'static str, T)]) -> Result<T, FolderError> {
        let text = self.text(column)?;
        let known = words.iter().find(|(word, _)| *word == text);
        let names = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        known.map(|(_, value)| *value).ok_or_else(|| self.not(column, text, &format!("one of {}", names())))
    }

    fn not(&self, column: &str, text: &str, wanted: &str) -> FolderError {
        self.garbled(format!("{column} is {text:?}, which is not {wanted}"))
    }

    pub(super) fn garbled(&self, what: String) -> FolderError {
        garbled(self.table.file, format!("row {}: {what}", self.number))
    }
}
