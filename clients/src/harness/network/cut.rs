//! A cut: every subscriber's connection ends at the same moment, at the client's end of the cable.
//!
//! Reads and writes fail as after a reset and the socket is closed, so the server notices at once (a cable that goes
//! silent is another fault). The cable works again right away. Every subscriber stays away for [`AWAY`], on every
//! transport and server: what is compared is what a server gives to who comes back, not whose client is in a hurry.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::meter::Meter;

/// How long a subscriber stays away after a cut, drawn for each: long enough that lines pass meanwhile.
pub const AWAY: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_millis(800);

/// When connections are cut, counted from the instant that due times count from. Increasing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// At these offsets.
    pub at: Vec<Duration>,
}

impl Cut {
    /// Cuts the connections of `meters` at its times.
    pub(super) async fn run(self, start: Instant, meters: Vec<Arc<Meter>>) {
        for offset in self.at {
            tokio::time::sleep_until((start + offset).into()).await;
            meters.iter().for_each(|meter| meter.cut());
        }
    }
}
