//! Request timing: how long answers take, and how long a subscriber has no request open.
//!
//! Each meter follows its own exchange of request and answer. It records into one set of histograms that all
//! subscribers of a run share. A transport announces its request with [`Question`]. The socket says when the request
//! was written, and the HTTP half when the answer was read. No clock is read here.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::latency::LatencyHistogram;

/// Most ticks of one schedule that one late answer may stand for: an hour of polls ten times a second.
const TICKS_MAX: u32 = 36_000;

/// Kind of request that a poll is about to send. A stream asks once and announces nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// A poll that is answered at once.
    Scheduled {
        /// When the schedule wanted the poll, however late it is sent: a schedule that waits for late answers would
        /// hide them.
        intended: Instant,
        /// Fixed interval of the schedule. Later ticks that have passed when the request is written are not asked
        /// again, so they wait for this answer too. `None` where the next time follows from this answer.
        interval: Option<Duration>,
    },
    /// A poll that the server may hold until there is news.
    Held,
}

/// Histograms of how long requests took, over all subscribers of a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Timing {
    /// Request written → whole answer read, for polls that are answered at once: uncorrected.
    pub request_service: LatencyHistogram,
    /// Due time of the poll → whole answer read, for polls that are answered at once. A client that kept to its
    /// schedule would have seen this. (wrk2 prints both times as a pair.)
    pub request_response: LatencyHistogram,
    /// Request written → whole answer read, for polls that the server may hold. Includes the way there and back.
    pub hold: LatencyHistogram,
    /// Answer read → next request written, for polls that the server may hold: no request waits for news meanwhile. Not
    /// recorded after a failure, when the client stays away on purpose.
    pub rearm_gap: LatencyHistogram,
    /// Time to connect: connecting begins → connected for polls, → head of the answer (or 101) for streams.
    pub handshake: LatencyHistogram,
}

impl Timing {
    /// Adds the requests of other subscribers.
    pub fn merge(&mut self, other: &Self) {
        self.request_service.merge(&other.request_service);
        self.request_response.merge(&other.request_response);
        self.hold.merge(&other.hold);
        self.rearm_gap.merge(&other.rearm_gap);
        self.handshake.merge(&other.handshake);
    }
}

/// Histograms of a run, shared by its meters.
#[derive(Debug, Default)]
pub struct SharedTiming {
    /// Time in which written requests are recorded; connections are always recorded.
    window: OnceLock<Range<Instant>>,
    timing: Mutex<Timing>,
}

impl SharedTiming {
    /// Creates empty histograms. Requests are recorded once [`Self::measure`] has set the time.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Records the requests that are written within `window`: that of the cohort, the lines that are measured. Called
    /// once.
    pub fn measure(&self, window: Range<Instant>) {
        let told = self.window.set(window);
        assert!(told.is_ok(), "a run has one cohort");
    }

    /// Returns the histograms so far.
    pub fn timing(&self) -> Timing {
        self.timing.lock().expect("no holder panics").clone()
    }

    fn is_measured(&self, at: Instant) -> bool {
        self.window.get().is_some_and(|window| window.contains(&at))
    }

    fn record(&self, record: impl FnOnce(&mut Timing)) {
        record(&mut self.timing.lock().expect("no holder panics"));
    }
}

/// State of one subscriber between request and answer.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    question: Option<Question>,
    /// Time at which the request was written; `None`: not yet.
    written: Option<Instant>,
    /// Time at which the last answer was read, if nothing failed since.
    answered: Option<Instant>,
    /// Time at which connecting began, until it is recorded.
    connecting: Option<Instant>,
}

impl Exchange {
    pub(crate) fn connects(&mut self, at: Instant) {
        self.connecting = Some(at);
    }

    /// Notes that TCP, and TLS if it is spoken, is connected. A poll's handshake ends here; a stream's ends with the head of its answer.
    pub(crate) fn connected(&mut self, at: Instant, shared: &SharedTiming) {
        if self.question.is_some() {
            self.opened(at, shared);
        }
    }

    /// Notes that the head of an answer is there: ends the handshake, if one is under way.
    pub(crate) fn opened(&mut self, at: Instant, shared: &SharedTiming) {
        if let Some(began) = self.connecting.take() {
            shared.record(|timing| timing.handshake.record(at.saturating_duration_since(began)));
        }
    }

    pub(crate) fn asks(&mut self, question: Question) {
        (self.question, self.written) = (Some(question), None);
    }

    /// Notes that the first byte of the request goes out.
    pub(crate) fn writes(&mut self, at: Instant, shared: &SharedTiming) {
        self.written = Some(at);
        match (self.question, self.answered.take()) {
            (Some(Question::Held), Some(answered)) if shared.is_measured(at) => {
                shared.record(|timing| timing.rearm_gap.record(at.saturating_duration_since(answered)));
            }
            (Some(Question::Held | Question::Scheduled { .. }) | None, _) => {}
        }
    }

    /// Notes that the whole answer is there, and records how long it took.
    pub(crate) fn answered(&mut self, at: Instant, shared: &SharedTiming) {
        self.answered = Some(at);
        let (Some(question), Some(written)) = (self.question.take(), self.written.take()) else { return };
        if !shared.is_measured(written) {
            return;
        }
        let took = at.saturating_duration_since(written);
        shared.record(|timing| match question {
            Question::Held => timing.hold.record(took),
            Question::Scheduled { intended, interval } => {
                timing.request_service.record(took);
                for tick in ticks(intended, interval, written) {
                    timing.request_response.record(at.saturating_duration_since(tick));
                }
            }
        });
    }

