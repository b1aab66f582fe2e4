//! What the page showed in a lesson or in a step of the lecturer's guide, kept if somebody wants it.
//!
//! With `WIRELAB_FIGURES=FILE` every row goes there as one JSON object a line; `scripts/classroom-figures` makes the
//! figures of `docs/classroom.md` from it.

use std::fs::OpenOptions;
use std::io::Write;

use serde_json::{Map, Value};

/// Whether each step is to last as long as the guide says.
pub(crate) fn are_wanted() -> bool {
    std::env::var_os("WIRELAB_FIGURES").is_some()
}

/// Keeps a table: the first column names the row, and `requests: you` the group of the columns behind it.
/// `conclusion` is what was said of it.
pub(crate) fn keep(of: &str, columns: &[String], rows: &[Vec<String>], conclusion: &[String]) {
    let Some(path) = std::env::var_os("WIRELAB_FIGURES") else { return };
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let mut write = |cells: Vec<(String, String)>| {
        let cells = [("of".to_owned(), of.to_owned())].into_iter().chain(cells);
        let object: Map<String, Value> = cells.map(|(name, cell)| (name, cell.into())).collect();
        writeln!(file, "{}", Value::from(object)).unwrap();
    };
    let mut group = None;
    let names: Vec<_> = columns
        .iter()
        .map(|column| {
            let begins = column.split_once(": ").map(|(name, _)| name);
            group = begins.or(group);
            group.filter(|_| begins.is_none()).map_or(column.clone(), |group| format!("{group}: {column}"))
        })
        .collect();
    for row in rows {
        let cells = names.iter().zip(row).skip(1).map(|(name, cell)| (name.clone(), cell.clone()));
        write([("lane".to_owned(), row[0].clone())].into_iter().chain(cells).collect());
    }
    for text in conclusion {
        write(vec![("said".to_owned(), text.clone())]);
    }
}
