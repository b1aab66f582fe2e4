//! The key figures over the factor that a plan varied, with theory's prediction as a line.

use plotters::prelude::*;

use super::canvas::{
    Axis, Drawn, INK, PAPER, PlotError, Root, Scale, WIDTH, dashed, drawing, hatched, line, scale_for,
    series_of, solid,
};
use super::frame::{Frame, LegendSample, Said, legend, legend_height};
use super::{Data, Plot, Section};
use crate::report::aggregate::Group;
use crate::report::figures::Figure;
use crate::report::prediction::predicted;
use crate::report::sweep::Sweep;
use crate::report::wording::{digits, plain};

/// Ratio of a factor's ends from which its axis is logarithmic.
const LOG_FROM_RATIO: f64 = 8.0;
const PANEL_HEIGHT: i32 = 560;
const LEFT: i32 = 150;
const GAP: i32 = 190;

pub(super) fn figure(data: &Data) -> Result<Option<Plot>, PlotError> {
    let Some(sweep) = data.sweep else { return Ok(None) };
    let groups = || sweep.series.iter().flat_map(|series| series.points.iter().map(|(_, group)| *group));
    let measured = |of: &Figure| groups().filter(|group| group.shown(*of).is_some()).count() > 1;
    let bytes = if measured(&Figure::WireBytes) { Figure::WireBytes } else { Figure::L7Bytes };
    let panels: Vec<Figure> =
        [Figure::LatencyP50, Figure::LatencyP99, Figure::Requests, bytes, Figure::Cpu, Figure::Memory]
            .into_iter()
            .filter(measured)
            .collect();
    if panels.is_empty() {
        return Ok(None);
    }
    let looks = looks(sweep);
    let mut entries: Vec<(LegendSample, String)> = sweep
        .series
        .iter()
        .zip(&looks)
        .map(|(series, look)| (LegendSample::Line(*look), series.label.clone()))
        .collect();
    for (i, group) in sweep.references.iter().enumerate() {
        entries.push((LegendSample::Line(looks[sweep.series.len() + i]), group.label.clone()));
    }
    let names: Vec<String> = entries.iter().map(|(_, label)| label.clone()).collect();
    let right = WIDTH as i32 - 30;
    let top = 30 + legend_height(LEFT, right, &names);
    let height = top + PANEL_HEIGHT * panels.len().div_ceil(2) as i32;
    let width = (right - LEFT - GAP) / 2;
    let is_predicted =
        panels.iter().any(|of| groups().any(|group| predicted(data.folder, group, *of).is_some()));
    let described = sweep.series.iter().map(|series| {
        let points = series.points.iter().filter_map(|(level, group)| {
            Some(format!("{} ms at {}", digits(group.shown(Figure::LatencyP50)?.median), plain(*level)))
        });
        format!("{}: {}", series.label, points.collect::<Vec<_>>().join(", "))
    });
    let described = described.collect::<Vec<_>>().join("; ");
    let title = format!("Figures by {}", sweep.factor.title());
    let svg = drawing((&title, &described), height as u32, |root| {
        legend(root, (LEFT, 28), right, &entries)?;
        for (i, of) in panels.iter().enumerate() {
            let left = LEFT + (width + GAP) * (i % 2) as i32;
            let from = top + PANEL_HEIGHT * (i / 2) as i32;
            let frame =
                Frame { left, right: left + width, top: from + 80, bottom: from + PANEL_HEIGHT - 120 };
            panel(root, &frame, (data, sweep, &looks), *of)?;
        }
        Ok(())
    })?;
    let theory = if is_predicted {
        " The thin line in the colour of the text is the prediction of theory."
    } else {
        ""
    };
    let references = if sweep.references.is_empty() {
        ""
    } else {
        " Level lines are transports to which the factor does not apply."
    };
    let unit = match sweep.factor.unit() {
        "" => String::new(),
        unit => format!(", in {unit}"),
    };
    let caption = format!(
        "The figures over the {}{unit}; lower is better in every panel, and each names its unit. Dots are medians over runs, \
         strokes the 95 % interval (the range under six runs).{theory}{references}",
        sweep.factor.title()
    );
    Ok(Some(Plot {
        name: "sweep",
        section: Section::Sweep,
        drawings: vec![svg],
        caption,
        remarks: Vec::new(),
    }))
}

