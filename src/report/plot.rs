//! The latency percentile plot: one curve per transport and arm, as SVG to stand inside a page.
//!
//! The horizontal axis is HdrHistogram's: each further nine of the percentile takes as much room as the one before.
//! A curve ends at the last percentile that its distinct lines resolve, and before the share of lines that did not
//! arrive. Curves are told apart by dashes and labels as well as by colour. Colours are classes, so that the page
//! can change them for a dark screen; without a style sheet they are those for paper.

use std::error::Error;
use std::ops::Range;

use hdrhistogram::Histogram;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{DefaultFormatting, KeyPointHint, Ranged};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// One curve.
#[derive(Debug)]
pub(super) struct Curve {
    /// What stands beside it.
    pub(super) label: String,
    /// Delivery latencies, µs; at least one.
    pub(super) histogram: Histogram<u64>,
    /// The last quantile that may be drawn: above 0, below 1.
    pub(super) quantile_max: f64,
}

/// Lines with an own look: seven dashes × six colours, coprime, so that both repeat only after 42.
const COLOURS: [&str; 6] = ["#0060a8", "#b84300", "#00795a", "#99407f", "#7a5c00", "#3d3d3d"];
const DASHES: [&str; 7] = ["none", "22 8", "5 8", "22 8 5 8", "12 6", "30 8 5 8 5 8", "2 6"];

/// The backend has whole coordinates only: drawn in twice the size, steps are not seen.
const SIZE: (u32, u32) = (1_840, 960);
const TEXT_SIZE: f64 = 37.2;
const LABEL_HEIGHT: i32 = 38;
/// Room for the labels at the right: at least for `websocket-actor`, and for the longest there is.
const LABELS_WIDTH_MIN: u32 = 380;
/// Of one character of a label: bold sans-serif letters are about six tenths of their height wide.
const LABEL_CHAR_WIDTH: u32 = 23;
const LABEL_CHARS_MAX: usize = 26;
/// Points of a curve: one per three pixels.
const POINTS: u32 = 480;

/// What the backend is told to draw in; replaced by classes afterwards.
const INK: RGBColor = RGBColor(2, 0, 0);
const AXIS: RGBColor = RGBColor(2, 0, 1);
const GRID: RGBColor = RGBColor(2, 0, 2);

const fn curve_colour(i: usize) -> RGBColor {
    RGBColor(1, (i / 256) as u8, (i % 256) as u8)
}

/// The place of a quantile: 0 for 0 %, 1 for 90 %, 2 for 99 %.
fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).log10()
}

fn quantile_at(nines: f64) -> f64 {
    1.0 - 10_f64.powf(-nines)
}

/// Latencies are cut to whole microseconds: none is told apart below one.
fn ms(us: u64) -> f64 {
    us.max(1) as f64 / 1e3
}

/// The plot; `None` without curves.
pub(super) fn svg(curves: &[Curve]) -> Result<Option<String>, Box<dyn Error + Send + Sync>> {
    if curves.is_empty() {
        return Ok(None);
    }
    let x_max = curves.iter().map(|curve| nines(curve.quantile_max)).fold(1.0, f64::max);
    let value = |curve: &Curve, quantile| ms(curve.histogram.value_at_quantile(quantile));
    let lowest = curves.iter().map(|curve| value(curve, 0.0)).fold(f64::INFINITY, f64::min);
    let highest = curves.iter().map(|curve| value(curve, curve.quantile_max)).fold(0.0, f64::max);
    let (y_min, y_max) = (lowest.log10() - 0.05, highest.log10() + 0.1);

    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin_top(24)
            .margin_right(labels_width(curves))
            .x_label_area_size(96)
            .y_label_area_size(150)
            .build_cartesian_2d(
                axis(0.0..x_max, percentile_ticks(x_max)),
                axis(y_min..y_max, latency_ticks(y_min, y_max)),
            )?;
        let text = ("sans-serif", TEXT_SIZE).into_font().color(&INK);
        chart
            .configure_mesh()
            .axis_style(AXIS.stroke_width(2))
            .bold_line_style(GRID.stroke_width(2))
            .light_line_style(TRANSPARENT)
            .label_style(text.clone())
            .axis_desc_style(text)
            .x_desc("lines delivered at least this fast")
            .y_desc("delivery latency (ms)")
            .x_label_formatter(&|nines| percent(*nines))
            .y_label_formatter(&|log| plain(10_f64.powf(*log)))
            .draw()?;
        let mut ends = Vec::new();
        for (i, curve) in curves.iter().enumerate() {
            let last = nines(curve.quantile_max);
            let point = |step: u32| {
                let x = last * f64::from(step) / f64::from(POINTS);
                (x, value(curve, quantile_at(x).min(curve.quantile_max)).log10())
            };
            let points = (0..=POINTS).map(point);
            chart.draw_series(LineSeries::new(points, curve_colour(i).stroke_width(6)))?;
            ends.push(chart.backend_coord(&point(POINTS)));
        }
        draw_labels(&root, curves, &ends)?;
        root.present()?;
    }
    Ok(Some(with_classes(&svg, curves.len())))
}

