//! Latency of each transport and arm as a dot with its interval: which is faster, and whether the runs can tell.
//!
//! Each group has a row, p50 above p99, and every run is a thin stroke. The A/A twin has its own row, which shows how
//! far equal cells lie apart.

use plotters::prelude::*;

use super::canvas::{
    Align, Axis, Drawn, GRID, INK, PAPER, PlotError, Root, Weight, area, drawing, hatched, label_width, line,
    scale_for, series_of, shortened, solid, text,
};
use super::frame::{Frame, Said};
use super::{Data, LACKING, Plot, Section, not_drawn};
use crate::report::aggregate::{Group, GroupFigure};
use crate::report::figures::Figure;
use crate::report::wording::{digits, list};

const ROW_HEIGHT: i32 = 84;
const TOP: i32 = 30;
const BOTTOM: i32 = 110;
/// Width of the room for the numbers beside the rows.
const NUMBERS_WIDTH: i32 = 330;

pub(super) fn figure(data: &Data) -> Result<Option<Plot>, PlotError> {
    let twin = data.aggregate.pair.as_ref().map(|(_, twin)| twin);
    let groups: Vec<&Group> = data
        .aggregate
        .groups
        .iter()
        .chain(twin)
        .filter(|group| group.shown(Figure::LatencyP50).is_some())
        .collect();
    if groups.is_empty() {
        return Ok(None);
    }
    let shown = |group: &'_ Group| {
        [Figure::LatencyP50, Figure::LatencyP99]
            .into_iter()
            .filter_map(|of| group.shown(of).cloned())
            .collect::<Vec<_>>()
    };
    let values: Vec<f64> = groups
        .iter()
        .flat_map(|group| shown(group))
        .flat_map(|summary| {
            [summary.values.clone(), vec![summary.spread().low, summary.spread().high]].concat()
        })
        .collect();
    let left = label_width(groups.iter().map(|group| group.label_in_plots())) + 20;
    let height = TOP + ROW_HEIGHT * groups.len() as i32 + BOTTOM;
    let frame = Frame { left, right: 1_840 - NUMBERS_WIDTH, top: TOP, bottom: height - BOTTOM };
    let axis = Axis::over(scale_for(values.iter().copied()), values, (frame.left + 20, frame.right - 20));
    let description = groups.iter().filter_map(|group| {
        let p50 = group.shown(Figure::LatencyP50)?;
        Some(format!("{} {} ms", group.label, digits(p50.median)))
    });
    let description = format!("Median latency of each: {}.", list(&description.collect::<Vec<_>>()));
    let svg = drawing(("Delivery latency with its interval", &description), height as u32, |root| {
        frame.columns(root, &Said::numbers(&axis, 9, "delivery latency (ms)"))?;
        for (i, group) in groups.iter().enumerate() {
            let y = TOP + ROW_HEIGHT * i as i32 + ROW_HEIGHT / 2;
            row(root, &frame, &axis, (series_of(group.transport, group.nth), y), group)?;
        }
        Ok(())
    })?;
    let spread =
        if groups.iter().any(|group| group.summary(Figure::LatencyP50).is_some_and(|s| s.interval.is_some()))
        {
            "the bar is the 95 % interval of the median over runs (the range under six runs)"
        } else {
            "the bar is the range of the runs, since under six runs no 95 % interval exists"
        };
    let twin = if twin.is_some() {
        " The row A/A is the same cell measured a second time in each block: a difference no larger than \
         between these two is noise."
    } else {
        ""
    };
    let caption = format!(
        "Delivery latency (due time → receipt) in ms; further left is faster. The dot is the median over runs of p50, the \
         square below it of p99; {spread}; thin strokes are single runs. Where bars overlap, the runs cannot tell \
         which is faster.{twin}"
    );
    let has = |group: &Group| group.shown(Figure::LatencyP50).is_some();
    let remarks = not_drawn(&data.aggregate.groups, LACKING, has).into_iter().collect();
    Ok(Some(Plot { name: "latency", section: Section::Latency, drawings: vec![svg], caption, remarks }))
}

fn row(root: &Root, frame: &Frame, axis: &Axis, (series, y): (usize, i32), group: &Group) -> Drawn {
    if !group.is_believed() {
        hatched(root, (frame.left, y - 36), (frame.right, y + 36), GRID)?;
    }
    text(
        root,
        (frame.left - 14, y),
        &shortened(&group.label_in_plots()),
        (solid(series), Align::Right, Weight::Bold),
    )?;
    let mut told = Vec::new();
    for (figure, up) in [(Figure::LatencyP50, -17), (Figure::LatencyP99, 17)] {
        let Some(summary) = group.shown(figure) else { continue };
        marks(root, axis, (series, y + up), figure, summary)?;
        told.push((y + up, summary.median));
    }
    for ((y, median), name) in told.into_iter().zip(["p50", "p99"]) {
        let number = format!("{name} {} ms", digits(median));
        text(root, (frame.right + 24, y), &number, (INK, Align::Left, Weight::Normal))?;
    }
    Ok(())
}

fn marks(
    root: &Root,
    axis: &Axis,
    (series, y): (usize, i32),
    figure: Figure,
    summary: &GroupFigure,
) -> Drawn {
    let colour = solid(series);
    if summary.values.len() > 1 {
        for value in &summary.values {
            line(root, (axis.place(*value), y - 12), (axis.place(*value), y + 12), colour, 1)?;
        }
    }
    let spread = summary.spread();
    line(root, (axis.place(spread.low), y), (axis.place(spread.high), y), colour, 6)?;
    let at = (axis.place(summary.median), y);
    if figure == Figure::LatencyP50 {
        root.draw(&Circle::new(at, 10, colour.filled()))?;
    } else {
        area(root, (at.0 - 10, y - 10), (at.0 + 10, y + 10), colour)?;
        area(root, (at.0 - 5, y - 5), (at.0 + 5, y + 5), PAPER)?;
    }
    Ok(())
}
