//! Long polling of a server with a profile.
//!
//! The same connection and back-off as wirelab's own client half; an answer's body is one text, and its headers may
//! say where the next one starts.

use std::sync::Arc;

use async_trait::async_trait;
use hyper::StatusCode;

use super::{News, Position, ProfileTarget, Source};
use crate::http::{Cut, Http, Refusal, refused};
use crate::meter::Meter;
use crate::traffic::Traffic;
use crate::transports::{SILENCE_MAX, back_off};
use crate::wire::Outcome;
use crate::{Options, Received, SubscribeError, Subscriber};

/// A long-polling subscriber.
pub(super) struct LongPoll {
    position: Position,
    http: Http,
    meter: Arc<Meter>,
}

impl LongPoll {
    pub(super) fn new(target: ProfileTarget, options: &Options, meter: Arc<Meter>) -> Self {
        let http = Http::new(target.server.clone(), meter.clone(), back_off(options));
        Self { position: Position::new(&target), http, meter }
    }

    /// One question, one answer; `None`: there was no news.
    async fn poll(&mut self) -> Result<Option<Received>, SubscribeError> {
        let path = self.position.path();
        // How long it holds is the server's own business, as long as it is not taken for dead.
        let answer = match self.http.get(&path, &self.position.headers(), SILENCE_MAX).await {
            Ok(answer) => answer,
            Err(Cut(why)) => return self.http.back_off(&why, None).await.map(|()| None),
        };
        match answer.status {
            StatusCode::OK => {
                self.meter.count(Outcome::Data);
                self.http.succeeded();
                let text = str::from_utf8(&answer.body).map_err(|error| {
                    SubscribeError::Contract(format!("an answer that is no text: {error}"))
                })?;
                let mut news = News::default();
                self.position.read(text, Source::Answer(&answer.headers), &mut news)?;
                Ok(self.position.received(news, answer.at))
            }
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED | StatusCode::REQUEST_TIMEOUT => {
                self.meter.count(Outcome::Timeout);
                self.http.succeeded();
                Ok(None)
            }
            _ => match refused(&answer, &self.meter) {
                Refusal::Final(error) => Err(error),
                Refusal::Later { why, advised } => self.http.back_off(&why, advised).await.map(|()| None),
            },
        }
    }
}

#[async_trait]
impl Subscriber for LongPoll {
    async fn next_batch(&mut self) -> Result<Received, SubscribeError> {
        loop {
            if let Some(ended) = &self.position.ended {
                return Ok(ended.clone());
            }
            if let Some(received) = self.poll().await? {
                return Ok(received);
            }
        }
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}
