//! The latency percentile plot: one curve per transport and arm.
//!
//! The horizontal axis is HdrHistogram's: each further nine of the percentile takes as much room as the one before. A
//! curve ends at the last percentile that its distinct lines resolve, and before the share of lines that did not
//! arrive. Histograms of a group are added up; percentiles are never averaged. Many curves become several drawings
//! with the same axes, in which curves of one transport stay together.

use hdrhistogram::Histogram;
use plotters::prelude::*;
use wirelab_clients::harness::rows::RunRow;
use wirelab_clients::harness::statistics::quantile_resolved;
use wirelab_clients::wire::Transport;

use super::canvas::{
    Axis, Drawn, PlotError, Root, Scale, WIDTH, dashed, drawing, label_width, series_of, solid,
};
use super::frame::{Frame, Said};
use super::{Data, Plot, Section, labels};
use crate::report::aggregate::Group;
use crate::report::folder::Folder;
use crate::report::hdr_log;
use crate::report::wording::{counted, plain};

/// Most curves of one drawing, unless one transport has more.
const CURVES_MAX: usize = 10;
const HEIGHT: i32 = 960;
/// Quantile from which the latency axis must show a curve; faster lines lie on its lower end.
const FIRST_IN_SIGHT: f64 = 0.05;
/// Points of a curve: one per four units of the drawing.
const POINTS: u32 = 320;

/// Curve of one group.
#[derive(Debug)]
struct Curve {
    /// Number of the series, which gives colour and dashes.
    series: usize,
    transport: Transport,
    label: String,
    /// Delivery latencies, µs; at least one sample.
    histogram: Histogram<u64>,
    /// Last quantile that may be drawn: above 0, below 1.
    quantile_max: f64,
}

pub(super) fn figure(data: &Data) -> Result<Option<Plot>, PlotError> {
    if data.folder.histograms.is_empty() {
        return Ok(None);
    }
    let (mut curves, mut remarks) = (Vec::new(), Vec::new());
    for group in &data.aggregate.groups {
        match curve(data.folder, series_of(group.transport, group.nth), group)? {
            Ok(curve) => curves.push(curve),
            Err(why) => remarks.push(format!("{}: {why}", group.label)),
        }
    }
    if curves.is_empty() {
        return Ok(None);
    }
    let mut parts: Vec<Vec<&Curve>> = Vec::new();
    // Groups are sorted by transport, so that curves of one transport stay together.
    for of_transport in curves.chunk_by(|a, b| a.transport == b.transport) {
        match parts.last_mut() {
            Some(part) if part.len() + of_transport.len() <= CURVES_MAX => part.extend(of_transport),
            Some(_) | None => parts.push(of_transport.iter().collect()),
        }
    }
    let axes = Axes::of(&curves);
    let drawings = parts.iter().map(|part| axes.draw(part)).collect::<Result<_, _>>()?;
    let caption = "Delivery latency (due time → receipt, ms) by percentile, lower is better; both axes are logarithmic, and \
                   each further nine takes as much room as the one before. Where a curve bends up, a few lines were \
                   much later than the rest. A curve ends at the last percentile that its distinct lines can show \
                   (n ≥ ln 0.025 / ln Q: 368 for 99 %, 3,688 for 99.9 %), or before the lines that did not arrive. \
                   Valid runs of one transport and arm are added up."
        .to_owned();
    Ok(Some(Plot { name: "percentiles", section: Section::Latency, drawings, caption, remarks }))
}

/// Returns all valid runs of a group as one curve, or the reason why there is none. Invalid runs are used only if
/// there are no others; the label then says so.
fn curve(folder: &Folder, series: usize, group: &Group) -> Result<Result<Curve, &'static str>, PlotError> {
    let runs = counted_runs(group);
    let label = group.label_in_plots();
    let Some(histogram) = added_up(folder, &runs)? else {
        return Ok(Err("no line arrived, so there is no curve"));
    };
    // The run with the fewest lines decides, so that no curve claims more than its rows.
    let quantile_max = runs.iter().map(|run| run_resolves(run)).fold(f64::INFINITY, f64::min);
    // A curve that ends below 50 % shows no median, so it is not drawn.
    if quantile_max < 0.5 {
        return Ok(Err("too few lines arrived for a percentile, so there is no curve"));
    }
    Ok(Ok(Curve { series, transport: group.transport, label, histogram, quantile_max }))
}

