//! A reproduction: figures of a publication, where they were printed, and what differs in the set-up here.

use super::figure::Figure;

/// Publication that printed the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Authors, or the project that published it.
    pub authors: &'static str,
    /// Year of publication.
    pub year: u16,
    /// Title.
    pub title: &'static str,
    /// Section, and where to find it.
    pub place: &'static str,
}

impl Source {
    /// Returns the source as a line of a bibliography.
    pub fn cited(&self) -> String {
        format!("{}, {} ({}), {}", self.authors, self.title, self.year, self.place)
    }
}

/// Figures of a publication, and what is measured beside them.
#[derive(Debug)]
pub struct Reproduction {
    /// Name of the reproduction and of its plan.
    pub name: &'static str,
    /// Publication that printed the figures.
    pub source: Source,
    /// Law that the printed figures follow, in one sentence.
    pub law: &'static str,
    /// Differences between their set-up and ours, one sentence each.
    pub differs: &'static [&'static str],
    /// Returns the figures, in the order of the table.
    pub(super) figures: fn() -> Vec<Figure>,
}
