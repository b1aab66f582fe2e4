//! Event-stream parser: bytes of a `text/event-stream` body in, dispatched events out.
//!
//! The SSE client feeds the parser each chunk as it arrives. The parser follows WHATWG HTML §9.2.5–9.2.6 ("Parsing" and
//! "Interpreting an event stream"). It never waits, reconnects, or looks at HTTP: status, content type and the delay
//! before a reconnect belong to the caller.
//!
//! "Line" here means a line of the event stream, one field; the log's lines travel inside `data`.
//!
//! ```
//! use wirelab_clients::event_stream::EventStreamParser;
//!
//! let mut parser = EventStreamParser::new("");
//! let mut events = Vec::new();
//! // Chunks end wherever the network cut them.
//! parser.push(b"id: 7\ndata: compi", &mut events)?;
//! assert!(events.is_empty());
//! parser.push(b"ling\n\n", &mut events)?;
//! assert_eq!((events[0].id.as_str(), events[0].data.as_str()), ("7", "compiling"));
//! # Ok::<(), wirelab_clients::event_stream::LineTooLong>(())
//! ```

use std::borrow::Cow;
use std::mem;
use std::time::Duration;

/// Longest line, and most data of one event, in bytes, unless [`EventStreamParser::with_line_bytes_max`] says
/// otherwise. 1 MiB of text grows at most sixfold in JSON (`\u001b` for one byte); 8 MiB leaves 2 MiB for the
/// members around it.
const LINE_BYTES_MAX: usize = 8 << 20;

/// Capacity kept for the next line or value, in bytes. Without this bound, one long line would cost every subscriber its
/// length for the rest of the connection. Most log lines are shorter.
const KEPT_BYTES_MAX: usize = 4 << 10;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One dispatched event (WHATWG HTML §9.2.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Event type; `message` if the block names none, or an empty one.
    pub event: String,
    /// Values of the block's `data` fields, joined by LF. May be empty.
    pub data: String,
    /// Last event id at dispatch: this block's, or else the one an earlier block left. Empty without one.
    pub id: String,
}

/// One dispatched event, as [`EventStreamParser::push_each`] shows it: its strings are the parser's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRef<'a> {
    /// Event type, as in [`Event::event`].
    pub event: &'a str,
    /// Data, as in [`Event::data`].
    pub data: &'a str,
    /// Last event id, as in [`Event::id`].
    pub id: &'a str,
}

impl EventRef<'_> {
    /// Copies the event, to keep it.
    pub fn to_owned(self) -> Event {
        Event { event: self.event.to_owned(), data: self.data.to_owned(), id: self.id.to_owned() }
    }
}

/// Error: the stream sent a line, or the data of one event, that is longer than the parser's bound.
///
/// Final for its parser, see [`EventStreamParser::push`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "event stream: a line or the data of one event exceeds {line_bytes_max} bytes; send shorter lines or \
     raise the client's bound"
)]
pub struct LineTooLong {
    /// The bound that was exceeded, in bytes.
    pub line_bytes_max: usize,
}

/// Parser of one connection's event stream, fed chunk by chunk; where chunks end makes no difference.
///
/// A new connection needs a new parser, started with the old one's [`last_event_id`](Self::last_event_id): an
/// unfinished block must not leak into the next response. Dropping the parser is how a stream ends.
///
/// Holds one unfinished line and one event's data, both within the bound of
/// [`with_line_bytes_max`](Self::with_line_bytes_max), and an event type and two ids, each out of one line.
#[derive(Debug)]
pub struct EventStreamParser {
    line_bytes_max: usize,
    /// Bytes of a line whose end has not arrived.
    unfinished_line: Vec<u8>,
    place: Place,
    block: Block,
    last_event_id: String,
    retry: Option<Duration>,
    failure: Option<LineTooLong>,
}

/// Place of the next byte in the stream, as far as the bytes before it decide how it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The next byte is in the first line, which may open with a byte order mark.
    FirstLine,
    /// The next byte is in a later line, or starts one.
    LaterLine,
    /// The last chunk ended with a CR: an LF would be the second half of that line end.
    AfterCarriageReturn,
}

