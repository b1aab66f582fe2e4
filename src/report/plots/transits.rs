//! Lines over transits: which share of the lines has arrived after so many one-way delays of the link.
//!
//! It shows RFC 6202 §2.2. A line that finds a waiting poll needs one transit. A line that comes while none waits needs
//! up to three: the last answer's way, the next question's way, and its own. So a long poll has a step at one transit and
//! a straight ramp to three, and a stream has the step alone. Only servers that wait are drawn; a short poll's lines wait
//! for its interval.

use hdrhistogram::Histogram;
use plotters::prelude::*;
use wirelab_clients::wire::Waits;

use super::canvas::{
    Axis, Drawn, INK, PAPER, PlotError, Root, WIDTH, dashed, drawing, label_width, series_of, solid,
};
use super::frame::{Frame, Said};
use super::percentiles::{added_up, counted_runs};
use super::{Data, Plot, Section, labels, not_drawn};
use crate::report::aggregate::Group;
use crate::report::figures::Figure;
use crate::report::links::network_of;
use crate::report::prediction::predicted;
use crate::report::wording::plain;

/// Transits that the axis reaches: one more than a long poll's last line needs.
const TRANSITS_MAX: f64 = 4.0;
const HEIGHT: i32 = 900;
/// Points of a curve: one per four units of the drawing.
const POINTS: u32 = 320;
/// Quantiles that theory predicts, as figures.
const PREDICTED: [Figure; 3] = [Figure::LatencyP50, Figure::LatencyP90, Figure::LatencyP99];

/// Curve of one group.
struct Curve<'a> {
    group: &'a Group<'a>,
    /// Number of the series, which gives colour and dashes.
    series: usize,
    label: String,
    one_way_ms: f64,
    /// Delivery latencies, µs; at least one sample.
    histogram: Histogram<u64>,
    /// Share of the expected lines that arrived.
    arrived_ratio: f64,
}

/// Returns the plot, where a long poll was measured over a link that takes time.
pub(super) fn figure(data: &Data) -> Result<Option<Plot>, PlotError> {
    let mut curves = Vec::new();
    for group in &data.aggregate.groups {
        curves.extend(curve(data, group)?);
    }
    if !curves.iter().any(|curve| curve.group.transport.waits() == Waits::ServerOnce) {
        return Ok(None);
    }
    let why =
        "its lines wait for an interval, or its link takes no time, or its two ways take different times";
    let drawn = |group: &Group| curves.iter().any(|curve| curve.group.label == group.label);
    let remarks = not_drawn(&data.aggregate.groups, why, drawn).into_iter().collect();
    let described: Vec<String> = curves.iter().map(Curve::told).collect();
    let svg = drawing(("Lines over transits", &described.join("; ")), HEIGHT as u32, |root| {
        marks(root, data, &curves)
    })?;
    let caption = "Share of the lines (%) that arrived within so many transits after their due time; a transit is half the \
                   round trip of the link. A step at 1 is lines that found a waiting reader. A straight ramp from 1 to 3 \
                   is lines that just missed an answer of a long poll, spread evenly over its gap (RFC 6202). The height \
                   of the step is the share that had to wait for nothing. Circles are what theory predicts for 50, 90 \
                   and 99 %. Valid runs of one transport and arm are added up."
        .to_owned();
    Ok(Some(Plot { name: "transits", section: Section::Latency, drawings: vec![svg], caption, remarks }))
}

/// Returns the curve of a group whose server waits for lines, over a link that takes time. Where the two ways take
/// different times, there is no transit to count in.
fn curve<'a>(data: &Data<'a>, group: &'a Group<'a>) -> Result<Option<Curve<'a>>, PlotError> {
    let link = network_of(data.folder, group.runs[0]).link;
    let one_way = Some(link.down.delay).filter(|down| !down.is_zero() && *down == link.up.delay);
    let (Waits::ServerOnce | Waits::ServerForever, Some(one_way)) = (group.transport.waits(), one_way) else {
        return Ok(None);
    };
    let runs = counted_runs(group);
    let sum =
        |of: fn(&wirelab_clients::harness::rows::RunRow) -> u64| runs.iter().map(|run| of(run)).sum::<u64>();
    let (delivered, expected) = (sum(|run| run.delivered_count), sum(|run| run.expected_count));
    let histogram = added_up(data.folder, &runs)?;
    Ok(histogram.map(|histogram| Curve {
        group,
        series: series_of(group.transport, group.nth),
        label: group.label_in_plots(),
        one_way_ms: one_way.as_secs_f64() * 1e3,
        histogram,
        arrived_ratio: delivered as f64 / expected.max(1) as f64,
    }))
}

impl Curve<'_> {
    /// Returns the share of the expected lines that arrived within so many transits, in percent.
    fn percent_within(&self, transits: f64) -> f64 {
        let us = (transits * self.one_way_ms * 1e3).floor() as u64;
        self.histogram.percentile_below(us) * self.arrived_ratio
    }

    fn told(&self) -> String {
        let at = |transits: f64| {
            format!("{} % within {}", plain(self.percent_within(transits).round()), plain(transits))
        };
        format!("{}: {}", self.label, [1.1, 2.0, 3.1].map(at).join(", "))
    }
}

