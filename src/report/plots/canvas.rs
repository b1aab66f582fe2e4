//! The canvas of every plot: axes, text, marks, and colours that the page can change.
//!
//! Plots are drawn by plotters' SVG backend. It has whole coordinates only, so plots are drawn at twice their size,
//! at which steps do not show. Colours become classes, so that dark screens and paper have their own. Without a style
//! sheet the colours are those for paper. Series differ by dashes or by place as well as by colour.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use wirelab_clients::wire::Transport;

/// Reason why a plot could not be drawn.
pub(in crate::report) type PlotError = Box<dyn Error + Send + Sync>;
/// Drawing area that plots are drawn on.
pub(super) type Root<'a> = DrawingArea<SVGBackend<'a>, Shift>;
/// Result of drawing.
pub(super) type Drawn = Result<(), PlotError>;
/// Place on the drawing: units from the left, units from the top.
pub(super) type Point = (i32, i32);

/// Width of every plot, in units of the drawing.
pub(super) const WIDTH: u32 = 1_840;
/// Height of letters, in units of the drawing.
pub(super) const TEXT_SIZE: f64 = 34.0;
/// Distance from one line of text to the next, in units of the drawing.
pub(super) const LINE_HEIGHT: i32 = 38;
/// Width of one bold character: about six tenths of its height in sans-serif fonts.
const CHAR_WIDTH: u32 = 21;
/// Most characters of a label; longer labels are cut.
const LABEL_CHARS_MAX: usize = 40;

/// Colours of series: those of the transports, in the order of [`Transport::ALL`], and one to spare. Seven dashes and six
/// colours are coprime, so that each of the 42 numbers of a series is another combination.
pub(super) const COLOURS: [&str; 6] = ["#0060a8", "#b84300", "#00795a", "#99407f", "#7a5c00", "#3d3d3d"];
pub(super) const DASHES: [&str; 7] = ["none", "22 8", "5 8", "22 8 5 8", "12 6", "30 8 5 8 5 8", "2 6"];

/// Colours of layers of bytes, from the inside out: a transport's colour would mean the transport.
pub(super) const LAYER_COLOURS: [&str; 4] = ["#33475b", "#6b8299", "#a3b5c6", "#d3dde6"];

const _: () = assert!(Transport::ALL.len() <= COLOURS.len(), "every transport has a colour of its own");

/// Placeholder colour of ink; replaced by a class afterwards.
pub(super) const INK: RGBColor = RGBColor(2, 0, 0);
pub(super) const AXIS: RGBColor = RGBColor(2, 0, 1);
pub(super) const GRID: RGBColor = RGBColor(2, 0, 2);
/// Placeholder colour of areas behind the marks.
pub(super) const BAND: RGBColor = RGBColor(2, 0, 3);
/// Placeholder colour of the ground, for hollow marks.
pub(super) const PAPER: RGBColor = RGBColor(2, 0, 4);

/// Returns the placeholder of series number `i`, with its dashes.
pub(super) const fn dashed(i: usize) -> RGBColor {
    RGBColor(1, (i / 256) as u8, (i % 256) as u8)
}

/// Returns the placeholder of series number `i`, colour only.
pub(super) const fn solid(i: usize) -> RGBColor {
    RGBColor(3, (i / 256) as u8, (i % 256) as u8)
}

/// Returns the placeholder of layer number `i`, from the inside out.
pub(super) const fn layer(i: usize) -> RGBColor {
    RGBColor(4, 0, i as u8)
}

/// Returns the number of a series, which decides its looks: the colour of its transport, whatever else is drawn, and
/// dashes that tell the first, second and further series of one transport apart.
pub(super) fn series_of(transport: Transport, nth: usize) -> usize {
    let colour = Transport::ALL.iter().position(|known| *known == transport).unwrap_or(0);
    let dash = nth % DASHES.len();
    let is_it = |series: &usize| series % COLOURS.len() == colour && series % DASHES.len() == dash;
    // The numbers of colours and dashes are coprime, so that there is exactly one.
    (0..COLOURS.len() * DASHES.len()).find(is_it).unwrap_or(colour)
}

/// Alignment of text to its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// The text begins at the place.
    Left,
    /// The middle of the text is at the place.
    Centre,
    /// The text ends at the place.
    Right,
}

/// Weight of letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weight {
    /// Weight of running text.
    Normal,
    /// Weight of labels.
    Bold,
}

/// Draws text whose middle line is at the height of its place.
pub(super) fn text(root: &Root, at: Point, what: &str, look: (RGBColor, Align, Weight)) -> Drawn {
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

/// Draws a straight line.
pub(super) fn line(root: &Root, from: Point, to: Point, colour: RGBColor, width: u32) -> Drawn {
    root.draw(&PathElement::new([from, to], colour.stroke_width(width)))?;
    Ok(())
}

/// Draws a filled rectangle.
pub(super) fn area(root: &Root, from: Point, to: Point, colour: RGBColor) -> Drawn {
    root.draw(&Rectangle::new([from, to], colour.filled()))?;
    Ok(())
}

/// Draws a rectangle of oblique lines, the mark of values that must not be used.
pub(super) fn hatched(root: &Root, from: Point, to: Point, colour: RGBColor) -> Drawn {
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

/// Scale that turns values into places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Equal steps for equal differences.
    Linear,
    /// Equal steps for equal ratios; values above 0 only.
    Log,
}

/// Axis: its values, its ticks and its position.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    /// Places of the low and the high end.
    places: (i32, i32),
}

