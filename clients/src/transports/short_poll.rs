//! Short polling: the client waits, between requests.
//!
//! Ask, get an answer at once, sleep, ask again. Nothing is held open for us on the server; the price is that most
//! questions have no news, and news waits for the next question.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hyper::StatusCode;
use hyper::header::ETAG;
use rand::RngExt;

use super::{ANSWER_TIMEOUT, back_off, end_of, path};
use crate::http::{Cut, Http, Refusal, refused};
use crate::meter::Meter;
use crate::traffic::Traffic;
use crate::wire::{Batch, From as Position, Outcome, Transport};
use crate::{Options, Received, SubscribeError, Subscriber, Target};

/// A short-polling subscriber.
pub struct ShortPoll {
    target: Target,
    interval: Duration,
    next_poll: Instant,
    /// The entity tag of the last answer: "tell me only if something changed since".
    entity_tag: Option<String>,
    ended: Option<Received>,
    http: Http,
    meter: Arc<Meter>,
}

impl ShortPoll {
    /// Polls at an interval, first after a random part of it: clients that were started together must not ask
    /// together for ever.
    pub fn new(target: Target, options: &Options, meter: Arc<Meter>) -> Self {
        let interval = options.polling.interval;
        let phase = rand::rng().random_range(Duration::ZERO..=interval);
        let http = Http::new(target.server.clone(), meter.clone(), back_off(options));
        let next_poll = Instant::now() + phase;
        Self { target, interval, next_poll, entity_tag: None, ended: None, http, meter }
    }

    /// One question, one answer; `None`: no news.
    async fn poll(&mut self) -> Result<Option<Received>, SubscribeError> {
        let path = path(Transport::ShortPoll, &self.target, &[]);
        let condition: Vec<_> = self.entity_tag.iter().map(|tag| ("if-none-match", tag.clone())).collect();
        let answer = match self.http.get(&path, &condition, ANSWER_TIMEOUT).await {
            Ok(answer) => answer,
            Err(Cut(why)) => return self.http.back_off(&why, None).await.map(|()| None),
        };
        match answer.status {
            StatusCode::OK => {
                let batch: Batch = serde_json::from_slice(&answer.body)
                    .map_err(|error| SubscribeError::Contract(format!("a batch that is none: {error}")))?;
                self.meter.count(if batch.lines.is_empty() { Outcome::Empty } else { Outcome::Data });
                self.http.succeeded();
                self.entity_tag =
                    answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
                // Also an empty answer tells where we are: the next question starts there.
                self.target.from = Position::After(batch.next.clone());
                if batch.more {
                    // The answer was cut at its bound: what is left is asked for now, not an interval later.
                    self.next_poll = Instant::now();
                }
                let news = !batch.lines.is_empty() || batch.finished;
                Ok(news.then_some(Received { batch, at: answer.at }))
            }
            // Our tag still holds: nothing happened, and the server sent no body to say so.
            StatusCode::NOT_MODIFIED => {
                self.meter.count(Outcome::Empty);
                self.http.succeeded();
                Ok(None)
            }
            _ => match refused(&answer, &self.meter) {
                Refusal::Final(error) => Err(error),
                Refusal::Later { why, advised } => self.http.back_off(&why, advised).await.map(|()| None),
            },
        }
    }

    /// The next tick of the schedule. Ticks that passed while an answer was late are skipped, not made up for.
    fn schedule_next(&mut self) {
        self.next_poll += self.interval;
        let now = Instant::now();
        if self.next_poll < now && !self.interval.is_zero() {
            let late = now - self.next_poll;
            let ticks = late.as_nanos() / self.interval.as_nanos() + 1;
            self.next_poll += self.interval.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX));
        }
    }
}

#[async_trait]
impl Subscriber for ShortPoll {
    async fn next_batch(&mut self) -> Result<Received, SubscribeError> {
        loop {
            if let Some(ended) = &self.ended {
                return Ok(ended.clone());
            }
            // This sleep is the whole difference to long polling: there, the server does the waiting.
            self.http.sleep_until(self.next_poll).await;
            self.schedule_next();
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
    use super::*;
    use crate::Polling;

    /// P9.
    #[test]
    fn pollers_that_start_together_do_not_ask_together() {
        let interval = Duration::from_secs(1_000);
        let options = Options { polling: Polling::every(interval), ..Options::default() };
        let server = "http://127.0.0.1:1".parse().unwrap();
        let target = Target { server, deployment: "01k3aaaa".parse().unwrap(), from: Position::Start };
        let started = Instant::now();
        let mut phases: Vec<_> = (0..200)
            .map(|_| ShortPoll::new(target.clone(), &options, Meter::new()).next_poll - started)
            .collect();
        phases.sort();
        // Of 200 uniform phases, none in the first or none in the last tenth: one in a thousand million.
        assert!(phases[0] < interval / 10 && phases[199] > interval * 9 / 10, "{phases:?}");
        assert!(phases[199] <= interval + started.elapsed());
    }
}
