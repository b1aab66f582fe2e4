//! Short polling: the client waits, between requests.
//!
//! The client asks, gets an answer at once, sleeps, and asks again. The server holds nothing open. The price: most
//! answers have no news, and news waits for the next request. [`Timetable`] decides when to ask: at fixed times or
//! after a pause, in step with other clients or not. It may ask less often while nothing happens, or as the server
//! advises.

use std::sync::{Arc, LazyLock};
use std::time::Instant;

use async_trait::async_trait;
use hyper::StatusCode;
use hyper::header::ETAG;

use super::{PollRequest, end_of, path};
use crate::advice::retry_after;
use crate::decode;
use crate::http::ANSWER_TIMEOUT;
use crate::http::{CutShort, Http, NoLines, refused};
use crate::meter::Meter;
use crate::poll_schedule::{Brought, Poll, Timetable};
use crate::timing::Question;
use crate::traffic::Traffic;
use crate::wire::{Outcome, Position, Transport};
use crate::{Condition, Options, Received, SubscribeError, Subscriber, Target};

/// Instant that aligned polls of all clients of this process count from.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// A short-polling subscriber.
pub struct ShortPoll {
    target: Target,
    timetable: Timetable,
    /// Due time of the next poll.
    intended: Instant,
    condition: Condition,
    /// The entity tag of the last answer: "tell me only if something changed since".
    entity_tag: Option<String>,
    ended: Option<Received>,
    http: Http,
    meter: Arc<Meter>,
}

impl ShortPoll {
    /// Creates a subscriber that polls as the options say. By default the first poll comes after a random part of the
    /// interval: clients that were started together must not ask together for ever.
    pub fn new(target: Target, options: &Options, meter: Arc<Meter>) -> Self {
        let timetable = Timetable::new(options.polling);
        let origin = *ORIGIN;
        let intended = timetable.first(Instant::now(), origin, rand::random());
        let http = Http::new(target.server.clone(), meter.clone(), options);
        let condition = options.polling.condition;
        Self { target, timetable, intended, condition, entity_tag: None, ended: None, http, meter }
    }

    /// Sends one request and reads its answer. `None`: there was no news, or the request failed.
    async fn poll(&mut self) -> Result<Option<Received>, SubscribeError> {
        let tag = match self.condition {
            Condition::IfNoneMatch => self.entity_tag.as_deref(),
            // Without a condition, "nothing new" is a whole answer each time.
            Condition::Plain => None,
        };
        let PollRequest { path, headers } = request(&self.target, tag);
        let (intended, left) = (self.intended, Instant::now());
        // Holds if no answer comes, or if the caller stops waiting for it.
        self.schedule_next(Poll { intended, left, answered: left, brought: Brought::Failure });
        self.meter.asks(Question::Scheduled { intended, interval: self.timetable.ticks() });
        let answer = match self.http.get(&path, &headers, ANSWER_TIMEOUT).await {
            Ok(answer) => answer,
            Err(CutShort(why)) => return self.http.back_off(&why, None).await.map(|()| None),
        };
        match answer.status {
            StatusCode::OK => {
                let batch = decode::batch(&answer.body).map_err(|error| {
                    SubscribeError::Contract(format!("the server sent an invalid batch: {error}"))
                })?;
                self.meter.count(if batch.lines.is_empty() { Outcome::Empty } else { Outcome::Data });
                self.http.succeeded();
                self.entity_tag =
                    answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
                // An empty answer also says where the client is: the next request starts there.
                self.target.from = Position::After(batch.next.clone());
                let advised = retry_after(&answer.headers);
                let brought = match (batch.more, batch.lines.is_empty()) {
                    // The answer was cut at its bound: the client asks for the rest now, not an interval later.
                    (true, false) => Brought::Part,
                    (false, false) => Brought::Lines { advised },
                    // A server that says "more" and sends none would be asked without a pause.
                    (false | true, true) => Brought::Nothing { advised },
                };
                self.schedule_next(Poll { intended, left, answered: answer.at, brought });
                let news = !batch.lines.is_empty() || batch.finished;
                Ok(news.then_some(Received { batch, at: answer.at }))
            }
            // The tag still holds: nothing happened, and the server says so without a body.
            StatusCode::NOT_MODIFIED => {
                self.meter.count(Outcome::Empty);
                self.http.succeeded();
                let brought = Brought::Nothing { advised: retry_after(&answer.headers) };
                self.schedule_next(Poll { intended, left, answered: answer.at, brought });
                Ok(None)
            }
            _ => match refused(&answer, &self.meter) {
                NoLines::Final(error) => Err(error),
                NoLines::Later { why, advised } => self.http.back_off(&why, advised).await.map(|()| None),
            },
        }
    }

    fn schedule_next(&mut self, poll: Poll) {
        self.intended = self.timetable.next(poll, rand::random());
    }
}

/// The position stands in the path; the tag of the last answer is a condition, so that "nothing new" needs no body.
pub(super) fn request(target: &Target, tag: Option<&str>) -> PollRequest {
    let condition = tag.map(|tag| ("if-none-match", tag.to_owned()));
    PollRequest { path: path(Transport::ShortPoll, target, &[]), headers: condition.into_iter().collect() }
}

#[async_trait]
impl Subscriber for ShortPoll {
    async fn next_batch(&mut self) -> Result<Received, SubscribeError> {
        loop {
            if let Some(ended) = &self.ended {
                return Ok(ended.clone());
            }
            // This sleep is the whole difference to long polling: there the server waits.
            self.http.sleep_until(self.intended).await;
            if let Some(received) = self.poll().await? {
                self.ended = end_of(&received);
                return Ok(received);
            }
        }
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{PollPhase, Polling};

    /// P9: a client's first poll comes after a random part of the interval.
    #[test]
    fn pollers_that_start_together_do_not_ask_together() {
        let interval = Duration::from_secs(1_000);
        let options = Options { polling: Polling::every(interval), ..Options::default() };
        let server = "http://127.0.0.1:1".parse().unwrap();
        let target = Target { server, deployment: "01k3aaaa".parse().unwrap(), from: Position::Start };
        let started = Instant::now();
        let mut phases: Vec<_> = (0..200)
            .map(|_| ShortPoll::new(target.clone(), &options, Meter::new()).intended - started)
            .collect();
        phases.sort();
        // Of 200 uniform phases, none in the first or none in the last tenth: one in a thousand million.
        assert!(phases[0] < interval / 10 && phases[199] > interval * 9 / 10, "{phases:?}");
        assert!(phases[199] <= interval + started.elapsed());
    }

    #[test]
    fn aligned_pollers_ask_together_whenever_they_start() {
        let interval = Duration::from_secs(1_000);
        let polling = Polling { phase: PollPhase::Aligned, ..Polling::every(interval) };
        let options = Options { polling, ..Options::default() };
        let server = "http://127.0.0.1:1".parse().unwrap();
        let target = Target { server, deployment: "01k3aaaa".parse().unwrap(), from: Position::Start };
        let first = || ShortPoll::new(target.clone(), &options, Meter::new()).intended;
        let earliest = first();
        assert!((0..200).all(|_| (first() - earliest).as_nanos() % interval.as_nanos() == 0));
    }
}
