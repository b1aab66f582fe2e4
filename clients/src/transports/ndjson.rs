//! NDJSON: the server waits for ever, one JSON object per line of an endless body.
//!
//! The plainest stream: the client reads the body, splits it at LF and parses each piece. Browsers have no object for
//! it, and need none. A last record says why the stream ended; without one it was cut.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use hyper::StatusCode;

use super::{SILENCE_MAX, end_of, path, received};
use crate::decode;
use crate::http::ANSWER_TIMEOUT;
use crate::http::{Body, CutShort, Http, NoLines, check_type, refused};
use crate::meter::Meter;
use crate::silence::Silence;
use crate::spare;
use crate::traffic::Traffic;
use crate::wire::{BODY_BYTES_MAX, Cursor, Line, NdjsonControl, NdjsonRecord, Outcome, Position, Transport};
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

/// Capacity kept for the next unfinished record, in bytes. Without this bound, one long line would cost every subscriber
/// its length for the rest of the connection.
const UNFINISHED_BYTES_KEPT_MAX: usize = 4 << 10;

/// An open body and the record that is not whole yet: chunks end anywhere, records end at LF.
struct Stream {
    body: Body,
    unfinished: Vec<u8>,
    silence: Silence,
}

/// What the records of one chunk said.
#[derive(Default)]
struct News {
    lines: Vec<Line>,
    /// Where the stream starts or where the log has ended.
    cursor: Option<Cursor>,
    greeted: bool,
    finished: bool,
}

/// What became of a record.
enum Taken {
    /// It was taken, and others may follow.
    Record,
    /// It ends the stream, and lines before it are to be returned first.
    Goodbye,
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
            let (body, silence) = (response.into_body(), Silence::new(SILENCE_MAX));
            self.stream = Some(Stream { body, unfinished: Vec::new(), silence });
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
            let next = stream.silence.limit(&self.meter, self.http.chunk(&mut stream.body));
            let (chunk, at) = match next.await {
                Some(Ok(Some(chunk))) => chunk,
                // The bytes in `unfinished` were cut off; their record comes again after the reconnect.
                Some(Ok(None)) | Some(Err(CutShort(_))) | None => return Ok(None),
            };
            if let Some(received) = self.take_records(&chunk, at)? {
                return Ok(Some(received));
            }
        }
    }

    /// Takes every record that is whole with this chunk. The cursor moves with the batch that is returned.
    fn take_records(&mut self, chunk: &[u8], at: Instant) -> Result<Option<Received>, SubscribeError> {
        let Some(stream) = &mut self.stream else { return Ok(None) };
        let mut news = News { lines: spare::list(), ..News::default() };
        let mut rest = chunk;
        // Only new bytes are searched for the end of a record.
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (record, after) = (&rest[..end], &rest[end + 1..]);
            rest = after;
            let taken = if stream.unfinished.is_empty() {
                news.take(record)?
            } else {
                stream.unfinished.extend_from_slice(record);
                let taken = news.take(&stream.unfinished)?;
                stream.unfinished.clear();
                stream.unfinished.shrink_to(UNFINISHED_BYTES_KEPT_MAX);
                taken
            };
            match taken {
                Taken::Record => {}
                // Nothing follows a goodbye. This one comes again after the reconnect.
                Taken::Goodbye => rest = &[],
            }
        }
        if stream.unfinished.len() + rest.len() > BODY_BYTES_MAX {
            return Err(SubscribeError::Contract(format!(
                "the server sent a record of more than {BODY_BYTES_MAX} bytes"
            )));
        }
        stream.unfinished.extend_from_slice(rest);
        let News { lines, cursor, greeted, finished } = news;
        if greeted {
            self.http.greeted();
        }
        self.cursor = cursor.or(self.cursor.take());
        if lines.is_empty() && !finished {
            return Ok(None);
        }
        self.http.delivered();
        received(&mut self.cursor, lines, finished, at).map(Some)
    }
}

impl News {
    fn take(&mut self, record: &[u8]) -> Result<Taken, SubscribeError> {
        let record = record.trim_ascii();
        if record.is_empty() {
            return Ok(Taken::Record); // a sign of life
        }
        let record = decode::ndjson_record(record).map_err(|error| {
            SubscribeError::Contract(format!("the server sent an invalid record: {error}"))
        })?;
        match record {
            NdjsonRecord::Line(line) => self.lines.push(line),
            NdjsonRecord::Control(NdjsonControl::Hello(hello)) => {
                self.greeted = true;
                self.cursor = Some(hello.cursor);
            }
            NdjsonRecord::Control(NdjsonControl::Finished(end)) => {
                self.cursor = Some(end.cursor);
                self.finished = true;
            }
            // Lines of the same chunk are returned first.
            NdjsonRecord::Control(_) if !self.lines.is_empty() => return Ok(Taken::Goodbye),
            NdjsonRecord::Control(NdjsonControl::Gap(gap)) => return Err(SubscribeError::Gap(gap)),
            NdjsonRecord::Control(NdjsonControl::Deleted {}) => return Err(SubscribeError::Deleted),
        }
        Ok(Taken::Record)
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
