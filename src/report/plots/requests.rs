//! Requests against latency: the latency that each transport and arm reaches with its requests.

use plotters::prelude::*;

use super::canvas::{
    Axis, GRID, PlotError, WIDTH, drawing, hatched, label_width, line, scale_for, series_of, solid,
};
use super::frame::{Frame, Said};
use super::{Data, LACKING, Plot, Section, labels, not_drawn};
use crate::report::aggregate::{Group, GroupFigure};
use crate::report::figures::Figure;
use crate::report::wording::digits;

/// Least height of the drawing; more labels need more.
const HEIGHT_MIN: i32 = 800;

pub(super) fn figure(data: &Data) -> Result<Option<Plot>, PlotError> {
    let placed: Vec<(usize, &Group, &GroupFigure, &GroupFigure)> = data
        .aggregate
        .groups
        .iter()
        .filter_map(|group| {
            let series = series_of(group.transport, group.nth);
            Some((series, group, group.shown(Figure::Requests)?, group.shown(Figure::LatencyP50)?))
        })
        .collect();
    if placed.len() < 2 {
        return Ok(None);
    }
    let names: Vec<String> = placed.iter().map(|(_, group, ..)| group.label_in_plots()).collect();
    let height = HEIGHT_MIN.max(220 + 42 * placed.len() as i32);
    let frame =
        Frame { left: 150, right: WIDTH as i32 - label_width(&names) - 70, top: 70, bottom: height - 110 };
    let ends = |summary: &GroupFigure| [summary.spread().low, summary.median, summary.spread().high];
    let across: Vec<f64> = placed.iter().flat_map(|(.., requests, _)| ends(requests)).collect();
    let tail = |group: &Group| group.shown(Figure::LatencyP99).map(|tail| tail.median);
    let up: Vec<f64> =
        placed.iter().flat_map(|(_, group, _, p50)| ends(p50).into_iter().chain(tail(group))).collect();
    let x = Axis::over(scale_for(across.iter().copied()), across, (frame.left, frame.right - 30));
    let y = Axis::over(scale_for(up.iter().copied()), up, (frame.bottom, frame.top));
    let told = placed.iter().map(|(_, group, requests, p50)| {
        format!("{}: {} requests per line, {} ms", group.label, digits(requests.median), digits(p50.median))
    });
    let description = told.collect::<Vec<_>>().join("; ");
    let svg = drawing(("Requests against latency", &description), height as u32, |root| {
        frame.draw(
            root,
            &Said::numbers(&x, 8, "requests per delivered line"),
            &Said::numbers(&y, 7, "delivery latency (ms)"),
        )?;
        let mut marks = Vec::new();
        for ((series, group, requests, p50), name) in placed.iter().zip(&names) {
            let at = (x.place(requests.median), y.place(p50.median));
            if let Some(tail) = tail(group) {
                line(root, at, (at.0, y.place(tail)), solid(*series), 2)?;
                line(root, (at.0 - 8, y.place(tail)), (at.0 + 8, y.place(tail)), solid(*series), 4)?;
            }
            if group.is_believed() {
                root.draw(&Circle::new(at, 12, solid(*series).filled()))?;
            } else {
                hatched(root, (at.0 - 16, at.1 - 16), (at.0 + 16, at.1 + 16), GRID)?;
                root.draw(&Circle::new(at, 12, solid(*series).stroke_width(3)))?;
            }
            marks.push((*series, at, name.as_str()));
        }
        labels::beside(root, &marks, frame.right + 40, (24, frame.bottom - 12))
    })?;
    let caption = "Requests per delivered line against delivery latency in ms; down and left is better. The dot is the \
                   median over runs of p50, the stroke reaches to p99. Look whether more requests buy a lower \
                   latency."
        .to_owned();
    let has =
        |group: &Group| [Figure::Requests, Figure::LatencyP50].iter().all(|of| group.shown(*of).is_some());
    let remarks = not_drawn(&data.aggregate.groups, LACKING, has).into_iter().collect();
    Ok(Some(Plot { name: "requests", section: Section::Cost, drawings: vec![svg], caption, remarks }))
}