impl Axis {
    /// Returns an axis between two places with room for these values. A logarithmic axis ignores values that are not
    /// above 0.
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
                // Spans at least a third of a decade, so that noise does not look like a large difference.
                let room = (0.34 - (high / low).log10()).max(0.12) / 2.0;
                (low * 10_f64.powf(-room), high * 10_f64.powf(room))
            }
        };
        Self { scale, low, high, places }
    }

    /// Returns a linear axis with these ends.
    pub(super) const fn exactly(low: f64, high: f64, places: (i32, i32)) -> Self {
        Self { scale: Scale::Linear, low, high, places }
    }

    /// Returns the place of a value; values beyond the ends are placed at the ends.
    pub(super) fn place(&self, value: f64) -> i32 {
        let share = match self.scale {
            Scale::Linear => (value - self.low) / (self.high - self.low),
            Scale::Log => (value.max(self.low) / self.low).log10() / (self.high / self.low).log10(),
        };
        let (from, to) = (f64::from(self.places.0), f64::from(self.places.1));
        (from + (to - from) * share.clamp(0.0, 1.0)).round() as i32
    }

    /// Tells whether a value lies on the axis.
    pub(super) fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// Returns round numbers on the axis, about `wanted` of them.
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

/// Ratio of the largest to the smallest value above 0 from which a scale is logarithmic.
const LOG_FROM_RATIO: f64 = 20.0;

/// Returns the scale that shows these values best.
pub(super) fn scale_for(values: impl IntoIterator<Item = f64>) -> Scale {
    let (low, high) = values
        .into_iter()
        .fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), value| (low.min(value), high.max(value)));
    if low > 0.0 && high / low > LOG_FROM_RATIO { Scale::Log } else { Scale::Linear }
}

/// Returns the largest width of a label.
pub(super) fn label_width<S: AsRef<str>>(labels: impl IntoIterator<Item = S>) -> i32 {
    let chars = labels.into_iter().map(|label| shortened(label.as_ref()).chars().count()).max().unwrap_or(0);
    (CHAR_WIDTH * chars as u32) as i32
}

/// Breaks a text at its blanks into lines of at most `width`; a longer word has a line of its own.
pub(super) fn wrapped(text: &str, width: i32) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if label_width([format!("{line} {word}")]) <= width => *line += &format!(" {word}"),
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Returns the label, cut if it is too long.
pub(super) fn shortened(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS_MAX {
        return label.to_owned();
    }
    label.chars().take(LABEL_CHARS_MAX - 1).chain(['…']).collect()
}

/// Returns a finished drawing as markup for a page, with a title and a description for readers who cannot see it.
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

/// Returns a drawing as the content of a file that needs no page around it. It has the looks of the page on paper.
pub(in crate::report) fn standing_alone(drawing: &str) -> String {
    let (head, rest) = drawing.split_once('>').expect("a drawing begins with its element");
    let (texts, marks) = rest.split_once("</desc>").expect("every drawing is described");
    let size = |text: &str| text.parse::<u32>().unwrap_or(WIDTH);
    let mut sizes = head.split(['"', ' ']).filter(|part| part.parse::<u32>().is_ok()).skip(2).map(size);
    let (width, height) = (sizes.next().unwrap_or(WIDTH), sizes.next().unwrap_or(WIDTH));
    let head = head.replacen(
        "<svg",
        &format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" color=\"#1b1b1b\"",
            width / 2,
            height / 2
        ),
        1,
    );
    let mut plain = String::with_capacity(marks.len());
    for (i, part) in marks.split("class=\"").enumerate() {
        // The backend escapes quotes in text, so no label is changed.
        plain.push_str(if i == 0 { part } else { part.split_once("\" ").map_or(part, |(_, rest)| rest) });
    }
    let ground = "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>";
    format!("{head}>{texts}</desc>\n{ground}{plain}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Replaces the placeholder colours by classes. The backend escapes quotes in text, so no label is changed.
fn with_classes(svg: &str) -> String {
    let mut text = String::with_capacity(svg.len());
    for (i, part) in svg.split("=\"#0").enumerate() {
        if i == 0 {
            text.push_str(part);
            continue;
        }
        // Every placeholder has a first byte below 16, and ends with its quote.
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

/// Returns the attributes that replace `fill="#0…"`, given what follows the zero.
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
        (4, _) => {
            let i = index % LAYER_COLOURS.len();
            format!("class=\"layer-{what}-{i}\" {what}=\"{}\"", LAYER_COLOURS[i])
        }
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
