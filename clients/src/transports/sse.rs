//! Server-sent events: the server waits for ever, and browsers reconnect by themselves.
//!
//! The client sends one request, and the answer does not end: it is a series of events as text (WHATWG HTML §9.2). Each
//! event carries an id, which is the client's cursor. When the connection ends without a goodbye, the client waits at
//! least the time the server asked for. Then it comes back with the last id, as a browser's `EventSource` does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use hyper::StatusCode;

use super::{SILENCE_MAX, end_of, path, received};
use crate::decode;
use crate::event_stream::{EventRef, EventStreamParser};
use crate::http::ANSWER_TIMEOUT;
use crate::http::{Body, CutShort, Http, NoLines, check_type, refused};
use crate::meter::Meter;
use crate::silence::Silence;
use crate::spare;
use crate::traffic::Traffic;
use crate::wire::{Batch, Cursor, Finished, Gap, Hello, Line, Outcome, Position, Transport};
use crate::{Options, Received, SubscribeError, Subscriber, Target};

/// A subscriber of server-sent events.
pub struct Sse {
    target: Target,
    /// The open stream, if there is one.
    stream: Option<Stream>,
    /// Reconnection time that the server asked for last, in whichever stream: it holds until another one is asked for.
    retry: Option<Duration>,
    /// Id of the last event.
    cursor: Option<Cursor>,
    ended: Option<Received>,
    http: Http,
    meter: Arc<Meter>,
}

/// A body, the parser that reads it, the watch over it, and whether it has said hello.
struct Stream {
    body: Body,
    parser: EventStreamParser,
    silence: Silence,
    greeted: bool,
}

/// What the events of one chunk said.
#[derive(Default)]
struct Heard {
    lines: Vec<Line>,
    /// Where the stream starts or where the log has ended.
    cursor: Option<Cursor>,
    greeted: bool,
    finished: bool,
}

impl Sse {
    /// Creates a subscriber of `target`. It connects when it is first asked for a batch.
    pub fn new(target: Target, options: &Options, meter: Arc<Meter>) -> Self {
        let cursor = match &target.from {
            Position::After(cursor) => Some(cursor.clone()),
            Position::Start | Position::Now => None,
        };
        let http = Http::new(target.server.clone(), meter.clone(), options);
        Self { target, stream: None, retry: None, cursor, ended: None, http, meter }
    }

    /// Asks for the stream. `Some`: the log has ended and there is nothing to stream.
    async fn open(&mut self) -> Result<Option<Received>, SubscribeError> {
        let mut headers = vec![("accept", "text/event-stream".to_owned())];
        // A first request says where to start in its query; a reconnect says what it saw last.
        headers.extend(self.cursor.iter().map(|cursor| ("last-event-id", cursor.to_string())));
        let path = path(Transport::Sse, &self.target, &[]);
        let response = match self.http.open(&path, &headers, ANSWER_TIMEOUT).await {
            Ok(response) => response,
            Err(CutShort(why)) => return self.back_off(&why, None).await.map(|()| None),
        };
        match response.status() {
            StatusCode::OK => {
                check_type(response.headers(), "text/event-stream")?;
                let last_id = self.cursor.as_ref().map(Cursor::to_string).unwrap_or_default();
                let parser = EventStreamParser::new(last_id);
                let (body, silence) = (response.into_body(), Silence::new(SILENCE_MAX));
                self.stream = Some(Stream { body, parser, silence, greeted: false });
                Ok(None)
            }
            // 204 is the one status that tells an EventSource to stop: the log has ended and the client has all of it.
            StatusCode::NO_CONTENT => {
                self.meter.count(Outcome::Empty);
                match self.end_cursor().await {
                    Ok(cursor) => {
                        self.cursor = Some(cursor);
                        received(&mut self.cursor, Vec::new(), true, self.meter.last_read()).map(Some)
                    }
                    Err(CutShort(why)) => self.back_off(&why, None).await.map(|()| None),
                }
            }
            _ => {
                let answer = self.http.refusal(response).await;
                match refused(&answer, &self.meter) {
                    NoLines::Final(error) => Err(error),
                    NoLines::Later { why, advised } => self.back_off(&why, advised).await.map(|()| None),
                }
            }
        }
    }

    /// Returns the cursor at the end of a log. A 204 has no room for it, so a client that started at `now` on a
    /// finished log reads it from the snapshot. That is a call of the regular API, which is not measured: it has a
    /// connection and a meter of its own.
    async fn end_cursor(&mut self) -> Result<Cursor, CutShort> {
        if let Some(cursor) = &self.cursor {
            return Ok(cursor.clone());
        }
        let path = format!("/api/deployments/{}/lines?from=now", self.target.deployment);
        let mut http = Http::new(self.target.server.clone(), Meter::new(), &Options::default());
        let answer = http.get(&path, &[], ANSWER_TIMEOUT).await?;
        let snapshot: Result<Batch, _> = serde_json::from_slice(&answer.body);
        snapshot
            .map(|snapshot| snapshot.next)
            .map_err(|_| CutShort(format!("the server sent no snapshot: {}", answer.status)))
    }

