//! The plots of the report, one file each: SVG to stand inside a page.
//!
//! Pure: groups of runs in, markup out. Each plot comes as a [`Figure`] with a title, a description for those who cannot
//! see it, and a caption that says what to look for and in which unit. To add one: a file here and a line in [`all`].

mod canvas;
mod costs;
mod frame;
mod intervals;
mod labels;
mod layers;
mod over_time;
mod percentiles;
mod requests;
mod residuals;
mod sweep;

use super::aggregate::Aggregate;
use super::folder::Folder;
use super::sweep::Sweep;

pub(super) use canvas::PlotError;

/// One plot with what is said about it.
#[derive(Debug)]
pub(super) struct Figure {
    /// The section that it stands in.
    pub(super) section: Section,
    /// The drawing; more than one where it would be too crowded.
    pub(super) drawings: Vec<String>,
    /// What it shows, what to look for, and the unit.
    pub(super) caption: String,
    /// What it cannot show.
    pub(super) remarks: Vec<String>,
}

/// Where a plot stands on the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// How late do lines arrive?
    Latency,
    /// What does a factor do?
    Sweep,
    /// What does each cost?
    Cost,
    /// How does it go over time?
    Time,
    /// Does theory hold?
    Theory,
}

/// Everything that the plots are made of.
pub(super) struct Data<'a> {
    pub(super) folder: &'a Folder,
    pub(super) aggregate: &'a Aggregate<'a>,
    pub(super) sweep: Option<&'a Sweep<'a>>,
}

/// Every plot that the folder has the figures for, in the order of the page.
pub(super) fn all(data: &Data) -> Result<Vec<Figure>, PlotError> {
    let plots = [
        intervals::figure,
        percentiles::figure,
        sweep::figure,
        requests::figure,
        layers::figure,
        costs::figure,
        over_time::figure,
        residuals::figure,
    ];
    let mut figures = Vec::new();
    for plot in plots {
        figures.extend(plot(data)?);
    }
    Ok(figures)
}