/// Fields since the last blank line. Their memory is used again for the next block.
#[derive(Debug, Default)]
struct Block {
    event: String,
    data: Field,
    id: Field,
}

/// Value of a field. A field that did not occur differs from one with an empty value.
#[derive(Debug, Default)]
struct Field {
    value: String,
    occurred: bool,
}

impl Field {
    fn set(&mut self, value: &str) {
        self.value.clear();
        self.value.push_str(value);
        self.occurred = true;
    }

    fn clear(&mut self) {
        forget(&mut self.value);
        self.occurred = false;
    }
}

/// Empties a value and keeps a bounded part of its memory.
fn forget(value: &mut String) {
    value.clear();
    value.shrink_to(KEPT_BYTES_MAX);
}

impl EventStreamParser {
    /// Starts a stream whose request carried `last_event_id`; empty if it carried none.
    ///
    /// Events without an id of their own report this one. The standard's wording starts every stream with an empty id,
    /// so the first event without one would forget the position. Browsers start as this parser does.
    pub fn new(last_event_id: impl Into<String>) -> Self {
        Self {
            line_bytes_max: LINE_BYTES_MAX,
            unfinished_line: Vec::new(),
            place: Place::FirstLine,
            block: Block::default(),
            last_event_id: last_event_id.into(),
            retry: None,
            failure: None,
        }
    }

    /// Sets the bound, in bytes, of a line (without its end, with a byte order mark) and of the decoded data of one
    /// event. The default is 8 MiB.
    pub fn with_line_bytes_max(self, line_bytes_max: usize) -> Self {
        Self { line_bytes_max, ..self }
    }

    /// Feeds one chunk; complete events are appended to `events`.
    ///
    /// # Errors
    ///
    /// [`LineTooLong`] as soon as a line or an event's data passes the bound. Events completed before it, in this chunk
    /// too, are in `events`. Every later call fails with the same error.
    pub fn push(&mut self, chunk: &[u8], events: &mut Vec<Event>) -> Result<(), LineTooLong> {
        self.push_each(chunk, |event| events.push(event.to_owned()))
    }