    /// Reads until there is something to return. `None`: the stream was cut, and the client must come back later.
    async fn read(&mut self) -> Result<Option<Received>, SubscribeError> {
        loop {
            let Some(Stream { body, parser, silence, greeted }) = &mut self.stream else { return Ok(None) };
            // Comments and blank lines count as signs of life: only a connection without any byte is dead.
            let (chunk, at) = match silence.limit(&self.meter, self.http.chunk(body)).await {
                Some(Ok(Some(chunk))) => chunk,
                // With a stream that ends well without a hello, an overloaded server says when to come back.
                Some(Ok(None)) => {
                    if !*greeted {
                        self.meter.count(Outcome::Refused);
                    }
                    return Ok(None);
                }
                Some(Err(CutShort(_))) | None => {
                    if !*greeted {
                        self.meter.count(Outcome::Error);
                    }
                    return Ok(None);
                }
            };
            let (mut heard, mut understood) = (Heard { lines: spare::list(), ..Heard::default() }, Ok(()));
            let parsed = parser.push_each(&chunk, |event| {
                if understood.is_ok() {
                    understood = heard.hears(event);
                }
            });
            parsed.map_err(|error| SubscribeError::Contract(error.to_string()))?;
            self.retry = parser.retry().or(self.retry);
            if heard.greeted {
                self.http.greeted();
                if !std::mem::replace(greeted, true) {
                    self.meter.count(Outcome::Data);
                }
            }
            understood?;
            if let Some(received) = self.handle(heard, at)? {
                return Ok(Some(received));
            }
        }
    }

    /// Stays away after a failure: at least the reconnection time of the streams, and at least what a refusal advised.
    async fn back_off(&mut self, why: &str, advised: Option<Duration>) -> Result<(), SubscribeError> {
        self.http.back_off(why, advised.max(self.retry)).await
    }

    /// Makes a batch of what one chunk said. The cursor moves with the batch that is returned.
    fn handle(&mut self, heard: Heard, at: Instant) -> Result<Option<Received>, SubscribeError> {
        let Heard { lines, cursor, greeted: _, finished } = heard;
        self.cursor = cursor.or(self.cursor.take());
        if lines.is_empty() && !finished {
            return Ok(None);
        }
        self.http.delivered();
        received(&mut self.cursor, lines, finished, at).map(Some)
    }
}

impl Heard {
    fn hears(&mut self, event: EventRef<'_>) -> Result<(), SubscribeError> {
        match event.event {
            // An event without a name is a line of the log.
            "message" => self.lines.push(decode::line(event.data).map_err(invalid)?),
            "hello" => {
                self.greeted = true;
                self.cursor = Some(json::<Hello>(event.data)?.cursor);
            }
            "finished" => {
                self.cursor = Some(json::<Finished>(event.data)?.cursor);
                self.finished = true;
            }
            "gap" if self.lines.is_empty() => return Err(SubscribeError::Gap(json::<Gap>(event.data)?)),
            "deleted" if self.lines.is_empty() => return Err(SubscribeError::Deleted),
            // Lines of the same chunk are returned first; a goodbye after them comes again after the reconnect.
            _ => {}
        }
        Ok(())
    }
}

#[async_trait]
impl Subscriber for Sse {
    async fn next_batch(&mut self) -> Result<Received, SubscribeError> {
        loop {
            if let Some(ended) = &self.ended {
                return Ok(ended.clone());
            }
            if self.stream.is_none() {
                // A log that has ended and was read to its end has nothing to stream.
                if let Some(received) = self.open().await? {
                    self.ended = end_of(&received);
                    return Ok(received);
                }
                continue;
            }
            if let Some(received) = self.read().await? {
                self.ended = end_of(&received);
                return Ok(received);
            }
            // The stream ended without a goodbye: the client comes back after the time that the server asked for.
            self.stream = None;
            self.http.disconnect();
            self.back_off("the stream was cut", None).await?;
        }
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}

fn json<T: serde::de::DeserializeOwned>(data: &str) -> Result<T, SubscribeError> {
    serde_json::from_str(data).map_err(invalid)
}

fn invalid(error: serde_json::Error) -> SubscribeError {
    SubscribeError::Contract(format!("the server sent an invalid event: {error}"))
}
