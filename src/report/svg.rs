//! `svg/<plot>.svg`: each drawing of the page as a file that stands alone, for a paper or a slide.
//!
//! Such a file needs no style sheet: it has its own size, font, ground and colours, those of the page on paper.

use super::aggregate::Aggregate;
use super::folder::Folder;
use super::plots::{self, Data};
use super::sweep::Sweep;
use super::{File, ReportError};

/// Name of the folder of drawings, below the results folder.
const FOLDER: &str = "svg";

/// Returns every drawing that the folder has figures for. A plot of several drawings numbers its files.
pub(super) fn files(folder: &Folder) -> Result<Vec<File>, ReportError> {
    let aggregate = Aggregate::of(folder);
    let sweep = Sweep::of(&aggregate);
    let data = Data { folder, aggregate: &aggregate, sweep: sweep.as_ref() };
    let plots = plots::all(&data).map_err(|error| ReportError::Page(error.to_string()))?;
    let mut files = Vec::new();
    for plot in &plots {
        for (number, drawing) in (1..).zip(&plot.drawings) {
            let part = if plot.drawings.len() > 1 { format!("-{number}") } else { String::new() };
            let path = format!("{FOLDER}/{}{part}.svg", plot.name);
            files.push(File::new(path, plots::standing_alone(drawing)));
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::report::synthetic::{self, MadeUp};

    fn drawn(cells: &[MadeUp]) -> Vec<File> {
        files(&synthetic::folder(cells, 1)).unwrap()
    }

    fn text(file: &File) -> &str {
        std::str::from_utf8(&file.bytes).unwrap()
    }

    #[test]
    fn every_drawing_is_a_file_with_a_name_of_its_own() {
        let files = drawn(&MadeUp::sweep(6));
        let names: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(names.len(), files.len());
        for expected in ["svg/latency.svg", "svg/percentiles-2.svg", "svg/sweep.svg", "svg/theory.svg"] {
            assert!(names.contains(expected), "{expected} is not in {names:?}");
        }
    }

    /// What a viewer without the page's style sheet needs, and nothing that it would have to look for elsewhere.
    #[test]
    fn a_file_needs_nothing_but_itself() {
        for file in drawn(&MadeUp::sweep(6)) {
            let svg = text(&file);
            assert!(
                svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" "),
                "{}: {svg:.200}",
                file.path
            );
            let head = svg.split_once('>').unwrap().0;
            for needed in [" width=\"", " height=\"", " color=\"#"] {
                assert!(head.contains(needed), "{}: {head}", file.path);
            }
            assert!(svg.contains("<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"), "{}", file.path);
            assert!(svg.trim_end().ends_with("</svg>") && !svg.contains("class="), "{}", file.path);
            assert!(svg.contains("font-family=\"sans-serif\""), "{}", file.path);
            assert!(!svg.contains("var(--") && svg.matches("://").count() == 1, "{}", file.path);
        }
    }

    #[test]
    fn a_transport_has_its_colour_whatever_stands_beside_it() {
        let colour = |cells: &[MadeUp]| {
            let files = drawn(cells);
            let svg = text(files.iter().find(|file| file.path == "svg/latency.svg").unwrap()).to_owned();
            let before = svg.split("\nsse\n").next().unwrap();
            before.rsplit("fill=\"").next().unwrap()[..7].to_owned()
        };
        let alone = colour(&[MadeUp::of("sse", 0.5, 1)]);
        let among =
            colour(&["short-poll", "long-poll", "ndjson", "sse"].map(|name| MadeUp::of(name, 0.5, 1)));
        assert!(alone.starts_with('#'), "{alone}");
        assert_eq!(alone, among);
    }
}
