//! What every plot is drawn with: axes, text, marks, and colours that the page can change.
//!
//! Drawn by plotters' SVG backend, which has whole coordinates only: in twice the size, steps are not seen. Colours
//! become classes, so that a dark screen and paper have their own; without a style sheet they are those for paper.
//! Series differ by dashes or place as well as by colour.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Why a plot could not be drawn.
pub(in crate::report) type PlotError = Box<dyn Error + Send + Sync>;
/// What is drawn on.
pub(super) type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Whether it could be drawn.
pub(super) type Drawn = Result<(), PlotError>;
/// A place on the drawing: right, down.
pub(super) type Place = (i32, i32);

/// Width of every plot, in units of the drawing.
pub(super) const WIDTH: u32 = 1_840;
/// Height of letters.
pub(super) const TEXT_SIZE: f64 = 34.0;
/// From one line of text to the next.
pub(super) const LINE_HEIGHT: i32 = 38;
/// Of one character of bold text: sans-serif letters are about six tenths of their height wide.
const CHAR_WIDTH: u32 = 21;
/// Characters of a label; longer ones are cut.
const LABEL_CHARS_MAX: usize = 40;

/// Lines with an own look: seven dashes × six colours, coprime, so that both repeat only after 42.
pub(super) const COLOURS: [&str; 6] = ["#0060a8", "#b84300", "#00795a", "#99407f", "#7a5c00", "#3d3d3d"];
pub(super) const DASHES: [&str; 7] = ["none", "22 8", "5 8", "22 8 5 8", "12 6", "30 8 5 8 5 8", "2 6"];

/// What the backend is told to draw in; replaced by classes afterwards.
pub(super) const INK: RGBColor = RGBColor(2, 0, 0);
pub(super) const AXIS: RGBColor = RGBColor(2, 0, 1);
pub(super) const GRID: RGBColor = RGBColor(2, 0, 2);
/// Areas behind the marks.
pub(super) const BAND: RGBColor = RGBColor(2, 0, 3);
/// The ground, for marks that are hollow.
pub(super) const PAPER: RGBColor = RGBColor(2, 0, 4);

/// The look of the i-th series with its dashes.
pub(super) const fn dashed(i: usize) -> RGBColor {
    RGBColor(1, (i / 256) as u8, (i % 256) as u8)
}

/// Its colour alone.
pub(super) const fn solid(i: usize) -> RGBColor {
    RGBColor(3, (i / 256) as u8, (i % 256) as u8)
}

/// Where text stands about its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Begins there.
    Left,
    /// Its middle is there.
    Centre,
    /// Ends there.
    Right,
}

/// How thick letters are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// As text.
    Normal,
    /// As labels.
    Bold,
}

/// Text whose middle line is at the height of its place.
pub(super) fn text(root: &Root, at: Place, what: &str, look: (RGBColor, Align, Weight)) -> Drawn {
    let (colour, align, weight) = look;
    let across = match align {
        Align::Left => HPos::Left,
        Align::Centre => HPos::Center,
        Align::Right => HPos::Right,
    };
    let font = ("sans-serif", TEXT_SIZE).into_font();
    let font = match weight {
        Weight::Normal => font,
        Weight::Bold => font.style(FontStyle::Bold),
    };
    let style = font.color(&colour).pos(Pos::new(across, VPos::Center));
    root.draw(&Text::new(what.to_owned(), at, style))?;
    Ok(())
}

/// A straight line.
pub(super) fn line(root: &Root, from: Place, to: Place, colour: RGBColor, width: u32) -> Drawn {
    root.draw(&PathElement::new([from, to], colour.stroke_width(width)))?;
    Ok(())
}

/// A filled rectangle.
pub(super) fn area(root: &Root, from: Place, to: Place, colour: RGBColor) -> Drawn {
    root.draw(&Rectangle::new([from, to], colour.filled()))?;
    Ok(())
}

/// A rectangle of oblique lines: what is not to be used.
pub(super) fn hatched(root: &Root, from: Place, to: Place, colour: RGBColor) -> Drawn {
    let (left, right, top, bottom) = (from.0.min(to.0), from.0.max(to.0), from.1.min(to.1), from.1.max(to.1));
    let height = bottom - top;
    let mut start = left - height;
    while start < right {
        let from_x = start.max(left);
        let to_x = (start + height).min(right);
        line(root, (from_x, bottom - (from_x - start)), (to_x, bottom - (to_x - start)), colour, 3)?;
        start += 18;
    }
    root.draw(&Rectangle::new([(left, top), (right, bottom)], colour.stroke_width(3)))?;
    Ok(())
}

