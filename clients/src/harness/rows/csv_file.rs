//! A CSV file: columns by name, and errors that name file, row and column.

use std::collections::HashMap;

use super::Field;

/// A file of a results folder that is not what a run writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}; restore the file as the run wrote it, or measure again")]
pub struct Garbled {
    /// Path of the file below the folder.
    pub file: String,
    /// Description of what is wrong.
    pub what: String,
}

impl Garbled {
    /// Makes the error for `file`.
    pub fn new(file: &str, what: impl ToString) -> Self {
        Self { file: file.to_owned(), what: what.to_string() }
    }
}

/// A CSV file whose columns are found by name.
#[derive(Debug)]
pub struct CsvFile {
    file: &'static str,
    columns: HashMap<String, usize>,
    records: Vec<csv::StringRecord>,
}

/// One line of a [`CsvFile`], behind its header.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    file: &'a CsvFile,
    number: usize,
    cells: &'a csv::StringRecord,
}

impl CsvFile {
    /// Reads a file's text. A file that does not end with a line's end was cut off, and is refused.
    pub fn read(file: &'static str, text: &str) -> Result<Self, Garbled> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().map_err(|error| Garbled::new(file, error))?;
        let columns = header.iter().enumerate().map(|(i, name)| (name.to_owned(), i)).collect();
        let records =
            reader.records().collect::<Result<_, _>>().map_err(|error| Garbled::new(file, error))?;
        if !text.ends_with('\n') {
            return Err(Garbled::new(file, "its last line has no end, so the file was cut off"));
        }
        Ok(Self { file, columns, records })
    }

    /// Refuses a file without this column, also one without any line.
    pub fn require(&self, column: &str) -> Result<(), Garbled> {
        self.column(column).map(|_| ())
    }

    /// Returns the lines behind the header.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.records.iter().enumerate().map(|(i, cells)| Record { file: self, number: i + 1, cells })
    }

    fn column(&self, name: &str) -> Result<usize, Garbled> {
        let column = self.columns.get(name).copied();
        column.ok_or_else(|| Garbled::new(self.file, format!("column {name} is missing")))
    }
}

impl Record<'_> {
    /// Reads the cell in `column`.
    pub fn field<T: Field>(&self, column: &str) -> Result<T, Garbled> {
        // The reader refuses rows that are shorter than the header.
        let text = &self.cells[self.file.column(column)?];
        T::parse(text).ok_or_else(|| {
            let what = format!("row {}: {column} is {text:?}, which is not {}", self.number, T::WANTED);
            Garbled::new(self.file.file, what)
        })
    }
}

/// Writes the text of a CSV file of these lines, the header first. All lines must have as many cells.
pub fn csv_text(lines: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for line in lines {
        writer.write_record(line).expect("a vector takes every byte, and all lines have as many cells");
    }
    writer.into_inner().expect("a vector takes every byte")
}