/// An axis with the ticks it is given.
struct Axis {
    range: RangedCoordf64,
    ticks: Vec<f64>,
}

fn axis(range: Range<f64>, ticks: Vec<f64>) -> Axis {
    Axis { range: range.into(), ticks }
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        self.range.map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.range()
    }
}

/// 0 %, 50 %, then a tick for each nine.
fn percentile_ticks(x_max: f64) -> Vec<f64> {
    let whole = (1..).map(f64::from).take_while(|x| *x <= x_max + 1e-9);
    [0.0, nines(0.5)].into_iter().chain(whole).collect()
}

/// 1, 2 and 5 of each power of ten; the powers alone where there are many.
fn latency_ticks(y_min: f64, y_max: f64) -> Vec<f64> {
    let digits: &[f64] = if y_max - y_min <= 3.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let decades = y_min.floor() as i32..=y_max.ceil() as i32;
    let all = decades.flat_map(|decade| digits.iter().map(move |digit| digit.log10() + f64::from(decade)));
    all.filter(|log| (y_min..=y_max).contains(log)).collect()
}

/// `99.9 %`, by the nines it has.
fn percent(nines: f64) -> String {
    let decimals = (nines.round() as usize).saturating_sub(2);
    format!("{:.decimals$} %", 100.0 * quantile_at(nines))
}

/// A number without zeros that say nothing: `0.5`, `200`.
fn plain(number: f64) -> String {
    let text = format!("{number:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Each label beside the end of its curve, moved as far as it must so that no two overlap, with a line to the end.
fn draw_labels<DB: DrawingBackend>(
    root: &DrawingArea<DB, Shift>,
    curves: &[Curve],
    ends: &[(i32, i32)],
) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
    let wanted: Vec<i32> = ends.iter().map(|end| end.1).collect();
    let (left, bottom) = (SIZE.0 as i32 - labels_width(curves) as i32 + 40, SIZE.1 as i32 - 112);
    for (i, y) in spread(&wanted, LABEL_HEIGHT, 24, bottom).into_iter().enumerate() {
        let colour = curve_colour(i);
        root.draw(&Circle::new(ends[i], 8, colour.filled()))?;
        root.draw(&PathElement::new([ends[i], (left - 8, y)], colour.stroke_width(1)))?;
        let style = ("sans-serif", TEXT_SIZE)
            .into_font()
            .style(FontStyle::Bold)
            .color(&colour)
            .pos(Pos::new(HPos::Left, VPos::Center));
        root.draw(&Text::new(shortened(&curves[i].label), (left, y), style))?;
    }
    Ok(())
}

fn labels_width(curves: &[Curve]) -> u32 {
    let longest = curves.iter().map(|curve| shortened(&curve.label).chars().count()).max().unwrap_or(0);
    LABELS_WIDTH_MIN.max(60 + LABEL_CHAR_WIDTH * longest as u32)
}

fn shortened(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS_MAX {
        return label.to_owned();
    }
    label.chars().take(LABEL_CHARS_MAX - 1).chain(['…']).collect()
}

/// Heights as near to the wanted ones as fits: in the same order, `apart` from each other, between `top` and
/// `bottom` unless there are too many.
fn spread(wanted: &[i32], apart: i32, top: i32, bottom: i32) -> Vec<i32> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&i| wanted[i]);
    // Labels that would overlap become a block around the middle of what they want.
    let mut blocks: Vec<Vec<usize>> = Vec::new();
    let top_of = |block: &[usize]| {
        let middle = block.iter().map(|&i| wanted[i]).sum::<i32>() / block.len() as i32;
        let height = apart * (block.len() as i32 - 1);
        (middle - height / 2).min(bottom - height).max(top)
    };
    for i in order {
        let mut block = vec![i];
        while let Some(above) = blocks.pop() {
            let below_above = top_of(&above) + apart * above.len() as i32;
            if top_of(&block) >= below_above {
                blocks.push(above);
                break;
            }
            block = [above, block].concat();
        }
        blocks.push(block);
    }
    let mut heights = vec![0; wanted.len()];
    for block in &blocks {
        for (place, &i) in block.iter().enumerate() {
            heights[i] = top_of(block) + apart * place as i32;
        }
    }
    heights
}

