//! The cost of each transport and arm: processor, bytes and memory side by side.
//!
//! Three panels of bars share their rows. A radar triangle would need one scale for three costs, and its areas
//! mislead. In bars each cost keeps its unit and its zero, and a row reads across.

use super::canvas::{
    Align, Axis, Drawn, INK, PlotError, Root, Scale, Weight, area, drawing, hatched, label_width, line,
    shortened, solid, text,
};
use super::frame::{Frame, Said};
use super::{Data, Plot, Section};
use crate::report::aggregate::{Group, GroupFigure};
use crate::report::figures::Figure;
use crate::report::wording::digits;

const ROW_HEIGHT: i32 = 62;
const TOP: i32 = 80;
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
    let height = TOP + ROW_HEIGHT * groups.len() as i32 + BOTTOM;
    let width = (1_840 - left) / panels.len() as i32;
    let told = groups.iter().map(|group| {
        let each = panels.iter().filter_map(|of| {
            Some(format!("{} {} {}", of.title(), digits(group.shown(*of)?.median), of.unit()))
        });
        format!("{}: {}", group.label, each.collect::<Vec<_>>().join(", "))
    });
    let description = told.collect::<Vec<_>>().join("; ");
    let svg = drawing(("Cost: processor, bytes, memory", &description), height as u32, |root| {
        for (i, group) in groups.iter().enumerate() {
            let at = (left - 14, TOP + ROW_HEIGHT * i as i32 + ROW_HEIGHT / 2);
            text(root, at, &shortened(&group.label_in_plots()), (solid(i), Align::Right, Weight::Bold))?;
        }
        for (i, of) in panels.iter().enumerate() {
            let from = left + width * i as i32;
            let frame = Frame {
                left: from,
                right: from + width - NUMBER_WIDTH - GAP,
                top: TOP,
                bottom: height - BOTTOM,
            };
            panel(root, &frame, *of, groups)?;
        }
        Ok(())
    })?;
    let caption = "The cost of each cell, shorter is better: processor time of the server per delivered line (µs), bytes per \
                   delivered line, and the server's anonymous memory (MiB). Bars are medians over runs from zero, the \
                   thin stroke is the 95 % interval (the range under six runs); do not use hatched bars: no valid run."
        .to_owned();
    Ok(Some(Plot { section: Section::Cost, drawings: vec![svg], caption, remarks: Vec::new() }))
}

fn panel(root: &Root, frame: &Frame, of: Figure, groups: &[Group]) -> Drawn {
    let summaries = || groups.iter().filter_map(|group| group.shown(of));
    let ends = summaries().flat_map(|summary: &GroupFigure| [summary.median, summary.spread().high]);
    let axis = Axis::over(Scale::Linear, ends.chain([0.0]), (frame.left, frame.right));
    let x = Said { name: "", ..Said::numbers(&axis, 3, "") };
    frame.columns(root, &x)?;
    text(root, (frame.left, 36), &of.title_with_unit(), (INK, Align::Left, Weight::Bold))?;
    for (i, group) in groups.iter().enumerate() {
        let y = TOP + ROW_HEIGHT * i as i32 + ROW_HEIGHT / 2;
        let Some(summary) = group.shown(of) else {
            text(root, (frame.left + 14, y), "–", (INK, Align::Left, Weight::Normal))?;
            continue;
        };
        let (from, to) = ((axis.place(0.0), y - 18), (axis.place(summary.median), y + 18));
        if group.is_believed() {
            area(root, from, to, solid(i))?;
        } else {
            hatched(root, from, to, solid(i))?;
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
