//! Lines that find an idle server: how long each takes until it is seen, and until it is acknowledged.
//!
//! Calibrations publish them to streams and to held polls. They are so far apart that none waits for another.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Bench, CalibrationError};
use crate::harness::due_table::DueTable;
use crate::harness::link_check::Samples;
use crate::harness::publisher::{Append, Publication, Publisher, PublisherTarget};
use crate::harness::schedule::{Generated, Schedule};
use crate::harness::subscribers::{Expected, Subscribers};
use crate::harness::theory::spread::Spread;
use crate::latency::LatencyHistogram;
use crate::wire::{Status, Transport, Waits};
use crate::{Options, connect};

/// Lines appended to measure the time of an append. The mean of the 60 that count varies about an eighth as much as one
/// line. Fewer are enough where each must wait for a distance: what varies is small beside it.
const LINES: Samples = Samples { least: 8, most: 70, budget: Duration::from_millis(1_500) };
/// One of so many lines comes at the start, finds caches cold and is not counted.
const LINES_PER_COLD: usize = 7;
/// Time from one line to the next: so long that each finds an idle server.
const LINE_PERIOD: Duration = Duration::from_millis(4);
/// Bytes of a line, the default of plans.
const PAYLOAD_BYTES: usize = 100;
/// Time between the last connection and the first line, beside two round trips: a connection is counted before it has
/// crossed the link, and then its request crosses it.
const SETTLE: Duration = Duration::from_millis(20);
/// Time between two looks at a condition that is waited for.
const LOOK: Duration = Duration::from_millis(2);
/// Longest wait for the last line, beside a round trip.
const DRAIN: Duration = Duration::from_secs(2);

impl Bench {
    /// Publishes lines that find an idle server to this many subscribers.
    pub(super) async fn published(
        &mut self,
        transport: Transport,
        options: &Options,
        subscribers: u32,
    ) -> Result<LinesPublished, CalibrationError> {
        let target = self.deployment().await?;
        let path = format!("/api/deployments/{}/lines", target.deployment);
        let (options, followed) = (options.clone(), target.clone());
        // A poll that is to be held must have come back by the time of the next line.
        let period = match transport.waits() {
            Waits::ServerOnce => LINE_PERIOD + self.round_trip().mul_f64(1.5),
            Waits::Client | Waits::ServerForever => LINE_PERIOD,
        };
        let (count, rate_hz) = (LINES.count(period) as u32, 1.0 / period.as_secs_f64());
        let subscribers = Subscribers::start(subscribers, &self.laid.subscribers, move |meter| {
            connect(transport, followed.clone(), &options, meter)
        });
        while subscribers.connected_count() < subscribers.count() {
            tokio::time::sleep(LOOK).await;
        }
        let lines = Generated { rate_hz, duration: period * count, payload_bytes: PAYLOAD_BYTES };
        let lines: Arc<[_]> = Schedule::Periodic { lines }.lines().collect();
        let warm_up = period * (count / LINES_PER_COLD as u32).max(1);
        let start = Instant::now() + SETTLE + self.round_trip() * 2;
        let due = lines.iter().map(|(due, _)| *due).collect();
        let table = Arc::new(DueTable::new(start, due, warm_up));
        subscribers.expect(Arc::new(Expected { table, lines: lines.clone() }));
        let host = self.url.authority().to_owned();
        let (addr, route) = self.laid.to_server(self.addr).await?;
        let publisher = PublisherTarget { addr, route, host, append: Append::Contract { path } };
        let publisher = Publisher::start(publisher, Publication { lines, start, warm_up })?;
        while !publisher.is_finished() {
            tokio::time::sleep(LOOK).await;
        }
        let published = publisher.join();
        self.api.finish(&target.deployment, Status::Succeeded).await?;
        let outcome = subscribers.finish(DRAIN + self.round_trip()).await;
        Ok(LinesPublished { latency: outcome.delivery.latency, append: published.append })
    }
}

/// Times of lines that found an idle server.
pub(super) struct LinesPublished {
    /// Due time → receipt.
    latency: LatencyHistogram,
    /// Send → 201.
    append: LatencyHistogram,
}

impl LinesPublished {
    /// Returns due time → receipt over `transport`, s.
    pub(super) fn received(&self, transport: Transport) -> Result<Spread, CalibrationError> {
        let none = || CalibrationError::Exchange { transport, why: "no line arrived".to_owned() };
        spread_of(&self.latency).ok_or_else(none)
    }

    /// Returns send → 201, s.
    pub(super) fn acknowledged(&self) -> Result<Spread, CalibrationError> {
        let none = || io::Error::new(io::ErrorKind::UnexpectedEof, "no append was acknowledged");
        spread_of(&self.append).ok_or_else(|| none().into())
    }
}

/// Returns the samples of a histogram, s.
fn spread_of(latencies: &LatencyHistogram) -> Option<Spread> {
    let samples = latencies.histogram().iter_recorded().flat_map(|step| {
        let sample_s = step.value_iterated_to() as f64 / 1e6;
        std::iter::repeat_n(sample_s, step.count_at_value() as usize)
    });
    Spread::of(samples.collect())
}
