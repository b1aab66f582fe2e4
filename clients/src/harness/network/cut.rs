//! A cut: every subscriber's connection ends at the same moment, at the client's end of the cable.
//!
//! Reads and writes fail as after a reset and the socket is closed, so the server notices at once (a cable that goes
//! silent is another fault). The cable works again right away. Every subscriber stays away for [`AWAY`], on every
//! transport and server. So runs compare what a server gives to a client that comes back, not which client is in a
//! hurry.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::meter::Meter;

/// Time that a subscriber stays away after a cut, drawn for each: long enough that lines pass meanwhile.
pub const AWAY: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_millis(800);

/// Fault that cuts connections at given times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Times of the cuts, increasing, counted as due times are.
    pub at: Vec<Duration>,
}

impl Cut {
    /// Cuts the connections of `meters` at the given times.
    pub(super) async fn run(self, start: Instant, meters: Vec<Arc<Meter>>) {
        for offset in self.at {
            tokio::time::sleep_until((start + offset).into()).await;
            meters.iter().for_each(|meter| meter.cut());
        }
    }
}
