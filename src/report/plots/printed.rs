//! Printed figures overlaid on ours: how far each is from 1, the printed number.
//!
//! Only a folder of a reproduction has this plot. A figure that the source does not print is held against its prediction
//! instead.

use plotters::prelude::*;
use wirelab_clients::wire::Transport;

use super::canvas::{
    AXIS, Align, Axis, BAND, Drawn, INK, PAPER, PlotError, Root, WIDTH, Weight, area, drawing, line,
    scale_for, series_of, solid, text,
};
use super::frame::{Frame, Said};
use super::{Data, Plot, Section};
use crate::report::reproductions::{Asks, Measured, Reproduced};
use crate::report::wording::{digits, list};

const ROW_HEIGHT: i32 = 116;
const TOP: i32 = 20;
const BOTTOM: i32 = 110;
/// Width of the room for the numbers beside the rows.
const NUMBERS_WIDTH: i32 = 560;

/// Row of the plot: a figure, and the number that is 1 on the axis.
struct PrintedRow<'a> {
    figure: &'a Measured,
    one: f64,
}

pub(super) fn figure(data: &Data) -> Result<Option<Plot>, PlotError> {
    let Some(reproduced) = Reproduced::of(data.folder) else { return Ok(None) };
    let rows: Vec<PrintedRow> = reproduced.figures.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let height = TOP + ROW_HEIGHT * rows.len() as i32 + BOTTOM;
    let frame = Frame { left: 20, right: WIDTH as i32 - NUMBERS_WIDTH, top: TOP, bottom: height - BOTTOM };
    let values: Vec<f64> = rows.iter().flat_map(shown).chain([1.0]).filter(|value| *value > 0.0).collect();
    let axis = Axis::over(scale_for(values.iter().copied()), values, (frame.left + 20, frame.right - 20));
    let told: Vec<String> = rows.iter().map(numbers).collect();
    let description = rows.iter().zip(&told).map(|(row, numbers)| format!("{}: {numbers}", row.figure.what));
    let description = format!("{}.", list(&description.collect::<Vec<_>>()));
    let svg = drawing(("Measured over printed", &description), height as u32, |root| {
        frame.columns(root, &Said::numbers(&axis, 7, "measured / printed"))?;
        for (i, (row, numbers)) in rows.iter().zip(&told).enumerate() {
            draw(root, &frame, &axis, TOP + ROW_HEIGHT * i as i32, (row, numbers))?;
        }
        let one = axis.place(1.0);
        line(root, (one, frame.top), (one, frame.bottom), AXIS, 3)
    })?;
    let caption = "Each row is a printed figure; the line at 1 is the printed number, or the prediction where a law alone is \
                   printed. The dot is ours, the median over runs; the bar is its 95 % interval (the range under six runs), \
                   thin strokes are single runs. The hollow square is what the law predicts here. The grey band is what \
                   agrees."
        .to_owned();
    let left_out = reproduced.figures.iter().filter(|figure| row(figure).is_none()).map(|figure| figure.what);
    let left_out: Vec<&str> = left_out.collect();
    let remark = format!(
        "Not drawn, because it is not measured or has no number to stand beside: {}",
        list(&left_out)
    );
    let remarks = if left_out.is_empty() { Vec::new() } else { vec![remark] };
    Ok(Some(Plot { name: "printed", section: Section::Printed, drawings: vec![svg], caption, remarks }))
}

fn row(figure: &Measured) -> Option<PrintedRow<'_>> {
    figure.value?;
    let one = figure.printed_here().or(figure.predicted).filter(|one| *one > 0.0)?;
    Some(PrintedRow { figure, one })
}

/// Returns what the row shows, over its 1.
fn shown(row: &PrintedRow) -> Vec<f64> {
    let Measured { points, predicted, .. } = row.figure;
    let (low, high) = spread(row.figure);
    let numbers = points.iter().map(|point| point.ours).chain(*predicted).chain([low, high]);
    let band = match row.figure.asks {
        // The other bands have an end that is no number to show.
        Asks::Law { .. } | Asks::Constant { .. } => band(row),
        Asks::Below { .. } | Asks::Above { .. } | Asks::Nothing => None,
    };
    let band = band.into_iter().flat_map(|(low, high)| [low, high]);
    numbers.map(|number| number / row.one).chain(band).collect()
}

/// Returns the ends of the bar: the interval, or the range of the points where there is none.
fn spread(figure: &Measured) -> (f64, f64) {
    match figure.interval {
        Some(interval) => (interval.low, interval.high),
        None => figure
            .points
            .iter()
            .map(|point| point.ours)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), ours| (low.min(ours), high.max(ours))),
    }
}

/// Returns the printed number and ours, as the row's text.
fn numbers(row: &PrintedRow) -> String {
    let Measured { value, unit, predicted, .. } = row.figure;
    let ours = value.map_or(String::new(), digits);
    match (row.figure.printed_here(), predicted) {
        (Some(printed), _) => format!("printed {}, ours {ours} {unit}", digits(printed)),
        (None, Some(predicted)) => format!("law {}, ours {ours} {unit}", digits(*predicted)),
        (None, None) => format!("ours {ours} {unit}"),
    }
}

/// Returns what agrees, over the row's 1.
fn band(row: &PrintedRow) -> Option<(f64, f64)> {
    let around = |middle: f64, within: f64| (middle * (1.0 - within), middle * (1.0 + within));
    match row.figure.asks {
        Asks::Constant { within } => Some(around(1.0, within)),
        Asks::Law { within } => Some(around(row.figure.predicted? / row.one, within)),
        Asks::Below { limit } => Some((0.0, limit / row.one)),
        Asks::Above { limit } => Some((limit / row.one, f64::INFINITY)),
        Asks::Nothing => None,
    }
}

fn draw(root: &Root, frame: &Frame, axis: &Axis, top: i32, (row, numbers): (&PrintedRow, &str)) -> Drawn {
    let (y, colour) = (top + 78, solid(series_of(Transport::ShortPoll, 0)));
    if let Some((low, high)) = band(row) {
        area(root, (axis.place(low), y - 26), (axis.place(high), y + 26), BAND)?;
    }
    text(root, (frame.left + 20, top + 28), row.figure.what, (INK, Align::Left, Weight::Bold))?;
    text(root, (frame.right + 24, y), numbers, (INK, Align::Left, Weight::Normal))?;
    if row.figure.points.len() > 1 {
        for point in &row.figure.points {
            let x = axis.place(point.ours / row.one);
            line(root, (x, y - 14), (x, y + 14), colour, 1)?;
        }
    }
    let (low, high) = spread(row.figure);
    line(root, (axis.place(low / row.one), y), (axis.place(high / row.one), y), colour, 6)?;
    if let Some(predicted) = row.figure.predicted {
        let x = axis.place(predicted / row.one);
        area(root, (x - 14, y - 14), (x + 14, y + 14), INK)?;
        area(root, (x - 10, y - 10), (x + 10, y + 10), PAPER)?;
    }
    if let Some(value) = row.figure.value {
        root.draw(&Circle::new((axis.place(value / row.one), y), 9, colour.filled()))?;
    }
    Ok(())
}
