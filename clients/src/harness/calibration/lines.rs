//! Lines that find an idle server: how long each takes until it is seen, and until it is acknowledged.
//!
//! Calibrations publish them to streams and to held polls. They are so far apart that none waits for another. Publisher
//! and readers stand beside the server: what a link takes is known from its configuration, and a slow one would queue.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Bench, CalibrationError};
use crate::harness::due_table::DueTable;
use crate::harness::publisher::{Append, Publication, Publisher, PublisherTarget};
use crate::harness::schedule::{Generated, Schedule};
use crate::harness::subscribers::{Expected, Subscribers};
use crate::harness::theory::spread::Spread;
use crate::latency::LatencyHistogram;
use crate::wire::{Status, Transport};
use crate::{Options, connect};

/// Lines appended to measure the time of an append. The mean of the 60 that count varies about an eighth as much as one
/// line.
const LINES: u32 = 70;
/// Lines at the start that find caches cold and are not counted.
const COLD: u32 = 10;
/// Time from one line to the next: so long that each finds an idle server.
const LINE_PERIOD: Duration = Duration::from_millis(4);
/// Bytes of a line, the default of plans.
const PAYLOAD_BYTES: usize = 100;
/// Time between the last connection and the first line: a connection is counted before its request has arrived.
const SETTLE: Duration = Duration::from_millis(20);
/// Time between two looks at a condition that is waited for.
const LOOK: Duration = Duration::from_millis(2);
/// Longest wait for the last line.
const DRAIN: Duration = Duration::from_secs(2);

impl Bench {
    /// Publishes lines that find an idle server to this many subscribers beside it.
    pub(super) async fn published(
        &mut self,
        transport: Transport,
        options: &Options,
        subscribers: u32,
    ) -> Result<LinesPublished, CalibrationError> {
        let target = self.deployment().await?;
        let path = format!("/api/deployments/{}/lines", target.deployment);
        let (options, followed) = (options.clone(), target.clone());
        let subscribers = Subscribers::start(subscribers, &self.laid.beside, move |meter| {
            connect(transport, followed.clone(), &options, meter)
        });
        while subscribers.connected_count() < subscribers.count() {
            tokio::time::sleep(LOOK).await;
        }
        let rate_hz = 1.0 / LINE_PERIOD.as_secs_f64();
        let lines = Generated { rate_hz, duration: LINE_PERIOD * LINES, payload_bytes: PAYLOAD_BYTES };
        let lines: Arc<[_]> = Schedule::Periodic { lines }.lines().collect();
        let warm_up = LINE_PERIOD * COLD;
        let start = Instant::now() + SETTLE;
        let due = lines.iter().map(|(due, _)| *due).collect();
        let table = Arc::new(DueTable::new(start, due, warm_up));
        subscribers.expect(Arc::new(Expected { table, lines: lines.clone() }));
        let server = self.url.clone();
        let (addr, route) = (self.addr, self.laid.beside.clone());
        let publisher = PublisherTarget { addr, route, server, append: Append::Contract { path } };
        let publisher = Publisher::start(publisher, Publication { lines, start, warm_up })?;
        while !publisher.is_finished() {
            tokio::time::sleep(LOOK).await;
        }
        let published = publisher.join();
        self.api.finish(&target.deployment, Status::Succeeded).await?;
        let outcome = subscribers.finish(DRAIN).await;
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
