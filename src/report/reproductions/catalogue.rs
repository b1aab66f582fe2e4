//! The catalogue: which reproductions there are.
//!
//! To add one: a plan in `data/plans/`, a file in this folder, and a line in [`Reproduction::ALL`].

use super::reproduction::Reproduction;
use super::{cometd_batching, first_byte, fleet_polling, lubbers2010, rfc6202, vandevyvere2020, wrk2_freeze};

/// Names that an error offers to a caller who misspelt one.
const NEAREST_MAX: usize = 3;

/// Error of a name that no reproduction has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown reproduction {given:?}; the nearest are {}. `wirelab reproduce` lists them all",
    nearest.join(", ")
)]
pub struct UnknownReproduction {
    given: String,
    /// Names of similar reproductions, the most similar first.
    nearest: Vec<&'static str>,
}

impl Reproduction {
    /// Every reproduction, in the order of the list.
    pub const ALL: [&'static Self; 7] = [
        &lubbers2010::REPRODUCTION,
        &rfc6202::REPRODUCTION,
        &wrk2_freeze::REPRODUCTION,
        &vandevyvere2020::REPRODUCTION,
        &cometd_batching::REPRODUCTION,
        &fleet_polling::REPRODUCTION,
        &first_byte::REPRODUCTION,
    ];

    /// Finds a reproduction by its name.
    pub fn named(given: &str) -> Result<&'static Self, UnknownReproduction> {
        Self::of_plan(given).ok_or_else(|| {
            let likeness = |name: &str| strsim::jaro_winkler(name, given);
            let mut nearest = Self::ALL.map(|known| known.name).to_vec();
            nearest.sort_by(|one, other| likeness(other).total_cmp(&likeness(one)));
            nearest.truncate(NEAREST_MAX);
            UnknownReproduction { given: given.to_owned(), nearest }
        })
    }

    /// Finds the reproduction whose runs a plan of this name makes.
    pub(super) fn of_plan(name: &str) -> Option<&'static Self> {
        Self::ALL.into_iter().find(|known| known.name == name)
    }
}