/// Returns the number of every series, and then of every reference: the colour of its transport.
fn looks(sweep: &Sweep) -> Vec<usize> {
    let transports = sweep.series.iter().map(|series| series.points[0].1.transport);
    let transports: Vec<_> = transports.chain(sweep.references.iter().map(|group| group.transport)).collect();
    let nth =
        |place: usize| transports[..place].iter().filter(|before| **before == transports[place]).count();
    (0..transports.len()).map(|place| series_of(transports[place], nth(place))).collect()
}

fn panel(root: &Root, frame: &Frame, (data, sweep, looks): (&Data, &Sweep, &[usize]), of: Figure) -> Drawn {
    let points = || sweep.series.iter().flat_map(|series| &series.points);
    let mut levels: Vec<f64> = points().map(|(level, _)| *level).collect();
    levels.sort_by(f64::total_cmp);
    levels.dedup();
    let ends = |group: &Group| {
        let summary = group.shown(of);
        summary
            .map(|summary| [summary.spread().low, summary.median, summary.spread().high])
            .into_iter()
            .flatten()
    };
    let all = points().map(|(_, group)| *group).chain(sweep.references.iter().copied());
    let values: Vec<f64> =
        all.flat_map(|group| ends(group).chain(predicted(data.folder, group, of))).collect();
    let (first, last) = (levels[0], levels[levels.len() - 1]);
    let is_wide = first > 0.0 && last / first >= LOG_FROM_RATIO;
    let inside = (frame.left + 24, frame.right - 24);
    let x = if is_wide {
        Axis::over(Scale::Log, levels.iter().copied(), inside)
    } else {
        Axis::over(Scale::Linear, levels.iter().copied(), inside)
    };
    let y = Axis::over(scale_for(values.iter().copied()), values, (frame.bottom, frame.top));
    let name = match sweep.factor.unit() {
        "" => sweep.factor.title().to_owned(),
        unit => format!("{} ({unit})", sweep.factor.title()),
    };
    let ticks = ticks(&x, &levels);
    frame.draw(root, &Said { axis: &x, ticks, name: &name }, &Said::numbers(&y, 6, &of.title_with_unit()))?;
    for (series, swept) in looks.iter().copied().zip(&sweep.series) {
        let shown = swept.points.iter().filter_map(|(level, group)| Some((*level, *group, group.shown(of)?)));
        let shown: Vec<_> = shown.collect();
        let places: Vec<(i32, i32)> =
            shown.iter().map(|(level, _, summary)| (x.place(*level), y.place(summary.median))).collect();
        if places.len() > 1 {
            root.draw(&PathElement::new(places.clone(), dashed(series).stroke_width(5)))?;
        }
        for ((_, group, summary), at) in shown.iter().zip(places) {
            let spread = summary.spread();
            line(root, (at.0, y.place(spread.low)), (at.0, y.place(spread.high)), solid(series), 3)?;
            if group.is_believed() {
                root.draw(&Circle::new(at, 9, solid(series).filled()))?;
            } else {
                root.draw(&Circle::new(at, 12, PAPER.filled()))?;
                hatched(root, (at.0 - 12, at.1 - 12), (at.0 + 12, at.1 + 12), solid(series))?;
            }
        }
    }
    // Predictions are drawn above the marks: where theory holds, the marks would hide them.
    for swept in &sweep.series {
        let forecast: Vec<(i32, i32)> = swept
            .points
            .iter()
            .filter_map(|(level, group)| Some((x.place(*level), y.place(predicted(data.folder, group, of)?))))
            .collect();
        if forecast.len() > 1 {
            root.draw(&PathElement::new(forecast, INK.stroke_width(2)))?;
        }
    }
    for (i, group) in sweep.references.iter().enumerate() {
        if let Some(summary) = group.shown(of) {
            let at = y.place(summary.median);
            let places = vec![(frame.left, at), (frame.right, at)];
            root.draw(&PathElement::new(places, dashed(looks[sweep.series.len() + i]).stroke_width(4)))?;
        }
    }
    Ok(())
}

/// Returns the values of the factor as ticks, as far as their labels do not touch.
fn ticks(x: &Axis, levels: &[f64]) -> Vec<(f64, String)> {
    let mut ticks: Vec<(f64, String)> = Vec::new();
    let mut free_from = i32::MIN;
    for level in levels {
        let label = plain(*level);
        let half = super::canvas::label_width([&label]) / 2 + 8;
        let at = x.place(*level);
        if at - half >= free_from {
            ticks.push((*level, label));
            free_from = at + half;
        }
    }
    ticks
}