/// Returns the valid runs of a group, or all of its runs if none is valid.
pub(super) fn counted_runs<'a>(group: &Group<'a>) -> Vec<&'a RunRow> {
    if group.is_believed() { group.believed().collect() } else { group.runs.clone() }
}

/// Adds up the latencies of these runs, µs; `None` where no line arrived.
pub(super) fn added_up(folder: &Folder, runs: &[&RunRow]) -> Result<Option<Histogram<u64>>, PlotError> {
    let mut all: Option<Histogram<u64>> = None;
    for histogram in runs.iter().filter_map(|run| folder.histograms.get(&run.run_id)) {
        match &mut all {
            None => all = Some(histogram.clone()),
            Some(all) => hdr_log::add(all, histogram)?,
        }
    }
    Ok(all.filter(|all| !all.is_empty()))
}

/// Returns the last quantile that a run supports, by its distinct lines and by the share of lines that arrived:
/// missing lines would have been the slowest.
fn run_resolves(run: &RunRow) -> f64 {
    let arrived = match run.expected_count {
        0 => 0.0,
        expected => run.delivered_count as f64 / expected as f64,
    };
    quantile_resolved(run.distinct_lines_count).min(arrived)
}

/// Axes that all drawings share.
struct Axes {
    frame: Frame,
    x: Axis,
    x_max: f64,
    y: Axis,
}

impl Axes {
    fn of(curves: &[Curve]) -> Self {
        let x_max = curves.iter().map(|curve| nines(curve.quantile_max)).fold(1.0, f64::max);
        // Curves begin at a small quantile: the very fastest lines would take half of the drawing.
        let ends = curves.iter().flat_map(|curve| [curve.ms(FIRST_IN_SIGHT), curve.ms(curve.quantile_max)]);
        let labels_width = label_width(curves.iter().map(|curve| &curve.label)) + 60;
        let frame = Frame { left: 150, right: WIDTH as i32 - labels_width, top: 70, bottom: HEIGHT - 100 };
        let x = Axis::exactly(0.0, x_max, (frame.left, frame.right));
        let y = Axis::over(Scale::Log, ends, (frame.bottom, frame.top));
        Self { frame, x, x_max, y }
    }

    fn draw(&self, curves: &[&Curve]) -> Result<String, PlotError> {
        let told = curves.iter().map(|curve| {
            format!(
                "{}: {} ms at 50 %, {} ms at {}",
                curve.label,
                plain(curve.ms(0.5)),
                plain(curve.ms(curve.quantile_max)),
                percent(nines(curve.quantile_max))
            )
        });
        let description = told.collect::<Vec<_>>().join("; ");
        let title = format!("Delivery latency by percentile, {}", counted(curves.len(), "curve", "curves"));
        drawing((&title, &description), HEIGHT as u32, |root| self.marks(root, curves))
    }

    fn marks(&self, root: &Root, curves: &[&Curve]) -> Drawn {
        let ticks = percentile_ticks(self.x_max).into_iter().map(|tick| (tick, percent(tick))).collect();
        let x = Said { axis: &self.x, ticks, name: "lines delivered at least this fast" };
        self.frame.draw(root, &x, &Said::numbers(&self.y, 8, "delivery latency (ms)"))?;
        let mut ends = Vec::new();
        for curve in curves {
            let last = nines(curve.quantile_max);
            let point = |step: u32| {
                let x = last * f64::from(step) / f64::from(POINTS);
                let quantile = quantile_at(x).min(curve.quantile_max);
                (self.x.place(x), self.y.place(curve.ms(quantile)))
            };
            let points: Vec<(i32, i32)> = (0..=POINTS).map(point).collect();
            root.draw(&PathElement::new(points, dashed(curve.series).stroke_width(6)))?;
            root.draw(&Circle::new(point(POINTS), 8, solid(curve.series).filled()))?;
            ends.push((curve.series, point(POINTS), curve.label.as_str()));
        }
        labels::beside(root, &ends, self.frame.right + 40, (24, self.frame.bottom - 12))
    }
}

