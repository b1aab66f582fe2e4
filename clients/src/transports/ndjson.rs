//! NDJSON: the server waits for ever, one JSON object per line of an endless body.
//!
//! The plainest stream: the client reads the body, splits it at LF and parses each piece. Browsers have no object for
//! it, and need none. A last record says why the stream ended; without one it was cut.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::BytesMut;
use hyper::StatusCode;
use tokio::time::timeout;

use super::{SILENCE_MAX, end_of, path, received};
use crate::http::ANSWER_TIMEOUT;
use crate::http::{Body, CutShort, Http, NoLines, check_type, refused};
use crate::meter::Meter;
use crate::traffic::Traffic;
use crate::wire::{BODY_BYTES_MAX, Cursor, NdjsonControl, NdjsonRecord, Outcome, Position, Transport};
use crate::{Options, Received, SubscribeError, Subscriber, Target};

/// A subscriber of newline-delimited JSON.
pub struct Ndjson {
    target: Target,
    stream: Option<Stream>,
    cursor: Option<Cursor>,
    ended: Option<Received>,
    http: Http,
    meter: Arc<Meter>,
}

/// An open body and the record that is not whole yet: chunks end anywhere, records end at LF.
struct Stream {
    body: Body,
    unfinished: BytesMut,
    /// Bytes of `unfinished` that are known to hold no LF.
    searched: usize,
}

impl Ndjson {
    /// Creates a subscriber of `target`. It connects when it is first asked for a batch.
    pub fn new(target: Target, options: &Options, meter: Arc<Meter>) -> Self {
        let http = Http::new(target.server.clone(), meter.clone(), options);
        Self { target, stream: None, cursor: None, ended: None, http, meter }
    }

    async fn open(&mut self) -> Result<(), SubscribeError> {
        // The cursor of what was seen decides where the stream starts, now and after a cut.
        if let Some(cursor) = &self.cursor {
            self.target.from = Position::After(cursor.clone());
        }
        let path = path(Transport::Ndjson, &self.target, &[]);
        let response = match self.http.open(&path, &[], ANSWER_TIMEOUT).await {
            Ok(response) => response,
            Err(CutShort(why)) => return self.http.back_off(&why, None).await,
        };
        if response.status() == StatusCode::OK {
            check_type(response.headers(), "application/x-ndjson")?;
            self.meter.count(Outcome::Data);
            let body = response.into_body();
            self.stream = Some(Stream { body, unfinished: BytesMut::new(), searched: 0 });
            return Ok(());
        }
        let answer = self.http.refusal(response).await;
        match refused(&answer, &self.meter) {
            NoLines::Final(error) => Err(error),
            NoLines::Later { why, advised } => self.http.back_off(&why, advised).await,
        }
    }

    /// Reads until there is something to return. `None`: the stream was cut, and the client must come back later.
    async fn read(&mut self) -> Result<Option<Received>, SubscribeError> {
        loop {
            let Some(stream) = &mut self.stream else { return Ok(None) };
            let (chunk, at) = match timeout(SILENCE_MAX, self.http.chunk(&mut stream.body)).await {
                Ok(Ok(Some(chunk))) => chunk,
                // The bytes in `unfinished` were cut off; their record comes again after the reconnect.
                Ok(Ok(None)) | Ok(Err(CutShort(_))) | Err(_) => return Ok(None),
            };
            stream.unfinished.extend_from_slice(&chunk);
            if let Some(received) = self.take_records(at)? {
                return Ok(Some(received));
            }
        }
    }

    /// Takes every whole record that has arrived. The cursor moves with the batch that is returned.
    fn take_records(&mut self, at: Instant) -> Result<Option<Received>, SubscribeError> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let mut lines = Vec::new();
        let mut finished = false;
        while let Some(end) = memchr::memchr(b'\n', &stream.unfinished[stream.searched..]) {
            let record = stream.unfinished.split_to(stream.searched + end + 1);
            stream.searched = 0;
            let record = record.trim_ascii();
            if record.is_empty() {
                continue; // a sign of life
            }
            let record: NdjsonRecord = serde_json::from_slice(record).map_err(|error| {
                SubscribeError::Contract(format!("the server sent an invalid record: {error}"))
            })?;
            match record {
                NdjsonRecord::Line(line) => lines.push(line),
                NdjsonRecord::Control(NdjsonControl::Hello(hello)) => {
                    self.http.greeted();
                    self.cursor = Some(hello.cursor);
                }
                NdjsonRecord::Control(NdjsonControl::Finished(end)) => {
                    self.cursor = Some(end.cursor);
                    finished = true;
                }
                // Lines of the same chunk are returned first; the control record comes again after the reconnect.
                NdjsonRecord::Control(_) if !lines.is_empty() => break,
                NdjsonRecord::Control(NdjsonControl::Gap(gap)) => return Err(SubscribeError::Gap(gap)),
                NdjsonRecord::Control(NdjsonControl::Deleted {}) => return Err(SubscribeError::Deleted),
            }
        }
        stream.searched = stream.unfinished.len();
        if stream.unfinished.len() > BODY_BYTES_MAX {
            return Err(SubscribeError::Contract(format!(
                "the server sent a record of more than {BODY_BYTES_MAX} bytes"
            )));
        }
        if lines.is_empty() && !finished {
            return Ok(None);
        }
        self.http.delivered();
        received(&mut self.cursor, lines, finished, at).map(Some)
    }
}

#[async_trait]
impl Subscriber for Ndjson {
    async fn next_batch(&mut self) -> Result<Received, SubscribeError> {
        loop {
            if let Some(ended) = &self.ended {
                return Ok(ended.clone());
            }
            if self.stream.is_none() {
                self.open().await?;
                continue;
            }
            if let Some(received) = self.read().await? {
                self.ended = end_of(&received);
                return Ok(received);
            }
            self.stream = None;
            self.http.disconnect();
            self.http.back_off("the stream was cut", None).await?;
        }
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}
