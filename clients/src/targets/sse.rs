//! Server-sent events of a server with a profile.
//!
//! The same connection, parser and back-off as wirelab's own client half; only where a line and its
//! position stand comes from the profile.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::StatusCode;
use tokio::time::timeout;

use super::{News, PROFILE_SILENCE_MAX, Position, ProfileTarget, Source};
use crate::event_stream::EventStreamParser;
use crate::http::{Body, Cut, Http, Refusal, refused};
use crate::meter::Meter;
use crate::traffic::Traffic;
use crate::wire::Outcome;
use crate::{Options, Received, SubscribeError, Subscriber};

/// A subscriber of server-sent events.
pub(super) struct Sse {
    position: Position,
    /// The type of events that carry lines.
    event: String,
    stream: Option<(Body, EventStreamParser)>,
    /// The reconnection time the server asked for.
    retry: Option<Duration>,
    http: Http,
    meter: Arc<Meter>,
}

impl Sse {
    pub(super) fn new(target: ProfileTarget, event: String, options: &Options, meter: Arc<Meter>) -> Self {
        let http = Http::new(target.server.clone(), meter.clone(), options);
        Self { position: Position::new(&target), event, stream: None, retry: None, http, meter }
    }

    async fn open(&mut self) -> Result<(), SubscribeError> {
        let path = self.position.path();
        let response = match self.http.open(&path, &self.position.headers(), PROFILE_SILENCE_MAX).await {
            Ok(response) => response,
            Err(Cut(why)) => return self.http.back_off(&why, None).await,
        };
        if response.status() == StatusCode::OK {
            self.meter.count(Outcome::Data);
            self.http.succeeded();
            let parser = EventStreamParser::new(self.position.event_id());
            self.stream = Some((response.into_body(), parser));
            return Ok(());
        }
        let answer = self.http.refusal(response).await;
        match refused(&answer, &self.meter) {
            Refusal::Final(error) => Err(error),
            Refusal::Later { why, advised } => self.http.back_off(&why, advised).await,
        }
    }

    /// Reads until there is something to return; `None`: the stream was cut, come back later.
    async fn read(&mut self) -> Result<Option<Received>, SubscribeError> {
        let mut events = Vec::new();
        loop {
            let Some((body, parser)) = &mut self.stream else { return Ok(None) };
            let Ok(Ok(Some((chunk, at)))) = timeout(PROFILE_SILENCE_MAX, self.http.chunk(body)).await else {
                return Ok(None);
            };
            parser.push(&chunk, &mut events).map_err(|error| SubscribeError::Contract(error.to_string()))?;
            self.retry = parser.retry();
            let mut news = News::default();
            for event in events.drain(..).filter(|event| event.event == self.event) {
                self.position.read(&event.data, Source::Event { id: &event.id }, &mut news)?;
            }
            if let Some(received) = self.position.received(news, at) {
                return Ok(Some(received));
            }
        }
    }
}

#[async_trait]
impl Subscriber for Sse {
    async fn next_batch(&mut self) -> Result<Received, SubscribeError> {
        loop {
            if let Some(ended) = &self.position.ended {
                return Ok(ended.clone());
            }
            if self.stream.is_none() {
                self.open().await?;
                continue;
            }
            if let Some(received) = self.read().await? {
                return Ok(received);
            }
            self.stream = None;
            self.http.disconnect();
            self.http.back_off("the stream was cut", self.retry).await?;
        }
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}
