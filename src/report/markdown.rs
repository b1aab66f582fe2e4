//! `wirelab report --format md`: the finding and its tables, for a README.

use super::summary::Summary;
use super::tables::{self, Look, Mark, Table};

/// The document.
pub(super) fn render(summary: &Summary) -> String {
    let folder = summary.folder;
    let mut text = format!("## {}\n\n", safe(&folder.question));
    if let Some(prediction) = &folder.prediction {
        text += &format!("**Predicted:** {}\n\n", safe(prediction));
    }
    text += "**Finding**\n\n";
    text.extend(summary.finding.iter().map(|sentence| format!("- {}\n", safe(&sentence.text))));
    text += "\n";
    text += &table(&tables::cells(summary));
    text += "\nMedians over the valid runs; in square brackets the 95 % interval, in round ones the range.\n";
    let facts: Vec<String> =
        summary.facts().iter().map(|(name, value)| format!("{name}: {}", safe(value))).collect();
    text += &format!("\n{}\n", facts.join(" · "));
    if let Some(command) = summary.command() {
        text += &format!("\n```sh\n{command}\n```\n");
    }
    text
}

fn table(table: &Table) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(table.header.iter().map(|cell| safe(cell)).collect());
    let looks = table.rows.first().map(|row| row.cells.iter().map(|cell| cell.look));
    let rules = looks.into_iter().flatten().map(|look| match look {
        Look::Number | Look::Defect => "--:".to_owned(),
        Look::Words => "---".to_owned(),
    });
    text += &line(std::iter::once("---".to_owned()).chain(rules).collect());
    for row in &table.rows {
        let name = match row.mark {
            Mark::None => safe(&row.name),
            Mark::Invalid => format!("~~{}~~ (invalid)", safe(&row.name)),
        };
        let cells = row.cells.iter().map(|cell| safe(&cell.text));
        text += &line(std::iter::once(name).chain(cells).collect());
    }
    text
}

/// Text that means nothing to Markdown: whoever named a plan does not write the README.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => safe.push(' '),
            '<' => safe.push_str("&lt;"),
            '|' | '*' | '`' | '[' | ']' | '\\' | '_' => safe.extend(['\\', c]),
            other => safe.push(other),
        }
    }
    safe
}
