//! Theory residuals: how far each prediction was off, beside the band of its tolerance.

use plotters::prelude::*;
use wirelab_clients::harness::rows::TheoryRow;
use wirelab_clients::harness::run_result::TheoryVerdict;

use super::canvas::{
    Align, Axis, BAND, Drawn, INK, PlotError, Root, WIDTH, Weight, area, drawing, label_width, line,
    series_of, shortened, solid, text,
};
use super::frame::{Frame, Said};
use super::{Data, INVALID, Plot, Section, not_drawn};
use crate::report::wording::{counted, percent_signed};

/// Most rows of one drawing; of more rows, those with the largest residuals are drawn.
const ROWS_MAX: usize = 48;
const ROW_HEIGHT: i32 = 46;
const TOP: i32 = 30;
const BOTTOM: i32 = 110;
const NUMBERS_WIDTH: i32 = 210;
/// Least and largest reach of the axis: ±10 % and ±100 %. A residual beyond its end is placed at the end, with its
/// number.
const REACH: (f64, f64) = (0.1, 1.0);

/// One prediction of one group, with its runs.
struct ResidualRow<'a> {
    series: usize,
    group: String,
    label: String,
    runs: Vec<&'a TheoryRow>,
}

impl ResidualRow<'_> {
    fn residuals(&self) -> impl Iterator<Item = (&TheoryRow, f64)> {
        self.runs.iter().filter_map(|row| Some((*row, row.residual_ratio?)))
    }

    fn worst(&self) -> f64 {
        self.residuals()
            .map(|(_, residual)| residual)
            .max_by(|a, b| a.abs().total_cmp(&b.abs()))
            .unwrap_or(0.0)
    }

    fn tolerance(&self) -> Option<f64> {
        self.runs.iter().find_map(|row| row.tolerance_ratio)
    }
}

pub(super) fn figure(data: &Data) -> Result<Option<Plot>, PlotError> {
    let mut rows = rows(data);
    if rows.is_empty() {
        return Ok(None);
    }
    let all = rows.len();
    let mut remarks: Vec<String> =
        not_drawn(&data.aggregate.groups, INVALID, |group| group.is_believed()).into_iter().collect();
    let not_judged = data.folder.rows.theory.iter().filter(|row| !row.is_judged()).count();
    if not_judged > 0 {
        let predictions = counted(not_judged, "prediction", "predictions");
        remarks.push(format!(
            "{predictions} not judged and not drawn: a run broke an assumption of the formula, or the figure is only \
             reported; theory.csv has them all"
        ));
    }
    if all > ROWS_MAX {
        let mut sizes: Vec<f64> = rows.iter().map(|row| row.worst().abs()).collect();
        sizes.sort_by(|a, b| b.total_cmp(a));
        rows.retain(|row| row.worst().abs() >= sizes[ROWS_MAX - 1]);
        rows.truncate(ROWS_MAX);
        remarks.push(format!(
            "{ROWS_MAX} of {all} predictions are drawn, those furthest off; the table has all"
        ));
    }
    let reach = rows
        .iter()
        .flat_map(|row| [row.worst().abs() * 1.1, row.tolerance().unwrap_or(0.0) * 1.5])
        .fold(REACH.0, f64::max)
        .min(REACH.1);
    let labels = rows.iter().map(|row| &row.label).chain(rows.iter().map(|row| &row.group));
    let left = label_width(labels) + 20;
    let groups_count = rows.chunk_by(|a, b| a.group == b.group).count();
    let height = TOP + ROW_HEIGHT * (rows.len() + groups_count) as i32 + BOTTOM;
    let frame = Frame { left, right: WIDTH as i32 - NUMBERS_WIDTH, top: TOP, bottom: height - BOTTOM };
    let axis = Axis::exactly(-reach, reach, (frame.left, frame.right));
    let description = format!(
        "{}, between {} and {}.",
        counted(rows.len(), "prediction", "predictions"),
        percent_signed(-reach),
        percent_signed(reach)
    );
    let svg = drawing(("Theory residuals", &description), height as u32, |root| {
        let ticks = axis.ticks(8).into_iter().map(|tick| (tick, percent_signed(tick))).collect();
        frame.columns(root, &Said { axis: &axis, ticks, name: "measured / predicted − 1" })?;
        line(root, (axis.place(0.0), frame.top), (axis.place(0.0), frame.bottom), INK, 2)?;
        let mut y = TOP + ROW_HEIGHT / 2;
        for of_group in rows.chunk_by(|a, b| a.group == b.group) {
            let look = (solid(of_group[0].series), Align::Right, Weight::Bold);
            text(root, (left - 14, y), &shortened(&of_group[0].group), look)?;
            y += ROW_HEIGHT;
            for row in of_group {
                draw(root, &frame, &axis, y, row)?;
                y += ROW_HEIGHT;
            }
        }
        Ok(())
    })?;
    let caption = "How far the measured figure was from the predicted one, in percent of the prediction; a dot per valid \
                   run, 0 is a hit. The shaded band is the tolerance. A dot at the edge lies beyond it; the number is the \
                   worst of the row."
        .to_owned();
    Ok(Some(Plot { name: "theory", section: Section::Theory, drawings: vec![svg], caption, remarks }))
}

fn rows<'a>(data: &Data<'a>) -> Vec<ResidualRow<'a>> {
    let theory = &data.folder.rows.theory;
    let mut rows: Vec<ResidualRow> = Vec::new();
    for group in &data.aggregate.groups {
        let series = series_of(group.transport, group.nth);
        let is_of = |row: &&TheoryRow| group.believed().any(|run| run.run_id == row.run_id);
        for row in theory.iter().filter(is_of).filter(|row| row.is_judged() && row.residual_ratio.is_some()) {
            let label = format!("{} {}", row.formula, row.quantity.replace('_', " "));
            match rows.iter_mut().find(|known| known.group == group.label && known.label == label) {
                Some(known) => known.runs.push(row),
                None => rows.push(ResidualRow { series, group: group.label.clone(), label, runs: vec![row] }),
            }
        }
    }
    rows
}

fn draw(root: &Root, frame: &Frame, axis: &Axis, y: i32, row: &ResidualRow) -> Drawn {
    if let Some(tolerance) = row.tolerance() {
        let half = ROW_HEIGHT / 2 - 2;
        area(root, (axis.place(-tolerance), y - half), (axis.place(tolerance), y + half), BAND)?;
    }
    text(root, (frame.left - 14, y), &shortened(&row.label), (INK, Align::Right, Weight::Normal))?;
    let mut is_missed = false;
    for (theory, residual) in row.residuals() {
        let at = (axis.place(residual), y);
        root.draw(&Circle::new(at, 9, solid(row.series).filled()))?;
        is_missed |= theory.verdict == TheoryVerdict::Fail;
    }
    let weight = if is_missed { Weight::Bold } else { Weight::Normal };
    let said = if is_missed { " ✗" } else { "" };
    let number = format!("{}{said}", percent_signed(row.worst()));
    text(root, (frame.right + 20, y), &number, (INK, Align::Left, weight))
}