impl Curve {
    /// Returns the latency at a quantile, in ms. Latencies are whole microseconds, and a value of 0 is shown as one.
    fn ms(&self, quantile: f64) -> f64 {
        self.histogram.value_at_quantile(quantile).max(1) as f64 / 1e3
    }
}

/// Returns the place of a quantile on the axis: 0 for 0 %, 1 for 90 %, 2 for 99 %.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn quantile_at(nines: f64) -> f64 {
    1.0 - 10_f64.powf(-nines)
}

/// Returns the ticks 0 %, 50 %, and one for each nine.
fn percentile_ticks(x_max: f64) -> Vec<f64> {
    let whole = (1..).map(f64::from).take_while(|x| *x <= x_max + 1e-9);
    [0.0, nines(0.5)].into_iter().chain(whole).collect()
}

/// Returns a percentile as text, such as `99.9 %`, from its number of nines.
fn percent(nines: f64) -> String {
    let decimals = (nines.round() as usize).saturating_sub(2);
    format!("{:.decimals$} %", 100.0 * quantile_at(nines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::aggregate::Aggregate;
    use wirelab_clients::harness::example;
    use wirelab_clients::harness::run_result::Verdict;

    fn folder() -> Folder {
        Folder::of(&example::result_set())
    }

    /// With 500 lines, p99.5 would hide the 1.2 % that never came; 98.8 % is where the curve ends.
    #[test]
    fn a_curve_ends_before_the_lines_that_did_not_arrive() {
        let mut folder = folder();
        let run = &mut folder.rows.runs[0];
        assert!((run_resolves(run) - quantile_resolved(500)).abs() < 1e-12);
        run.delivered_count = 988;
        assert!((run_resolves(run) - 0.988).abs() < 1e-12);
        run.expected_count = 0;
        assert_eq!(run_resolves(run), 0.0);
    }

    #[test]
    fn runs_of_one_transport_and_arm_are_one_curve_without_the_invalid_ones() {
        let mut folder = folder();
        folder.rows.runs.iter_mut().for_each(|run| run.transport = Transport::Sse);
        let drawn = |folder: &Folder| {
            let curve = curve(folder, 0, &Aggregate::of(folder).groups[0]).unwrap().unwrap();
            (curve.label, curve.histogram.len())
        };
        assert_eq!(drawn(&folder), ("sse".to_owned(), 2_000));
        folder.rows.runs[1].verdict = Verdict::Invalid;
        assert_eq!(drawn(&folder), ("sse".to_owned(), 1_000));
        folder.rows.runs[0].verdict = Verdict::Invalid;
        assert_eq!(drawn(&folder), ("sse, invalid".to_owned(), 2_000));
        folder.rows.runs.iter_mut().for_each(|run| run.arm = "gzip".into());
        assert_eq!(drawn(&folder), ("sse (gzip), invalid".to_owned(), 2_000));
    }

    #[test]
    fn the_axis_ends_where_the_lines_end() {
        let axes = |quantile_max| {
            let mut histogram = Histogram::new(3).unwrap();
            [100, 200, 300].iter().for_each(|us| histogram.record(*us).unwrap());
            let curve = Curve {
                series: 0,
                transport: Transport::Sse,
                label: "few".to_owned(),
                histogram,
                quantile_max,
            };
            Axes::of(std::slice::from_ref(&curve)).draw(&[&curve]).unwrap()
        };
        let svg = axes(0.95);
        assert!(svg.contains("\n90 %") && !svg.contains("\n99 %"), "{svg}");
        let svg = axes(0.9995);
        assert!(svg.contains("\n99.9 %") && !svg.contains("\n99.99 %"), "{svg}");
    }

    #[test]
    fn ticks_are_told_as_people_write_them() {
        let percents: Vec<String> = percentile_ticks(4.0).into_iter().map(percent).collect();
        assert_eq!(percents, ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
    }
}