/// The drawing with classes for colours. The backend escapes quotes in text, so what is replaced is never a label.
fn with_classes(svg: &str, curves_count: usize) -> String {
    let head_end = svg.find('>').map_or(0, |end| end + 1);
    let mut text = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"plot-caption\">{}",
        SIZE.0,
        SIZE.1,
        &svg[head_end..]
    );
    let of = |RGBColor(r, g, b): RGBColor| format!("#{r:02X}{g:02X}{b:02X}");
    for (colour, opacity) in [(INK, "1"), (AXIS, "0.6"), (GRID, "0.16")] {
        for what in ["fill", "stroke"] {
            let now = format!("{what}=\"currentColor\" {what}-opacity=\"{opacity}\"");
            text = text.replace(&format!("{what}=\"{}\"", of(colour)), &now);
        }
    }
    for i in 0..curves_count {
        let (class, colour, dash) = (i % COLOURS.len(), COLOURS[i % COLOURS.len()], DASHES[i % DASHES.len()]);
        let stroke = format!("class=\"curve-{class}\" stroke=\"{colour}\" stroke-dasharray=\"{dash}\"");
        text = text.replace(&format!("stroke=\"{}\"", of(curve_colour(i))), &stroke);
        let fill = format!("class=\"label-{class}\" fill=\"{colour}\"");
        text = text.replace(&format!("fill=\"{}\"", of(curve_colour(i))), &fill);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn curve(label: &str, latencies_us: &[u64], quantile_max: f64) -> Curve {
        let mut histogram = Histogram::new(3).unwrap();
        latencies_us.iter().for_each(|us| histogram.record(*us).unwrap());
        Curve { label: label.to_owned(), histogram, quantile_max }
    }

    fn drawn(curves: &[Curve]) -> String {
        svg(curves).unwrap().unwrap()
    }

    #[test]
    fn each_curve_has_its_label_its_colour_and_its_dashes() {
        let curves: Vec<Curve> =
            (0..8).map(|i| curve(&format!("curve {i}"), &[100, 200 + i, 9_000], 0.99)).collect();
        let svg = drawn(&curves);
        for i in 0..8 {
            assert!(svg.contains(&format!("curve {i}")), "{i}");
        }
        // The first and the seventh share a colour and differ in their dashes.
        let look = |i: usize| format!("stroke=\"{}\" stroke-dasharray=\"{}\"", COLOURS[i % 6], DASHES[i % 7]);
        assert_eq!((svg.matches(&look(0)).count(), svg.matches(&look(6)).count()), (2, 2));
        // Nothing is left of what the backend was told to draw in.
        assert!(!svg.contains("=\"#01") && !svg.contains("=\"#02"), "{svg}");
    }

    #[test]
    fn a_hostile_label_stays_text() {
        let svg = drawn(&[curve("<script>stroke=\"#010000\"", &[100], 0.9)]);
        assert!(!svg.contains("<script") && svg.contains("&lt;script&gt;"), "{svg}");
        assert!(svg.contains("stroke=&quot;#010000"), "a label was taken for a colour: {svg}");
    }

    #[test]
    fn the_axis_ends_where_the_lines_end() {
        let svg = drawn(&[curve("few", &[100, 200, 300], 0.95)]);
        assert!(svg.contains("90 %") && !svg.contains("99 %"), "{svg}");
        let svg = drawn(&[curve("many", &[100, 200, 300], 0.9995)]);
        assert!(svg.contains("99.9 %") && !svg.contains("99.99 %"), "{svg}");
    }

    #[test]
    fn without_curves_there_is_no_plot_and_equal_latencies_are_one_line() {
        assert!(svg(&[]).unwrap().is_none());
        let svg = drawn(&[curve("none at all", &[0, 0, 0], 0.9)]);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn ticks_are_told_as_people_write_them() {
        let percents: Vec<String> = percentile_ticks(4.0).into_iter().map(percent).collect();
        assert_eq!(percents, ["0 %", "50 %", "90 %", "99 %", "99.9 %", "99.99 %"]);
        let told: Vec<String> =
            latency_ticks(-1.05, 1.1).into_iter().map(|log| plain(10_f64.powf(log))).collect();
        assert_eq!(told, ["0.1", "0.2", "0.5", "1", "2", "5", "10"]);
        assert_eq!(latency_ticks(-3.0, 3.0).len(), 7, "five decades and more: the powers alone");
    }

    #[test]
    fn a_long_label_is_shortened() {
        assert_eq!(shortened("websocket-actor"), "websocket-actor");
        assert_eq!(shortened(&"ü".repeat(30)), "ü".repeat(25) + "…");
    }

    proptest! {
        #[test]
        fn labels_never_overlap_and_keep_their_order(
            wanted in proptest::collection::vec(0..900i32, 1..20),
        ) {
            let heights = spread(&wanted, 38, 24, 850);
            for a in 0..wanted.len() {
                for b in 0..a {
                    prop_assert!((heights[a] - heights[b]).abs() >= 38, "{:?}", heights);
                    prop_assert!(wanted[a] == wanted[b] || (wanted[a] < wanted[b]) == (heights[a] < heights[b]));
                }
            }
            prop_assert!(heights.iter().all(|height| (24..=850).contains(height)), "{:?}", heights);
        }
    }
}
