//! Figures over the time of a run: a panel per metric, a line per transport and arm.
//!
//! A group of several runs is drawn as the median at each moment. The file says which metrics there are.

use std::collections::BTreeMap;

use plotters::prelude::*;
use wirelab_clients::harness::rows::SeriesRow;
use wirelab_clients::harness::statistics::median;

use super::canvas::{Axis, PlotError, WIDTH, dashed, drawing, scale_for, series_of};
use super::frame::{Frame, LegendSample, Said, legend, legend_height};
use super::{Data, INVALID, Plot, Section, not_drawn};
use crate::report::wording::counted;

/// Most panels of one drawing: each must be readable when projected.
const PANELS_MAX: usize = 8;
const PANEL_HEIGHT: i32 = 330;
const LEFT: i32 = 190;
/// Samples of several runs that are nearer than this belong to one moment; where samples are further apart, their own
/// distance applies.
const MOMENT_S_MIN: f64 = 0.05;
/// Metrics that are drawn first, because they tell most; the others follow in the order of the file.
const FIRST: [&str; 6] =
    ["delivery_latency_mean", "delivery_latency_max", "staleness", "requests", "l7", "server_cpu"];

/// Line of a group in a panel: the group's place, and its points.
type Line = (usize, Vec<(f64, f64)>);

/// Panel of one metric.
struct Panel {
    title: String,
    lines: Vec<Line>,
}

pub(super) fn figure(data: &Data) -> Result<Option<Plot>, PlotError> {
    let panels = panels(data);
    if panels.is_empty() {
        return Ok(None);
    }
    let left_out: Vec<&str> = panels.iter().skip(PANELS_MAX).map(|panel| panel.title.as_str()).collect();
    let drawn = &panels[..panels.len().min(PANELS_MAX)];
    let mut remarks: Vec<String> =
        not_drawn(&data.aggregate.groups, INVALID, |group| group.is_believed()).into_iter().collect();
    if !left_out.is_empty() {
        remarks.push(format!("Also in timeseries.csv, not drawn: {}", left_out.join(", ")));
    }
    let groups = &data.aggregate.groups;
    let is_drawn = |i: &usize| drawn.iter().any(|panel| panel.lines.iter().any(|(place, _)| place == i));
    let shown: Vec<usize> = (0..groups.len()).filter(is_drawn).collect();
    let series = |place: usize| series_of(groups[place].transport, groups[place].nth);
    let entries: Vec<(LegendSample, String)> =
        shown.iter().map(|i| (LegendSample::Line(series(*i)), groups[*i].label.clone())).collect();
    let right = WIDTH as i32 - 30;
    let names: Vec<String> = entries.iter().map(|(_, label)| label.clone()).collect();
    let top = 30 + legend_height(LEFT, right, &names);
    let height = top + PANEL_HEIGHT * drawn.len() as i32 + 60;
    let times =
        || drawn.iter().flat_map(|panel| &panel.lines).flat_map(|(_, points)| points).map(|(t, _)| *t);
    let (begin, end) = times().fold((0.0, 0.0), |(low, high): (f64, f64), t| (low.min(t), high.max(t)));
    let x = Axis::exactly(begin, if end > begin { end } else { begin + 1.0 }, (LEFT, right));
    let titles: Vec<&str> = drawn.iter().map(|panel| panel.title.as_str()).collect();
    let description = format!(
        "{} over {} s: {}.",
        counted(shown.len(), "line", "lines"),
        crate::report::wording::digits(end),
        titles.join("; ")
    );
    let svg = drawing(("Over time", &description), height as u32, |root| {
        legend(root, (LEFT, 28), right, &entries)?;
        for (i, panel) in drawn.iter().enumerate() {
            let from = top + PANEL_HEIGHT * i as i32;
            let frame = Frame { left: LEFT, right, top: from + 70, bottom: from + PANEL_HEIGHT - 46 };
            let values: Vec<f64> =
                panel.lines.iter().flat_map(|(_, points)| points.iter().map(|(_, value)| *value)).collect();
            let y = Axis::over(scale_for(values.iter().copied()), values, (frame.bottom, frame.top));
            let name = if i + 1 == drawn.len() { "time since the first due time (s)" } else { "" };
            frame.draw(
                root,
                &Said { name, ..Said::numbers(&x, 10, "") },
                &Said::numbers(&y, 4, &panel.title),
            )?;
            for (place, points) in &panel.lines {
                let places: Vec<(i32, i32)> =
                    points.iter().map(|(t, value)| (x.place(*t), y.place(*value))).collect();
                root.draw(&PathElement::new(places, dashed(series(*place)).stroke_width(4)))?;
            }
        }
        Ok(())
    })?;
    let caption = "The course of a run, from the first due time on; each panel has its own unit. A level line is a \
                   steady state; a slope shows that something fills up, a step that something happened. Of several \
                   valid runs the median at each moment is drawn."
        .to_owned();
    Ok(Some(Plot { name: "over-time", section: Section::Time, drawings: vec![svg], caption, remarks }))
}

/// Returns a panel per metric, in the order of the file.
fn panels(data: &Data) -> Vec<Panel> {
    let rows = &data.folder.rows.series;
    let mut panels: Vec<(&str, Panel)> = Vec::new();
    for row in rows {
        if !panels.iter().any(|(metric, _)| *metric == row.metric) {
            let (unit, _) = readable_unit(&row.unit);
            let unit = if unit.is_empty() { String::new() } else { format!(" ({unit})") };
            let title = format!("{}{unit}", row.metric.replace('_', " "));
            panels.push((&row.metric, Panel { title, lines: Vec::new() }));
        }
    }
    let rank = |metric: &str| FIRST.iter().position(|first| *first == metric).unwrap_or(FIRST.len());
    panels.sort_by_key(|(metric, _)| rank(metric));
    for (metric, panel) in &mut panels {
        for (place, group) in data.aggregate.groups.iter().enumerate() {
            let is_of = |run_id: &str| group.believed().any(|run| run.run_id == run_id);
            let of_group: Vec<&SeriesRow> =
                rows.iter().filter(|row| row.metric == *metric && is_of(&row.run_id)).collect();
            let line = line(&of_group);
            if line.len() > 1 {
                panel.lines.push((place, line));
            }
        }
    }
    panels.into_iter().map(|(_, panel)| panel).filter(|panel| !panel.lines.is_empty()).collect()
}

/// Returns the median over runs at each moment.
fn line(rows: &[&SeriesRow]) -> Vec<(f64, f64)> {
    let apart =
        rows.windows(2).filter(|two| two[0].run_id == two[1].run_id).map(|two| two[1].t_s - two[0].t_s);
    let step = apart.filter(|apart| *apart > 0.0).fold(f64::INFINITY, f64::min).max(MOMENT_S_MIN);
    let mut moments: BTreeMap<i64, Vec<(f64, f64)>> = BTreeMap::new();
    for row in rows {
        let (_, scale) = readable_unit(&row.unit);
        moments.entry((row.t_s / step).round() as i64).or_default().push((row.t_s, row.value * scale));
    }
    let middle = |moment: Vec<(f64, f64)>| {
        let (times, values): (Vec<f64>, Vec<f64>) = moment.into_iter().unzip();
        Some((median(&times)?, median(&values)?))
    };
    moments.into_values().filter_map(middle).collect()
}

/// Returns the unit of a panel, and the factor that turns values into it.
fn readable_unit(unit: &str) -> (&str, f64) {
    match unit {
        "µs" | "us" => ("ms", 1e-3),
        "count" => ("", 1.0),
        other => (other, 1.0),
    }
}