/// How a value becomes a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Equal steps for equal differences.
    Linear,
    /// Equal steps for equal ratios; values above 0 only.
    Log,
}

/// An axis: its values, its ticks and where it lies.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// Where the low and the high end are.
    places: (i32, i32),
}

impl Axis {
    /// An axis that has room for these values, between two places. Logarithmic ones leave out what is not above 0.
    pub(super) fn over(scale: Scale, values: impl IntoIterator<Item = f64>, places: (i32, i32)) -> Self {
        let fits = |value: &f64| {
            value.is_finite()
                && match scale {
                    Scale::Linear => true,
                    Scale::Log => *value > 0.0,
                }
        };
        let (low, high) = values
            .into_iter()
            .filter(fits)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        let (low, high) = match (scale, low.is_finite()) {
            (Scale::Linear, false) => (0.0, 1.0),
            (Scale::Log, false) => (0.1, 10.0),
            (Scale::Linear, true) => {
                let room = if high > low { (high - low) * 0.05 } else { high.abs().max(1.0) * 0.1 };
                (if low >= 0.0 { 0.0 } else { low - room }, high + room)
            }
            (Scale::Log, true) => {
                // Never less than a third of a decade: noise is not blown up to a landscape.
                let room = (0.34 - (high / low).log10()).max(0.12) / 2.0;
                (low * 10_f64.powf(-room), high * 10_f64.powf(room))
            }
        };
        Self { scale, low, high, places }
    }

    /// A linear axis with these ends.
    pub(super) const fn exactly(low: f64, high: f64, places: (i32, i32)) -> Self {
        Self { scale: Scale::Linear, low, high, places }
    }

    /// Where a value lies; beyond the ends on them.
    pub(super) fn place(&self, value: f64) -> i32 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
        };
        let (from, to) = (f64::from(self.places.0), f64::from(self.places.1));
        (from + (to - from) * share.clamp(0.0, 1.0)).round() as i32
    }

    /// Whether a value is on it.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Round numbers, about as many as fit.
    pub(super) fn ticks(&self, wanted: usize) -> Vec<f64> {
        match self.scale {
            Scale::Linear => {
                let rough = (self.high - self.low) / wanted.max(1) as f64;
                let power = 10_f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0]
                    .map(|digit| digit * power)
                    .into_iter()
                    .find(|step| *step >= rough * 0.999)
                    .unwrap_or(10.0 * power);
                let (first, last) = ((self.low / step).ceil() as i64, (self.high / step).floor() as i64);
                (first..=last).map(|i| i as f64 * step).collect()
            }
            Scale::Log => {
                let decades = (self.high / self.low).log10();
                let digits: &[f64] =
                    if decades * 3.0 <= wanted as f64 * 1.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
                let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
                let every = ((decades / wanted.max(1) as f64).ceil() as i32).max(1);
                let powers = (first..=last).filter(|power| power.rem_euclid(every) == 0);
                powers
                    .flat_map(|power| digits.iter().map(move |digit| digit * 10_f64.powi(power)))
                    .filter(|tick| self.holds(*tick))
                    .collect()
            }
        }
    }
}

/// Logarithmic where values above 0 span more than this ratio.
const LOG_FROM_RATIO: f64 = 20.0;

/// The scale that shows these values best.
pub(super) fn scale_for(values: impl IntoIterator<Item = f64>) -> Scale {
    let (low, high) = values
        .into_iter()
        .fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), value| (low.min(value), high.max(value)));
    if low > 0.0 && high / low > LOG_FROM_RATIO { Scale::Log } else { Scale::Linear }
}

/// How wide a label is at most.
pub(super) fn label_width<S: AsRef<str>>(labels: impl IntoIterator<Item = S>) -> i32 {
    let chars = labels.into_iter().map(|label| shortened(label.as_ref()).chars().count()).max().unwrap_or(0);
    (CHAR_WIDTH * chars as u32) as i32
}

/// A label that fits.
pub(super) fn shortened(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS_MAX {
        return label.to_owned();
    }
    label.chars().take(LABEL_CHARS_MAX - 1).chain(['…']).collect()
}

