//! Long polling: the server waits once.
//!
//! The client asks. The server holds the request and answers when there is news, or when the hold expires without news.
//! Then the client asks again at once. Between an answer and the next request nothing waits on the server: news of that
//! moment comes with the next answer. A client that takes its time between them (its turn) makes that moment longer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hyper::StatusCode;
use hyper::header::ETAG;

use super::{PollRequest, end_of, path};
use crate::backoff::Backoff;
use crate::decode;
use crate::http::{Answer, CutShort, FIRST_CEILING, Http, NoLines, refused};
use crate::meter::Meter;
use crate::timing::Question;
use crate::traffic::Traffic;
use crate::wire::{Outcome, Position, Transport, cursor_of_entity_tag};
use crate::{Options, Received, SubscribeError, Subscriber, Target};

/// Time that the client waits beyond the hold. The server must be the side that ends the hold, or its answer would
/// cross the client's reconnect on the way.
const MARGIN: Duration = Duration::from_secs(10);

/// A long-polling subscriber.
pub struct LongPoll {
    target: Target,
    hold: Duration,
    turn: Duration,
    /// Due time of the next request.
    intended: Instant,
    ended: Option<Received>,
    /// Waits after answers without news that the server did not hold.
    unheld: Backoff,
    http: Http,
    meter: Arc<Meter>,
}

impl LongPoll {
    /// Creates a subscriber that asks to be held as long as the options say; the server may hold it for less.
    pub fn new(target: Target, options: &Options, meter: Arc<Meter>) -> Self {
        let http = Http::new(target.server.clone(), meter.clone(), options);
        let Options { hold, turn, .. } = *options;
        let unheld = Backoff::new(FIRST_CEILING, options);
        Self { target, hold, turn, intended: Instant::now(), ended: None, unheld, http, meter }
    }

    /// Sends one request and reads its answer. `None`: the hold expired without news, or the request failed.
    async fn poll(&mut self) -> Result<Option<Received>, SubscribeError> {
        let PollRequest { path, headers } = request(&self.target, self.hold);
        self.meter.asks(Question::Held);
        let asked = Instant::now();
        let answer = match self.http.get(&path, &headers, self.hold + MARGIN).await {
            Ok(answer) => answer,
            Err(CutShort(why)) => return self.http.back_off(&why, None).await.map(|()| None),
        };
        self.intended = answer.at + self.turn;
        match answer.status {
            StatusCode::OK => {
                let batch = decode::batch(&answer.body).map_err(|error| {
                    SubscribeError::Contract(format!("the server sent an invalid batch: {error}"))
                })?;
                self.meter.count(if batch.lines.is_empty() { Outcome::Empty } else { Outcome::Data });
                self.http.succeeded();
                self.target.from = Position::After(batch.next.clone());
                if batch.lines.is_empty() && !batch.finished {
                    self.paces(&answer, asked);
                } else {
                    self.unheld.succeeded();
                }
                Ok(Some(Received { batch, at: answer.at }))
            }
            // The hold expired. The entity tag says where the client is, which a start at `now` did not know yet.
            StatusCode::NO_CONTENT => {
                self.meter.count(Outcome::Timeout);
                self.http.succeeded();
                let tag = answer.headers.get(ETAG).and_then(|tag| tag.to_str().ok());
                if let Some(cursor) = tag.and_then(cursor_of_entity_tag) {
                    self.target.from = Position::After(cursor);
                }
                self.paces(&answer, asked);
                Ok(None)
            }
            _ => match refused(&answer, &self.meter) {
                NoLines::Final(error) => Err(error),
                NoLines::Later { why, advised } => self.http.back_off(&why, advised).await.map(|()| None),
            },
        }
    }

    /// Sets the time of the next question after an answer without news.
    fn paces(&mut self, answer: &Answer, asked: Instant) {
        let next = answer.next_question(asked, self.hold, &mut self.unheld);
        self.intended = self.intended.max(next);
    }
}

/// The position and the longest hold stand in the path.
pub(super) fn request(target: &Target, hold: Duration) -> PollRequest {
    let wait = ("wait", hold.as_secs_f64().to_string());
    PollRequest { path: path(Transport::LongPoll, target, &[wait]), headers: Vec::new() }
}

#[async_trait]
impl Subscriber for LongPoll {
    async fn next_batch(&mut self) -> Result<Received, SubscribeError> {
        loop {
            if let Some(ended) = &self.ended {
                return Ok(ended.clone());
            }
            // By default there is no turn, and no sleep after a line or a hold: the next request leaves as soon as the
            // last answer is read.
            if self.intended > Instant::now() {
                self.http.sleep_until(self.intended).await;
            }
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
