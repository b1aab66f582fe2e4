//! Bytes per delivered line, stacked by layer: log text, framing and headers, IP and TCP, link.

use super::canvas::{
    Align, Axis, Drawn, INK, PlotError, Root, Scale, WIDTH, Weight, area, drawing, hatched, label_width,
    layer, shortened, text,
};
use super::frame::{Frame, LegendSample, Said, legend, legend_height};
use super::{Data, LACKING, Plot, Section, not_drawn};
use crate::report::aggregate::Group;
use crate::report::figures::Figure;
use crate::report::wording::digits;

const ROW_HEIGHT: i32 = 62;
const BOTTOM: i32 = 110;
const NUMBERS_WIDTH: i32 = 180;

/// Layers of bytes, from the inside out.
const LAYERS: [(Figure, &str); 4] = [
    (Figure::AppBytes, "log text (app)"),
    (Figure::L7Bytes, "+ requests, headers, framing (l7)"),
    (Figure::IpBytes, "+ IP and TCP (ip)"),
    (Figure::WireBytes, "+ link (wire)"),
];

/// Row of the plot: its layers from the inside out, each with the sum up to it.
struct LayerRow<'g, 'a> {
    group: &'g Group<'a>,
    reaches: Vec<(usize, f64)>,
    /// Bytes of log text, if they exceed what went through the sockets.
    compressed: Option<f64>,
}

pub(super) fn figure(data: &Data) -> Result<Option<Plot>, PlotError> {
    let rows: Vec<LayerRow> = data.aggregate.groups.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let reach = |row: &LayerRow| row.reaches.last().map_or(0.0, |(_, bytes)| *bytes);
    let left = label_width(rows.iter().map(|row| row.group.label_in_plots())) + 20;
    let mut layers: Vec<usize> = rows.iter().flat_map(|row| row.reaches.iter().map(|(i, _)| *i)).collect();
    layers.sort_unstable();
    layers.dedup();
    let entries: Vec<_> = layers.iter().map(|i| (LegendSample::Layer(*i), LAYERS[*i].1.to_owned())).collect();
    let names: Vec<String> = entries.iter().map(|(_, name)| name.clone()).collect();
    let top = 24 + legend_height(0, WIDTH as i32, &names);
    let height = top + ROW_HEIGHT * rows.len() as i32 + BOTTOM;
    let frame = Frame { left, right: WIDTH as i32 - NUMBERS_WIDTH, top, bottom: height - BOTTOM };
    let axis = Axis::over(Scale::Linear, rows.iter().map(reach).chain([0.0]), (frame.left, frame.right));
    let told = rows.iter().map(|row| format!("{}: {} bytes", row.group.label, digits(reach(row))));
    let description = told.collect::<Vec<_>>().join("; ");
    let svg = drawing(("Bytes per line by layer", &description), height as u32, |root| {
        legend(root, (0, 28), WIDTH as i32, &entries)?;
        frame.columns(root, &Said::numbers(&axis, 8, "bytes per delivered line"))?;
        for (i, row) in rows.iter().enumerate() {
            draw(root, &frame, &axis, top + ROW_HEIGHT * i as i32 + ROW_HEIGHT / 2, row)?;
        }
        Ok(())
    })?;
    let missing = LAYERS.iter().enumerate().filter(|(i, _)| !layers.contains(i)).map(|(_, (_, name))| *name);
    let missing: Vec<&str> = missing.collect();
    let has = |group: &Group| group.shown(Figure::L7Bytes).is_some();
    let mut remarks: Vec<String> = not_drawn(&data.aggregate.groups, LACKING, has).into_iter().collect();
    if !missing.is_empty() {
        let names = missing.iter().map(|name| name.trim_start_matches("+ ")).collect::<Vec<_>>().join(", ");
        remarks.push(format!("Not drawn, as not measured or compressed: {names}"));
    }
    for row in &rows {
        if let Some(app) = row.compressed {
            let text = format!(
                "{}: the log text is {} bytes per line, more than went through the sockets, as it was compressed",
                row.group.label,
                digits(app)
            );
            remarks.push(text);
        }
    }
    let caption = "Bytes per delivered line, both directions, median over runs; shorter is better. Each layer adds to the \
                   one inside it: the text of the log, what the transport wraps around it, and what the network adds. The \
                   number is the sum."
        .to_owned();
    Ok(Some(Plot { name: "layers", section: Section::Cost, drawings: vec![svg], caption, remarks }))
}

fn row<'g, 'a>(group: &'g Group<'a>) -> Option<LayerRow<'g, 'a>> {
    let bytes = |of: Figure| group.shown(of).map(|summary| summary.median);
    let l7 = bytes(Figure::L7Bytes)?;
    let compressed = bytes(Figure::AppBytes).filter(|app| *app > l7);
    let mut reaches = Vec::new();
    for (i, (of, _)) in LAYERS.into_iter().enumerate() {
        let is_inside = |bytes: &f64| of != Figure::AppBytes || *bytes <= l7;
        if let Some(bytes) = bytes(of).filter(is_inside) {
            reaches.push((i, bytes));
        }
    }
    Some(LayerRow { group, reaches, compressed })
}

fn draw(root: &Root, frame: &Frame, axis: &Axis, y: i32, row: &LayerRow) -> Drawn {
    text(
        root,
        (frame.left - 14, y),
        &shortened(&row.group.label_in_plots()),
        (INK, Align::Right, Weight::Bold),
    )?;
    let mut from = 0.0;
    for (layer, reach) in &row.reaches {
        let (a, b) = ((axis.place(from), y - 20), (axis.place(*reach), y + 20));
        // A hairline of the ground between two layers tells them apart without colour.
        if row.group.is_believed() {
            area(root, a, (b.0.max(a.0), b.1), self::layer(*layer))?;
            area(root, (b.0 - 1, a.1), (b.0, b.1), super::canvas::PAPER)?;
        } else {
            hatched(root, a, b, self::layer(*layer))?;
        }
        from = *reach;
    }
    let number = digits(from);
    text(root, (axis.place(from) + 14, y), &number, (INK, Align::Left, Weight::Normal))?;
    Ok(())
}
