//! The cost of each transport and arm: processor, bytes and memory side by side.
//!
//! Three panels of bars share their rows. A radar triangle would need one scale for three costs, and its areas
//! mislead. In bars each cost keeps its unit and its zero, and a row reads across.

use super::canvas::{
    Align, Axis, Drawn, INK, LINE_HEIGHT, PlotError, Root, Scale, Weight, area, drawing, hatched,
    label_width, line, series_of, shortened, solid, text, wrapped,
};
use super::frame::{Frame, Said};
use super::{Data, Plot, Section};
use crate::report::aggregate::{Group, GroupFigure};
use crate::report::figures::Figure;
use crate::report::wording::digits;

const ROW_HEIGHT: i32 = 62;
/// Height of the first line of the headings, and of the room below their last one.
const HEADING: (i32, i32) = (36, 44);
const BOTTOM: i32 = 60;
/// Width of the room right of a bar for its number.
const NUMBER_WIDTH: i32 = 130;
const GAP: i32 = 40;

pub(super) fn figure(data: &Data) -> Result<Option<Plot>, PlotError> {
    let groups = &data.aggregate.groups;
    let measured = |of: &Figure| groups.iter().any(|group| group.shown(*of).is_some());
    let bytes = if measured(&Figure::WireBytes) { Figure::WireBytes } else { Figure::L7Bytes };
    let panels: Vec<Figure> = [Figure::Cpu, bytes, Figure::Memory].into_iter().filter(measured).collect();
    if panels.is_empty() {
        return Ok(None);
    }
    let left = label_width(groups.iter().map(Group::label_in_plots)) + 20;
    let width = (1_840 - left) / panels.len() as i32;
    // Long labels leave narrow panels, in which a heading takes several lines.
    let headings: Vec<Vec<String>> =
        panels.iter().map(|of| wrapped(&of.title_with_unit(), width - GAP)).collect();
    let lines_max = headings.iter().map(Vec::len).max().unwrap_or(1) as i32;
    let top = HEADING.0 + LINE_HEIGHT * (lines_max - 1) + HEADING.1;
    let height = top + ROW_HEIGHT * groups.len() as i32 + BOTTOM;
    let told = groups.iter().map(|group| {
        let each = panels.iter().filter_map(|of| {
            Some(format!("{} {} {}", of.title(), digits(group.shown(*of)?.median), of.unit()))
        });
        format!("{}: {}", group.label, each.collect::<Vec<_>>().join(", "))
    });
    let description = told.collect::<Vec<_>>().join("; ");
    let svg = drawing(("Cost: processor, bytes, memory", &description), height as u32, |root| {
        for (i, group) in groups.iter().enumerate() {
            let at = (left - 14, top + ROW_HEIGHT * i as i32 + ROW_HEIGHT / 2);
            let colour = solid(series_of(group.transport, group.nth));
            text(root, at, &shortened(&group.label_in_plots()), (colour, Align::Right, Weight::Bold))?;
        }
        for (i, (of, heading)) in panels.iter().zip(&headings).enumerate() {
            let from = left + width * i as i32;
            let frame =
                Frame { left: from, right: from + width - NUMBER_WIDTH - GAP, top, bottom: height - BOTTOM };
            for (y, line) in (HEADING.0..).step_by(LINE_HEIGHT as usize).zip(heading) {
                text(root, (from, y), line, (INK, Align::Left, Weight::Bold))?;
            }
            panel(root, &frame, *of, groups)?;
        }
        Ok(())
    })?;
    let caption = "The cost of each cell, shorter is better: processor time of the server per delivered line (µs), bytes per \
                   delivered line, and the server's anonymous memory (MiB). Bars are medians over runs from zero, the \
                   thin stroke is the 95 % interval (the range under six runs); do not use hatched bars: no valid run."
        .to_owned();
    Ok(Some(Plot {
        name: "costs",
        section: Section::Cost,
        drawings: vec![svg],
        caption,
        remarks: Vec::new(),
    }))
}

fn panel(root: &Root, frame: &Frame, of: Figure, groups: &[Group]) -> Drawn {
    let summaries = || groups.iter().filter_map(|group| group.shown(of));
    let ends = summaries().flat_map(|summary: &GroupFigure| [summary.median, summary.spread().high]);
    let axis = Axis::over(Scale::Linear, ends.chain([0.0]), (frame.left, frame.right));
    let x = Said { name: "", ..Said::numbers(&axis, 3, "") };
    frame.columns(root, &x)?;
    for (i, group) in groups.iter().enumerate() {
        let y = frame.top + ROW_HEIGHT * i as i32 + ROW_HEIGHT / 2;
        let Some(summary) = group.shown(of) else {
            text(root, (frame.left + 14, y), "–", (INK, Align::Left, Weight::Normal))?;
            continue;
        };
        let (from, to) = ((axis.place(0.0), y - 18), (axis.place(summary.median), y + 18));
        let colour = solid(series_of(group.transport, group.nth));
        if group.is_believed() {
            area(root, from, to, colour)?;
        } else {
            hatched(root, from, to, colour)?;
        }
        let mut end = to.0;
        if summary.values.len() > 1 {
            let spread = summary.spread();
            end = axis.place(spread.high).max(end);
            line(root, (axis.place(spread.low), y), (end, y), INK, 3)?;
        }
        text(root, (end + 12, y), &digits(summary.median), (INK, Align::Left, Weight::Normal))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::aggregate::Aggregate;
    use crate::report::plots::canvas;
    use crate::report::synthetic::{self, MadeUp};

    #[test]
    fn headings_do_not_overlap_however_long_the_labels_are() {
        for arm in ["", "a-name-of-an-arm-as-long-as-a-label-may-be"] {
            let folder = synthetic::folder(&[MadeUp::of("short-poll", 9.0, 1).arm(arm)], 1);
            let aggregate = Aggregate::of(&folder);
            let plot =
                figure(&Data { folder: &folder, aggregate: &aggregate, sweep: None }).unwrap().unwrap();
            let mut headings: Vec<(i32, i32, &str)> = Vec::new();
            for text in plot.drawings[0].split("<text ").skip(1).filter(|text| text.contains("bold")) {
                let of = |name: &str| {
                    let (_, rest) = text.split_once(&format!("{name}=\"")).unwrap();
                    rest.split('"').next().unwrap().parse::<i32>().unwrap()
                };
                let said = text.split_once('\n').unwrap().1.split('\n').next().unwrap();
                headings.push((of("y"), of("x"), said));
            }
            headings.sort_unstable();
            // Two cells of one line: the second begins behind the end of the first.
            for two in headings.windows(2).filter(|two| two[0].0 == two[1].0) {
                let end = two[0].1 + canvas::label_width([two[0].2]);
                assert!(end <= two[1].1, "{arm}: {:?} reaches {:?}", two[0], two[1]);
            }
            assert!(headings.len() >= 3, "{headings:?}");
        }
    }
}
