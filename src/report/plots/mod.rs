//! The plots of the report, one file each: SVG to stand inside a page.
//!
//! Pure: groups of runs in, markup out. Each plot is a [`Plot`] with a title, a description for readers who cannot
//! see it, and a caption that says what to look for and in which unit. To add a plot: a file here and a line in
//! [`all`].

mod canvas;
mod costs;
mod frame;
mod intervals;
mod labels;
mod layers;
mod over_time;
mod percentiles;
mod printed;
mod requests;
mod residuals;
mod sweep;
mod transits;

use super::aggregate::{Aggregate, Group};
use super::folder::Folder;
use super::sweep::Sweep;

pub(super) use canvas::{PlotError, standing_alone};

/// One plot with its texts.
#[derive(Debug)]
pub(super) struct Plot {
    /// Name of its file, should it stand alone.
    pub(super) name: &'static str,
    /// Section of the page that it stands in.
    pub(super) section: Section,
    /// Drawings; more than one where a single drawing would be too crowded.
    pub(super) drawings: Vec<String>,
    /// Caption: what the plot shows, what to look for, and the unit.
    pub(super) caption: String,
    /// Remarks: what the plot cannot show.
    pub(super) remarks: Vec<String>,
}

/// Section of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// "What was printed, and what is it here?"
    Printed,
    /// "How late do lines arrive?"
    Latency,
    /// "What does the factor do?"
    Sweep,
    /// "What does each cost?"
    Cost,
    /// "How does it go over time?"
    Time,
    /// "Does theory hold?"
    Theory,
}

/// Input of all plots.
pub(super) struct Data<'a> {
    pub(super) folder: &'a Folder,
    pub(super) aggregate: &'a Aggregate<'a>,
    pub(super) sweep: Option<&'a Sweep<'a>>,
}

/// Returns every plot that the folder has figures for, in the order of the page.
pub(super) fn all(data: &Data) -> Result<Vec<Plot>, PlotError> {
    let plots = [
        printed::figure,
        intervals::figure,
        percentiles::figure,
        transits::figure,
        sweep::figure,
        requests::figure,
        layers::figure,
        costs::figure,
        over_time::figure,
        residuals::figure,
    ];
    let mut figures = Vec::new();
    for plot in plots {
        figures.extend(plot(data)?);
    }
    Ok(figures)
}

/// Remarks which groups a plot does not show, and why.
fn not_drawn(groups: &[Group], why: &str, is_drawn: impl Fn(&Group) -> bool) -> Option<String> {
    let names: Vec<&str> =
        groups.iter().filter(|group| !is_drawn(group)).map(|group| group.label.as_str()).collect();
    (!names.is_empty()).then(|| format!("Not drawn, because {why}: {}", names.join(", ")))
}

