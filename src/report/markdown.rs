//! `wirelab report --format md`: the finding and its tables, for a README.

use super::summary::Summary;
use super::tables::{self, Look, RowMark, Table};

/// Returns the document.
pub(super) fn render(summary: &Summary) -> String {
    let folder = summary.folder;
    let mut text = format!("## {}\n\n", safe(&folder.plan.question));
    if let Some(prediction) = &folder.plan.prediction {
        text += &format!("**Predicted:** {}\n\n", safe(prediction));
    }
    if let Some(why) = summary.demonstration() {
        text += &format!("**A demonstration:** {}\n\n", safe(why));
    }
    text += "**Finding**\n\n";
    text.extend(summary.finding.iter().map(|sentence| format!("- {}\n", safe(&sentence.text))));
    text += "\n";
    text += &table(&tables::cells(summary));
    text +=
        "\nMedians over the valid runs. Square brackets hold the 95 % interval, round brackets the range.\n";
    text.extend(summary.meanings().into_iter().map(|meaning| format!("\n{meaning}\n")));
    let facts: Vec<String> =
        summary.facts().iter().map(|(name, value)| format!("{name}: {}", safe(value))).collect();
    text += &format!("\n{}\n", facts.join(" · "));
    if let Some(command) = summary.command() {
        text += &format!("\n```sh\n{command}\n```\n");
    }
    text
}

/// Returns a table.
pub(super) fn table(table: &Table) -> String {
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
            RowMark::None => safe(&row.name),
            RowMark::Invalid => format!("~~{}~~ (invalid)", safe(&row.name)),
        };
        let cells = row.cells.iter().map(|cell| match cell.spread.as_str() {
            "" => safe(&cell.text),
            spread => format!("{} {}", safe(&cell.text), safe(spread)),
        });
        text += &line(std::iter::once(name).chain(cells).collect());
    }
    text
}

/// Escapes text that would mean something to Markdown: the author of a plan does not write the README.
pub(super) fn safe(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use crate::report::synthetic::{self, MadeUp};
    use crate::report::{File, Folder, TextFormat, report};

    fn rendered(cells: &[MadeUp], question: &str) -> String {
        let mut files = synthetic::files(cells, 1);
        let plan = files.iter_mut().find(|file| file.path == "plan.toml").unwrap();
        let repetitions = cells.iter().map(|cell| cell.verdicts.len()).max().unwrap();
        plan.bytes = format!("name = \"made-up\"\nquestion = {question:?}\nrepetitions = {repetitions}\n")
            .into_bytes();
        String::from_utf8(report(&Folder::read(&files).unwrap(), TextFormat::Md).unwrap()).unwrap()
    }

    #[test]
    fn the_document_is_the_question_the_finding_and_the_table() {
        let invalid = MadeUp { verdicts: vec!["invalid"; 6], ..MadeUp::of("ndjson", 0.5, 6) };
        let text = rendered(
            &[MadeUp::of("sse", 0.5, 6), MadeUp::of("short-poll", 100.0, 6), invalid],
            "Who is faster?",
        );
        for expected in [
            "## Who is faster?\n\n**Finding**\n\n- Fastest was sse: half of the lines arrived within ",
            "\n| cell | valid runs | latency p50 (ms) |",
            "\n| --- | --: | --: |",
            "\n| short-poll | 6 of 6 | ",
            "\n| ~~ndjson~~ (invalid) | 0 of 6 | ",
            "plan: made-up · started: 2026-01-02T03:04:05Z · runs: 18 of 3 cells",
            "\n```sh\nwirelab run made-up\n```\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in {text}");
        }
    }

    #[test]
    fn a_plan_with_too_few_repetitions_for_intervals_is_called_a_demonstration() {
        let told = |runs| {
            rendered(&[MadeUp::of("sse", 0.5, runs)], "Who?").contains("**A demonstration:** the plan has")
        };
        assert_eq!([1, 5, 6].map(told), [true, true, false]);
    }

    #[test]
    fn a_smoke_run_is_not_for_citing() {
        let mut files = synthetic::files(&[MadeUp::of("sse", 0.5, 6)], 1);
        let text = |files: &[File]| {
            String::from_utf8(report(&Folder::read(files).unwrap(), TextFormat::Md).unwrap()).unwrap()
        };
        assert!(!text(&files).contains("smoke") && !text(&files).contains("demonstration"));
        let plan = files.iter_mut().find(|file| file.path == "plan.toml").unwrap();
        plan.bytes.extend(b"size = \"smoke\"\n");
        let text = text(&files);
        assert!(text.contains("- A smoke run: it only shows that the plan works."), "{text}");
        assert!(text.contains(" · size: smoke, not for citing · "), "{text}");
    }

    #[test]
    fn what_a_plan_says_means_nothing_to_markdown() {
        let text = rendered(&[MadeUp::of("sse", 0.5, 1)], "a | b\n# c <script> `d` [e](f)");
        assert!(text.starts_with("## a \\| b # c &lt;script> \\`d\\` \\[e\\](f)\n"), "{text}");
    }
}
