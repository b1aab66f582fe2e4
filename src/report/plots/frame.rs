//! The frame of a plot: grid, tick labels and names of the axes, all upright.

use super::canvas::{
    AXIS, Align, Axis, Drawn, GRID, INK, LINE_HEIGHT, Point, Root, Weight, area, line, solid, text,
};
use crate::report::wording::plain;

/// Frame around the marks of a plot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) left: i32,
    pub(super) right: i32,
    pub(super) top: i32,
    pub(super) bottom: i32,
}

/// Text of an axis: its name, and its ticks with their labels.
pub(super) struct Said<'a> {
    pub(super) axis: &'a Axis,
    pub(super) ticks: Vec<(f64, String)>,
    pub(super) name: &'a str,
}

impl<'a> Said<'a> {
    /// Returns an axis text with round numbers as ticks, about `wanted` of them.
    pub(super) fn numbers(axis: &'a Axis, wanted: usize, name: &'a str) -> Self {
        let ticks = axis.ticks(wanted).into_iter().map(|tick| (tick, plain(tick))).collect();
        Self { axis, ticks, name }
    }
}

impl Frame {
    /// Draws both axes; the vertical one is named above its upper end.
    pub(super) fn draw(&self, root: &Root, x: &Said, y: &Said) -> Drawn {
        self.columns(root, x)?;
        for (tick, label) in &y.ticks {
            let at = y.axis.place(*tick);
            line(root, (self.left, at), (self.right, at), GRID, 2)?;
            text(root, (self.left - 14, at), label, (INK, Align::Right, Weight::Normal))?;
        }
        line(root, (self.left, self.top), (self.left, self.bottom), AXIS, 2)?;
        text(root, (self.left - 130, self.top - 34), y.name, (INK, Align::Left, Weight::Bold))
    }

    /// Draws the horizontal axis alone, below the marks, with grid lines through all rows.
    pub(super) fn columns(&self, root: &Root, x: &Said) -> Drawn {
        for (tick, label) in &x.ticks {
            let at = x.axis.place(*tick);
            line(root, (at, self.top), (at, self.bottom), GRID, 2)?;
            text(root, (at, self.bottom + 30), label, (INK, Align::Centre, Weight::Normal))?;
        }
        line(root, (self.left, self.bottom), (self.right, self.bottom), AXIS, 2)?;
        let middle = (self.left + self.right) / 2;
        text(root, (middle, self.bottom + 30 + LINE_HEIGHT), x.name, (INK, Align::Centre, Weight::Bold))
    }
}

/// Sample of a series in front of its label in a legend.
#[derive(Debug, Clone, Copy)]
pub(super) enum LegendSample {
    /// Line in the look of this series.
    Line(usize),
    /// Filled square in the colour of this layer of bytes.
    Layer(usize),
}

/// Draws labels in rows from the left, each behind its sample. Returns the height of the legend.
pub(super) fn legend(
    root: &Root,
    at: Point,
    right: i32,
    entries: &[(LegendSample, String)],
) -> Result<i32, super::PlotError> {
    let (mut x, mut y) = at;
    for (sample, label) in entries {
        let width = 100 + super::canvas::label_width([label]) + 30;
        if x + width > right && x > at.0 {
            (x, y) = (at.0, y + LINE_HEIGHT + 6);
        }
        let colour = match sample {
            LegendSample::Line(series) => {
                line(root, (x, y), (x + 84, y), super::canvas::dashed(*series), 6)?;
                solid(*series)
            }
            LegendSample::Layer(layer) => {
                area(root, (x + 52, y - 14), (x + 84, y + 14), super::canvas::layer(*layer))?;
                INK
            }
        };
        let label = super::canvas::shortened(label);
        text(root, (x + 98, y), &label, (colour, Align::Left, Weight::Bold))?;
        x += width;
    }
    Ok(y - at.1 + LINE_HEIGHT)
}

/// Returns the height of a legend.
pub(super) fn legend_height(left: i32, right: i32, entries: &[String]) -> i32 {
    let (mut x, mut rows) = (left, 1);
    for label in entries {
        let width = 100 + super::canvas::label_width([label]) + 30;
        if x + width > right && x > left {
            (x, rows) = (left, rows + 1);
        }
        x += width;
    }
    rows * (LINE_HEIGHT + 6)
}