/// Reason why a plot does not show a group.
const LACKING: &str = "a run lacks the figure";
/// Reason why a plot shows no run of a group.
const INVALID: &str = "no run is valid";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::synthetic::{self, MadeUp};

    /// Returns every drawing of a folder with these cells, by section.
    fn drawn(cells: &[MadeUp]) -> Vec<(Section, String)> {
        let folder = synthetic::folder(cells, 1);
        let aggregate = Aggregate::of(&folder);
        let sweep = Sweep::of(&aggregate);
        let data = Data { folder: &folder, aggregate: &aggregate, sweep: sweep.as_ref() };
        let figures = all(&data).unwrap();
        figures.into_iter().map(|figure| (figure.section, figure.drawings.join("\n"))).collect()
    }

    fn of(cells: &[MadeUp], section: Section) -> String {
        drawn(cells).into_iter().filter(|(other, _)| *other == section).map(|(_, svg)| svg).collect()
    }

    #[test]
    fn every_drawing_has_a_title_and_a_description_and_no_colour_of_the_backend() {
        for (section, svg) in drawn(&MadeUp::sweep(6)) {
            assert!(svg.contains("role=\"img\">\n<title>") && svg.contains("<desc>"), "{section:?}");
            for wrong in ["=\"#01", "=\"#02", "=\"#03", "NaN", "inf"] {
                assert!(!svg.contains(wrong), "{section:?}: {wrong}");
            }
        }
    }

    #[test]
    fn every_mark_lies_on_its_drawing() {
        for cells in
            [MadeUp::sweep(6), vec![MadeUp::of("sse", 0.001, 1)], vec![MadeUp::of("short-poll", 90_000.0, 2)]]
        {
            for (section, svg) in drawn(&cells) {
                let places = svg.split(" x=\"").skip(1).chain(svg.split(" cx=\"").skip(1));
                for place in places {
                    let x: i32 = place.split('"').next().unwrap().parse().unwrap();
                    assert!((0..=1_840).contains(&x), "{section:?}: {x}");
                }
            }
        }
    }

    #[test]
    fn what_is_invalid_is_marked_in_every_drawing_that_shows_it() {
        let invalid = MadeUp { verdicts: vec!["invalid"; 2], ..MadeUp::of("sse", 0.5, 2) };
        let cells = [invalid, MadeUp::of("ndjson", 0.6, 2)];
        for section in [Section::Latency, Section::Cost] {
            let svg = of(&cells, section);
            assert!(svg.contains("\nsse, invalid\n") && !svg.contains("\nsse\n"), "{section:?}: {svg}");
        }
        // Neither the course of an invalid run nor its distance to theory is worth a look.
        for section in [Section::Time, Section::Theory] {
            let svg = of(&cells, section);
            assert!(svg.contains("\nndjson\n") && !svg.contains("\nsse"), "{section:?}: {svg}");
        }
    }

    #[test]
    fn what_a_plot_cannot_show_is_remarked() {
        let lacking = ["delivery_latency_us_p50", "l7_per_line_bytes"];
        let lacking = lacking.iter().fold(MadeUp::of("sse", 0.5, 2), |cell, column| cell.with(column, ""));
        let invalid = MadeUp { verdicts: vec!["invalid"; 2], ..MadeUp::of("websocket", 0.5, 2) };
        let cells = [lacking, MadeUp::of("ndjson", 0.6, 2), MadeUp::of("long-poll", 0.6, 2), invalid];
        let folder = synthetic::folder(&cells, 1);
        let aggregate = Aggregate::of(&folder);
        let figures = all(&Data { folder: &folder, aggregate: &aggregate, sweep: None }).unwrap();
        let remarks: Vec<&String> = figures.iter().flat_map(|figure| &figure.remarks).collect();
        let count = |remark: &str| remarks.iter().filter(|told| told.as_str() == remark).count();
        assert_eq!(count("Not drawn, because a run lacks the figure: sse"), 3, "{remarks:?}");
        assert_eq!(count("Not drawn, because no run is valid: websocket"), 2, "{remarks:?}");
    }

    #[test]
    fn a_sweep_shows_its_levels_and_what_theory_predicts() {
        let svg = of(&MadeUp::sweep(6), Section::Sweep);
        for expected in
            ["\npoll interval (ms)\n", "\n400\n", "\nshort-poll (fixed)\n", "\nlatency p50 (ms)\n"]
        {
            assert!(svg.contains(expected), "{expected}: {svg}");
        }
        let predictions = svg.matches("fill=\"none\" opacity=\"1\" stroke=\"currentColor\"").count();
        assert!(predictions >= 6, "{predictions}");
    }

    #[test]
    fn bytes_that_were_compressed_are_not_stacked_on_their_text() {
        let squeezed = MadeUp { l7_per_line: 40.0, ..MadeUp::of("sse", 0.5, 1) };
        let folder = synthetic::folder(&[squeezed], 1);
        let aggregate = Aggregate::of(&folder);
        let figures = all(&Data { folder: &folder, aggregate: &aggregate, sweep: None }).unwrap();
        let remarks: Vec<&String> = figures.iter().flat_map(|figure| &figure.remarks).collect();
        assert!(remarks.iter().any(|remark| remark.contains("as it was compressed")), "{remarks:?}");
    }
}