fn marks(root: &Root, data: &Data, curves: &[Curve]) -> Drawn {
    let labels_width = label_width(curves.iter().map(|curve| &curve.label)) + 60;
    let frame = Frame { left: 150, right: WIDTH as i32 - labels_width, top: 70, bottom: HEIGHT - 100 };
    let x = Axis::exactly(0.0, TRANSITS_MAX, (frame.left, frame.right));
    let y = Axis::exactly(0.0, 100.0, (frame.bottom, frame.top));
    let of_x = Said::numbers(&x, 8, "transits after the due time");
    frame.draw(root, &of_x, &Said::numbers(&y, 10, "lines that have arrived (%)"))?;
    let mut ends = Vec::new();
    for curve in curves {
        let point = |step: u32| {
            let transits = TRANSITS_MAX * f64::from(step) / f64::from(POINTS);
            (x.place(transits), y.place(curve.percent_within(transits)))
        };
        let points: Vec<(i32, i32)> = (0..=POINTS).map(point).collect();
        root.draw(&PathElement::new(points, dashed(curve.series).stroke_width(6)))?;
        ends.push((curve.series, point(POINTS), curve.label.as_str()));
    }
    // Above the curves: where theory holds, they would hide its circles.
    for curve in curves {
        for figure in PREDICTED {
            let predicted = predicted(data.folder, curve.group, figure).zip(figure.quantile());
            let Some((predicted_ms, quantile)) = predicted else { continue };
            let transits = predicted_ms / curve.one_way_ms;
            if transits <= TRANSITS_MAX {
                let at = (x.place(transits), y.place(quantile * 100.0));
                root.draw(&Circle::new(at, 11, PAPER.filled()))?;
                root.draw(&Circle::new(at, 11, INK.stroke_width(3)))?;
                root.draw(&Circle::new(at, 5, solid(curve.series).filled()))?;
            }
        }
    }
    labels::beside(root, &ends, frame.right + 40, (24, frame.bottom - 12))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::aggregate::Aggregate;
    use crate::report::folder::Folder;
    use crate::report::synthetic::{self, MadeUp};

    fn plot(cells: &[MadeUp]) -> Option<Plot> {
        let folder = synthetic::folder(cells, 1);
        let aggregate = Aggregate::of(&folder);
        figure(&Data { folder: &folder, aggregate: &aggregate, sweep: None }).unwrap()
    }

    #[test]
    fn long_polls_over_a_link_are_drawn_over_transits_and_short_polls_are_not() {
        let far =
            |transport, p50_ms| MadeUp::of(transport, p50_ms, 6).with("network", "line").with("rtt_ms", 50);
        let plot = plot(&[far("long-poll", 26.0), far("sse", 25.5), far("short-poll", 125.0)]).unwrap();
        let svg = &plot.drawings[0];
        assert!(
            svg.contains("\nlong-poll\n") && svg.contains("\nsse\n") && !svg.contains("\nshort-poll\n"),
            "{svg}"
        );
        assert!(plot.remarks[0].ends_with("take different times: short-poll"), "{:?}", plot.remarks);
        // The axis is told in transits: half of the lines after 26 of 25 ms.
        assert!(svg.contains("transits after the due time"), "{svg}");
    }

    #[test]
    fn a_link_whose_ways_take_different_times_has_no_transits() {
        let drawn = |up_ms: f64, down_ms: f64| {
            let cell = MadeUp::of("long-poll", 26.0, 6).with("network", "line").with("rtt_ms", 50);
            let mut files = synthetic::files(&[cell], 1);
            let plan = files.iter_mut().find(|file| file.path == "plan.toml").unwrap();
            let network = format!(
                "network = \"line\"\nrtt_ms = 50.0\n[up]\ndelay_ms = {up_ms:?}\n[down]\ndelay_ms = {down_ms:?}\n"
            );
            plan.bytes.extend(network.as_bytes());
            let folder = Folder::read(&files).unwrap();
            let aggregate = Aggregate::of(&folder);
            figure(&Data { folder: &folder, aggregate: &aggregate, sweep: None }).unwrap().is_some()
        };
        assert_eq!([drawn(25.0, 25.0), drawn(40.0, 10.0)], [true, false]);
    }

    #[test]
    fn without_a_long_poll_over_a_link_there_is_no_such_plot() {
        let far = |transport| MadeUp::of(transport, 26.0, 6).with("network", "line").with("rtt_ms", 50);
        assert!(plot(&[MadeUp::of("long-poll", 0.5, 6), far("sse")]).is_none());
        assert!(plot(&[MadeUp::of("long-poll", 0.5, 6).with("rtt_ms", 0)]).is_none());
    }

    #[test]
    fn a_curve_is_the_share_of_expected_lines_within_so_many_transits() {
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record_n(25_000, 60).unwrap();
        histogram.record_n(50_000, 40).unwrap();
        let folder = synthetic::folder(&[MadeUp::of("long-poll", 26.0, 1)], 1);
        let aggregate = Aggregate::of(&folder);
        let group = &aggregate.groups[0];
        let label = String::new();
        let curve = Curve { group, series: 0, label, one_way_ms: 25.0, histogram, arrived_ratio: 0.5 };
        let shares = [0.9, 1.01, 1.9, 2.01, 3.0].map(|transits| curve.percent_within(transits).round());
        assert_eq!(shares, [0.0, 30.0, 30.0, 50.0, 50.0]);
    }
}
