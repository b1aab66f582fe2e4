//! Server-sent events of a server with a profile.
//!
//! Connection, parser and back-off are those of wirelab's own client half. The profile says where a line and its
//! position stand.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::StatusCode;

use super::resuming::Follow;
use super::{News, PROFILE_SILENCE_MAX, Resumption, TextSource};
use crate::event_stream::EventStreamParser;
use crate::http::{Body, Http, NoLines, check_type, refused};
use crate::meter::Meter;
use crate::silence::Silence;
use crate::wire::Outcome;
use crate::{Options, Received, ServerUrl, SubscribeError};

/// Follower by server-sent events.
pub(super) struct Sse {
    /// Type of events that carry lines.
    event: String,
    stream: Option<Stream>,
    /// Reconnection time that the server asked for last, in whichever stream: it holds until another one is asked for.
    retry: Option<Duration>,
    http: Http,
    meter: Arc<Meter>,
}

/// A body, the parser that reads it, and the watch over it.
struct Stream {
    body: Body,
    parser: EventStreamParser,
    silence: Silence,
}

impl Sse {
    pub(super) fn new(server: ServerUrl, event: String, options: &Options, meter: Arc<Meter>) -> Self {
        let http = Http::new(server, meter.clone(), options);
        Self { event, stream: None, retry: None, http, meter }
    }

    async fn open(&mut self, position: &Resumption) -> Result<Stream, NoLines> {
        let response = self.http.open(&position.path(), &position.headers(), PROFILE_SILENCE_MAX).await?;
        if response.status() != StatusCode::OK {
            let answer = self.http.refusal(response).await;
            return Err(refused(&answer, &self.meter));
        }
        check_type(response.headers(), "text/event-stream")?;
        self.meter.count(Outcome::Data);
        self.http.greeted();
        let parser = EventStreamParser::new(position.event_id());
        Ok(Stream { body: response.into_body(), parser, silence: Silence::new(PROFILE_SILENCE_MAX) })
    }
}

#[async_trait]
impl Follow for Sse {
    async fn read(&mut self, position: &mut Resumption) -> Result<Option<Received>, NoLines> {
        if self.stream.is_none() {
            self.stream = Some(self.open(position).await?);
        }
        let Some(Stream { body, parser, silence }) = &mut self.stream else { return Ok(None) };
        let next = silence.limit(&self.meter, self.http.chunk(body)).await;
        let Some(Ok(Some((chunk, at)))) = next else {
            self.stream = None;
            self.http.disconnect();
            return Err(NoLines::Later { why: "the stream was cut".to_owned(), advised: None });
        };
        let (mut news, mut understood) = (News::default(), Ok(()));
        let parsed = parser.push_each(&chunk, |event| {
            let source = TextSource::Event { name: event.event, id: event.id };
            match event.event == self.event {
                true if understood.is_ok() => understood = position.read(event.data, source, &mut news),
                true => {}
                false => position.pass_over(source, event.data),
            }
        });
        parsed.map_err(|error| SubscribeError::Contract(error.to_string()))?;
        self.retry = parser.retry().or(self.retry);
        understood?;
        let received = position.received(news, at);
        if received.is_some() {
            self.http.delivered();
        }
        Ok(received)
    }

    async fn back_off(&mut self, why: &str, advised: Option<Duration>) -> Result<(), SubscribeError> {
        self.http.back_off(why, advised.max(self.retry)).await
    }
}
