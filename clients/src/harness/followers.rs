//! Followers: all subscribers of one deployment during a run, the measured ones and those beside them.
//!
//! Beside the measured subscribers some may stop reading and some may join late. Every line must reach them too, and
//! their traffic is traffic. But when a line reaches them says nothing about the transport, so their latencies are not
//! measured.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cell::{Cell, Extra};
use super::receipts::{Keeps, kept_max};
use super::server_under_test::ServerUnderTest;
use super::subscribers::{Expected, Subscribers, SubscribersOutcome};
use crate::traffic::Traffic;

/// All subscribers of one deployment.
pub(super) struct Followers {
    /// Number of the deployment within the run, from 0.
    pub(super) deployment: usize,
    pub(super) measured: Subscribers,
    beside: Vec<Beside>,
    expected: Option<Arc<Expected>>,
}

/// Subscribers that are not measured: they stop reading, or join late.
struct Beside {
    kind: Kind,
    extra: Extra,
    /// The running subscribers; `None` before they have joined.
    subscribers: Option<Subscribers>,
    happened: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stalled,
    Late,
}

/// Outcome of the subscribers beside the measured ones.
#[derive(Default)]
pub(super) struct BesideOutcome {
    pub(super) traffic: Traffic,
    /// Problems of delivery, one sentence each.
    pub(super) problems: Vec<String>,
}

impl Followers {
    /// Starts all subscribers that are there from the beginning. Must be called inside a tokio runtime.
    pub(super) fn start(deployment: usize, cell: &Cell, measured: &ServerUnderTest) -> Self {
        let start = |count| Subscribers::start(count, measured.route(), measured.subscriber(deployment));
        let beside = [(Kind::Stalled, cell.stalled), (Kind::Late, cell.late)];
        let beside = beside.into_iter().filter_map(|(kind, extra)| {
            let extra = extra?;
            let subscribers = match kind {
                Kind::Stalled => Some(start(extra.subscribers)),
                Kind::Late => None,
            };
            Some(Beside { kind, extra, subscribers, happened: false })
        });
        let subscribers = match cell.keeps {
            Keeps::Figures => start(cell.subscribers),
            Keeps::Receipts => start(cell.subscribers).keeping(kept_max(cell.subscribers_total())),
        };
        Self { deployment, measured: subscribers, beside: beside.collect(), expected: None }
    }

    /// Counts the subscribers that have had a connection, of those that should by now.
    pub(super) fn connected_count(&self) -> usize {
        self.measured.connected_count() + self.there().map(Subscribers::connected_count).sum::<usize>()
    }

    /// Counts the subscribers that should have a connection by now.
    pub(super) fn wanted_count(&self) -> usize {
        self.measured.count() + self.there().map(Subscribers::count).sum::<usize>()
    }

    fn there(&self) -> impl Iterator<Item = &Subscribers> {
        self.beside.iter().filter_map(|beside| beside.subscribers.as_ref())
    }

    /// Tells all subscribers which lines to expect. Called once, before the first line is published.
    pub(super) fn expect(&mut self, expected: Arc<Expected>) {
        self.measured.expect(expected.clone());
        self.there().for_each(|subscribers| subscribers.expect(expected.clone()));
        self.expected = Some(expected);
    }

    /// Counts the lines of the deployment, warm-up included.
    pub(super) fn lines_count(&self) -> u64 {
        self.expected.as_ref().map_or(0, |expected| expected.table.lines_count())
    }

    /// Counts the lines before the cohort.
    pub(super) fn warm_up_count(&self) -> u64 {
        self.expected.as_ref().map_or(0, |expected| expected.table.cohort().start - 1)
    }

    /// Returns lines × measured subscribers.
    pub(super) fn expected_count(&self) -> u64 {
        self.lines_count() * self.measured.count() as u64
    }

    /// Lets subscribers stop reading or join, if that is due by now.
    pub(super) fn at(&mut self, start: Instant, measured: &ServerUnderTest) {
        for beside in &mut self.beside {
            if beside.happened || Instant::now() < start + beside.extra.at {
                continue;
            }
            beside.happened = true;
            match (beside.kind, &beside.subscribers) {
                (Kind::Stalled, Some(subscribers)) => {
                    subscribers.meters().iter().for_each(|meter| meter.stall());
                }
                (Kind::Late, None) => {
                    let joined = Subscribers::start(
                        beside.extra.subscribers,
                        measured.route(),
                        measured.subscriber(self.deployment),
                    );
                    self.expected.iter().for_each(|expected| joined.expect(expected.clone()));
                    beside.subscribers = Some(joined);
                }
                (Kind::Stalled, None) | (Kind::Late, Some(_)) => {}
            }
        }
    }

    /// Waits until the measured subscribers have seen the end, at most `end_limit`, and until the others have caught
    /// up, at most `catch_up`. Then closes the books.
    pub(super) async fn finish(
        self,
        end_limit: Duration,
        catch_up: Duration,
    ) -> (SubscribersOutcome, BesideOutcome) {
        let lines_count = self.lines_count();
        let measured = self.measured.finish(end_limit).await;
        let mut outcome = BesideOutcome::default();
        for beside in self.beside {
            let Some(subscribers) = beside.subscribers else { continue };
            subscribers.meters().iter().for_each(|meter| meter.resume());
            let followed = subscribers.finish(catch_up).await;
            outcome.traffic += followed.traffic;
            let who = match beside.kind {
                Kind::Stalled => "that had stopped reading",
                Kind::Late => "that had joined late",
            };
            let expected = lines_count * u64::from(beside.extra.subscribers);
            let delivered = followed.delivery.whole.delivered;
            if delivered != expected {
                outcome.problems.push(format!("subscribers {who} got {delivered} of {expected} lines"));
            }
            if followed.altered_count > 0 {
                let altered = followed.altered_count;
                outcome.problems.push(format!("subscribers {who} got {altered} lines whose text differs"));
            }
        }
        (measured, outcome)
    }
}
