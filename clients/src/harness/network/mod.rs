//! Faults and conditions of the network, one file each.
//!
//! A plan names at most one fault; the run injects it into its subscribers' connections. To add one: a file here, a
//! variant of [`Fault`], and the plan's key for it.

pub mod cut;

use std::sync::Arc;
use std::time::Instant;

use crate::meter::Meter;
use cut::{Cut, Injected};

/// What happens to the subscribers' connections during a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// They are cut.
    Cut(Cut),
}

impl Fault {
    /// The name in CSV files.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cut(_) => "cut",
        }
    }

    /// Begins at `start`, on the connections that count into `meters`.
    pub(crate) fn inject(&self, start: Instant, meters: Vec<Arc<Meter>>) -> Injected {
        match self {
            Self::Cut(cut) => cut.inject(start, meters),
        }
    }
}