/// A finished drawing: markup to stand inside a page, with its title and its description for those who cannot see it.
pub(super) fn drawing(
    (title, description): (&str, &str),
    height: u32,
    draw: impl FnOnce(&Root) -> Drawn,
) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        draw(&root)?;
        root.present()?;
    }
    let head_end = svg.find('>').map_or(0, |end| end + 1);
    let drawn = with_classes(&svg[head_end..]);
    Ok(format!(
        "<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<title>{}</title>\n<desc>{}</desc>\n{drawn}",
        escaped(title),
        escaped(description)
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The drawing with classes for colours. The backend escapes quotes in text, so what is replaced is never a label.
fn with_classes(svg: &str) -> String {
    let mut text = String::with_capacity(svg.len());
    for (i, part) in svg.split("=\"#0").enumerate() {
        if i == 0 {
            text.push_str(part);
            continue;
        }
        // Every colour of ours has a first byte below 16, and ends with its quote.
        let Some((colour, rest)) = part.split_once('"') else {
            text.push_str("=\"#0");
            text.push_str(part);
            continue;
        };
        let what = if text.ends_with("fill") { "fill" } else { "stroke" };
        text.truncate(text.len() - what.len());
        text.push_str(&look(what, colour));
        text.push_str(rest);
    }
    text
}

/// The attributes instead of `fill="#0…"`, given what follows the zero.
fn look(what: &str, colour: &str) -> String {
    let number = u32::from_str_radix(colour, 16).unwrap_or(0x20000);
    let index = (number & 0xffff) as usize;
    let plain = |name: &str, opacity: &str| format!("{what}=\"{name}\" {what}-opacity=\"{opacity}\"");
    let (i, dash) = (index % COLOURS.len(), DASHES[index % DASHES.len()]);
    let class = if what == "fill" { "label" } else { "curve" };
    let series = format!("class=\"{class}-{i}\" {what}=\"{}\"", COLOURS[i]);
    match (number >> 16, index) {
        (1, _) if what == "stroke" => format!("{series} stroke-dasharray=\"{dash}\""),
        (1 | 3, _) => series,
        (_, 1) => plain("currentColor", "0.6"),
        (_, 2) => plain("currentColor", "0.16"),
        (_, 3) => plain("currentColor", "0.1"),
        (_, 4) => format!("class=\"paper\" {what}=\"#ffffff\""),
        (_, _) => plain("currentColor", "1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round_numbers_on_the_axis() {
        let axis = Axis::over(Scale::Linear, [0.0, 950.0], (0, 800));
        assert_eq!(axis.ticks(5), [0.0, 200.0, 400.0, 600.0, 800.0]);
        let axis = Axis::over(Scale::Log, [0.4, 90.0], (0, 800));
        assert_eq!(axis.ticks(8), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        let axis = Axis::over(Scale::Log, [1e-6, 1e6], (0, 800));
        assert!(axis.ticks(6).len() <= 7, "{:?}", axis.ticks(6));
    }

    #[test]
    fn an_axis_of_nothing_or_of_one_value_is_an_axis() {
        for scale in [Scale::Linear, Scale::Log] {
            for values in [vec![], vec![5.0, 5.0], vec![0.0], vec![f64::NAN]] {
                let axis = Axis::over(scale, values, (0, 100));
                assert!((0..=100).contains(&axis.place(5.0)) && !axis.ticks(5).is_empty(), "{axis:?}");
            }
        }
    }

    #[test]
    fn a_colour_becomes_a_class_and_a_label_stays_a_label() {
        let svg = drawing(("t <", "d"), 100, |root| {
            text(root, (1, 1), "<script>stroke=\"#010000\"", (solid(1), Align::Left, Weight::Bold))?;
            line(root, (1, 1), (2, 2), dashed(8), 3)?;
            area(root, (1, 1), (2, 2), PAPER)
        })
        .unwrap();
        assert!(!svg.contains("<script") && svg.contains("stroke=&quot;#010000"), "{svg}");
        assert!(svg.contains("class=\"label-1\" fill=\"#b84300\"") && svg.contains("<title>t &lt;</title>"));
        assert!(svg.contains("class=\"curve-2\" stroke=\"#00795a\" stroke-dasharray=\"22 8\""), "{svg}");
        assert!(svg.contains("class=\"paper\" fill=\"#ffffff\"") && !svg.contains("=\"#01"), "{svg}");
    }

    #[test]
    fn a_long_label_is_shortened() {
        assert_eq!(shortened("websocket (actor)"), "websocket (actor)");
        assert_eq!(shortened(&"ü".repeat(50)), "ü".repeat(39) + "…");
    }

    proptest! {
        #[test]
        fn every_value_has_a_place_on_the_drawing(value in -1e9..1e9_f64, other in -1e9..1e9_f64) {
            for scale in [Scale::Linear, Scale::Log] {
                let axis = Axis::over(scale, [value, other], (100, 900));
                prop_assert!((100..=900).contains(&axis.place(value)));
            }
        }
    }
}