    /// Feeds one chunk and shows each complete event to `take`: [`Self::push`] without a copy per event.
    ///
    /// # Errors
    ///
    /// As [`Self::push`]. Events completed before the error were shown.
    pub fn push_each(&mut self, chunk: &[u8], mut take: impl FnMut(EventRef<'_>)) -> Result<(), LineTooLong> {
        match self.failure {
            Some(failure) => Err(failure),
            None => self.read_lines(chunk, &mut take).inspect_err(|&failure| {
                self.failure = Some(failure);
                self.unfinished_line = Vec::new();
                self.block = Block::default();
            }),
        }
    }

    /// Returns the id to reconnect with, as of the last blank line. An unfinished block's id does not count, or its
    /// data would be skipped after the reconnect.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// Returns the reconnect delay that the server last asked for. A `retry` field takes effect at once, without a
    /// blank line.
    ///
    /// The value is passed on as sent, up to `u64::MAX` milliseconds: a sensible bound is the caller's.
    pub fn retry(&self) -> Option<Duration> {
        self.retry
    }

    fn read_lines(&mut self, chunk: &[u8], take: &mut impl FnMut(EventRef<'_>)) -> Result<(), LineTooLong> {
        let mut rest = chunk;
        if self.place == Place::AfterCarriageReturn && !chunk.is_empty() {
            self.place = Place::LaterLine;
            rest = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        // Only new bytes are searched, so a long line in small chunks costs no more than in one.
        while let Some(length) = memchr::memchr2(b'\n', b'\r', rest) {
            let (line, end) = rest.split_at(length);
            self.end_line(line, take)?;
            // A CR ends its line right away. Waiting to see whether an LF follows would delay the event until the
            // server sends more.
            rest = if end == b"\r" {
                self.place = Place::AfterCarriageReturn;
                &[]
            } else {
                end.strip_prefix(b"\r\n").unwrap_or(&end[1..])
            };
        }
        self.check_line_length(rest)?;
        self.unfinished_line.extend_from_slice(rest);
        Ok(())
    }

    /// Reads the line that ends with `tail`; earlier chunks may have held its beginning.
    fn end_line(&mut self, tail: &[u8], take: &mut impl FnMut(EventRef<'_>)) -> Result<(), LineTooLong> {
        self.check_line_length(tail)?;
        if self.unfinished_line.is_empty() {
            return self.read_line(tail, take);
        }
        let mut line = mem::take(&mut self.unfinished_line);
        line.extend_from_slice(tail);
        self.read_line(&line, take)?;
        line.clear();
        line.shrink_to(KEPT_BYTES_MAX);
        self.unfinished_line = line;
        Ok(())
    }

    fn read_line(&mut self, line: &[u8], take: &mut impl FnMut(EventRef<'_>)) -> Result<(), LineTooLong> {
        let line = match self.place {
            Place::FirstLine => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line),
            Place::LaterLine | Place::AfterCarriageReturn => line,
        };
        self.place = Place::LaterLine;
        if line.is_empty() {
            self.dispatch(take);
            return Ok(());
        }
        let (name, value) = match memchr::memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &[][..]),
        };
        // One space belongs to the framing, further ones to the value.
        self.read_field(name, value.strip_prefix(b" ").unwrap_or(value))
    }

    fn read_field(&mut self, name: &[u8], value: &[u8]) -> Result<(), LineTooLong> {
        match name {
            b"data" => self.append_data(value)?,
            b"event" => {
                self.block.event.clear();
                self.block.event.push_str(&decode(value));
            }
            // NUL cannot travel back in a `Last-Event-ID` header.
            b"id" if !value.contains(&0) => self.block.id.set(&decode(value)),
            b"retry" => self.retry = parse_retry(value).or(self.retry),
            // Unknown fields, ids with NUL, and comments, which are fields with an empty name.
            _ => {}
        }
        Ok(())
    }

    fn append_data(&mut self, value: &[u8]) -> Result<(), LineTooLong> {
        let value = decode(value);
        let Field { value: data, occurred } = &self.block.data;
        let data_bytes = if *occurred { data.len() + "\n".len() + value.len() } else { value.len() };
        // Many short lines may add up, and each invalid byte becomes three.
        self.check_length(data_bytes)?;
        match &mut self.block.data {
            Field { value: data, occurred: true } => {
                data.push('\n');
                data.push_str(&value);
            }
            first => first.set(&value),
        }
        Ok(())
    }

    /// Ends the block. Its id counts even without data: so a server can move the position without an event.
    fn dispatch(&mut self, take: &mut impl FnMut(EventRef<'_>)) {
        let Block { event, data, id } = &mut self.block;
        if id.occurred {
            mem::swap(&mut self.last_event_id, &mut id.value);
        }
        if data.occurred {
            let event = if event.is_empty() { "message" } else { event.as_str() };
            take(EventRef { event, data: &data.value, id: &self.last_event_id });
        }
        forget(event);
        data.clear();
        id.clear();
    }

    fn check_line_length(&self, tail: &[u8]) -> Result<(), LineTooLong> {
        self.check_length(self.unfinished_line.len() + tail.len())
    }

    fn check_length(&self, length_bytes: usize) -> Result<(), LineTooLong> {
        let line_bytes_max = self.line_bytes_max;
        if length_bytes > line_bytes_max { Err(LineTooLong { line_bytes_max }) } else { Ok(()) }
    }
}

/// Decodes one value. Neither a line end nor the colon falls inside a valid UTF-8 sequence, so the result is that of
/// decoding the whole stream at once.
fn decode(value: &[u8]) -> Cow<'_, str> {
    // Looking for invalid bytes one by one takes longer, and nearly no value has any.
    str::from_utf8(value).map_or_else(|_| String::from_utf8_lossy(value), Cow::Borrowed)
}

/// Parses milliseconds, which must be ASCII digits and nothing else. Saturates: a delay too long to represent is still
/// a long delay.
fn parse_retry(value: &[u8]) -> Option<Duration> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let retry_ms = value
        .iter()
        .fold(0_u64, |retry_ms, digit| retry_ms.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some(Duration::from_millis(retry_ms))
}

#[cfg(test)]
mod tests;