    /// Notes a failure: the next request is late on purpose, so its gap is not recorded.
    pub(crate) fn failed(&mut self) {
        (self.question, self.written, self.answered) = (None, None, None);
    }
}

/// Returns the times at which the schedule wanted to ask, up to when the request was written. The first is always
/// included.
fn ticks(intended: Instant, interval: Option<Duration>, written: Instant) -> impl Iterator<Item = Instant> {
    let interval = interval.filter(|interval| !interval.is_zero());
    let later = interval.map(|interval| {
        (1..TICKS_MAX).map(move |n| intended + interval * n).take_while(move |tick| *tick <= written)
    });
    std::iter::once(intended).chain(later.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Makes a timing that records every request, and the instant that the tests count from.
    fn all() -> (Arc<SharedTiming>, Instant) {
        let (shared, start) = (SharedTiming::new(), Instant::now());
        shared.measure(start..start + 1_000_000 * MS);
        (shared, start)
    }

    /// Returns the samples in ms, rounded down.
    fn samples(histogram: &LatencyHistogram) -> Vec<u64> {
        let steps = histogram.histogram().iter_recorded();
        steps
            .flat_map(|step| vec![step.value_iterated_to() / 1_000; step.count_at_value() as usize])
            .collect()
    }

    #[test]
    fn a_late_request_is_fast_by_its_write_and_slow_by_its_schedule() {
        let (shared, start) = all();
        let mut exchange = Exchange::default();
        exchange.asks(Question::Scheduled { intended: start + 10 * MS, interval: None });
        exchange.writes(start + 60 * MS, &shared);
        exchange.answered(start + 63 * MS, &shared);
        let timing = shared.timing();
        assert_eq!(
            (samples(&timing.request_service), samples(&timing.request_response)),
            (vec![3], vec![53])
        );
        assert!(timing.hold.is_empty() && timing.rearm_gap.is_empty() && timing.handshake.is_empty());
    }

    /// Polls every 10 ms; the server freezes from 11 to 45 ms and answers in 1 ms otherwise.
    #[test]
    fn ticks_that_a_frozen_server_swallowed_are_not_forgotten() {
        let (shared, start) = all();
        let mut exchange = Exchange::default();
        let mut poll = |intended: u32, written: u32, answered: u32| {
            let interval = Some(10 * MS);
            exchange.asks(Question::Scheduled { intended: start + intended * MS, interval });
            exchange.writes(start + written * MS, &shared);
            exchange.answered(start + answered * MS, &shared);
        };
        poll(0, 0, 1);
        poll(10, 10, 45);
        // The ticks of 20, 30 and 40 ms passed meanwhile; one request stands for them.
        poll(20, 45, 46);
        poll(50, 50, 51);
        let timing = shared.timing();
        assert_eq!(samples(&timing.request_service), [1, 1, 1, 35]);
        let mut twice = timing.clone();
        twice.merge(&timing);
        assert_eq!((twice.request_service.len(), twice.request_response.len(), twice.hold.len()), (8, 12, 0));
        assert_eq!(samples(&timing.request_response), [1, 1, 6, 16, 26, 35]);
    }

    #[test]
    fn a_held_poll_has_a_hold_and_a_gap_before_it_unless_it_failed() {
        let (shared, start) = all();
        let mut exchange = Exchange::default();
        let poll = |exchange: &mut Exchange, written: u32, answered: u32| {
            exchange.asks(Question::Held);
            exchange.writes(start + written * MS, &shared);
            exchange.answered(start + answered * MS, &shared);
        };
        poll(&mut exchange, 0, 100);
        poll(&mut exchange, 102, 150);
        exchange.failed();
        poll(&mut exchange, 5_000, 5_007);
        let timing = shared.timing();
        assert_eq!((samples(&timing.hold), samples(&timing.rearm_gap)), (vec![7, 48, 100], vec![2]));
        assert!(timing.request_service.is_empty() && timing.request_response.is_empty());
    }

    #[test]
    fn a_handshake_ends_with_the_connection_of_a_poll_and_with_the_head_of_a_stream() {
        let (shared, start) = all();
        let mut poll = Exchange::default();
        poll.asks(Question::Held);
        poll.connects(start);
        poll.connected(start + 2 * MS, &shared);
        poll.opened(start + 90 * MS, &shared);
        let mut stream = Exchange::default();
        stream.connects(start);
        stream.connected(start + 2 * MS, &shared);
        stream.opened(start + 5 * MS, &shared);
        // Nothing was connected for it.
        stream.opened(start + 900 * MS, &shared);
        assert_eq!(samples(&shared.timing().handshake), [2, 5]);
    }

    #[test]
    fn requests_outside_the_cohort_are_not_recorded_and_connections_are() {
        let (shared, start) = (SharedTiming::new(), Instant::now());
        let mut exchange = Exchange::default();
        let mut poll = |at: u32| {
            exchange.asks(Question::Held);
            exchange.connects(start);
            exchange.connected(start + MS, &shared);
            exchange.writes(start + at * MS, &shared);
            exchange.answered(start + (at + 1) * MS, &shared);
        };
        poll(1);
        shared.measure(start + 10 * MS..start + 20 * MS);
        [8, 10, 18, 20].into_iter().for_each(&mut poll);
        let timing = shared.timing();
        assert_eq!((timing.hold.len(), timing.rearm_gap.len(), timing.handshake.len()), (2, 2, 5));
    }
}
