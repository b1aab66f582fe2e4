//! Splits what a publisher sent into new lines: a text or NDJSON body, or the text of a WebSocket command.
//!
//! Pure: bytes in, lines or a refusal out. A body is accepted as a whole or not at all; the bounds are those of the
//! wire.

use wirelab_clients::wire::{APPEND_LINES_MAX, LEVEL_BYTES_MAX, LINE_BYTES_MAX, NewLine};

use crate::exchange::problem::Refusal;
use crate::exchange::request::{self, too_large};

/// Splits a `text/plain` body like [`of_text`], after a check that it is UTF-8.
pub(crate) fn of_bytes(body: &[u8]) -> Result<Vec<NewLine>, Refusal> {
    of_text(std::str::from_utf8(body).map_err(|error| {
        let at = error.valid_up_to();
        Refusal::bad_request(format!("the body is not UTF-8 at byte {at}; replace or encode the bytes there"))
    })?)
}

/// Splits a text at LF; one LF at the end belongs to the last line. Every other character, CR included, is text.
pub(crate) fn of_text(text: &str) -> Result<Vec<NewLine>, Refusal> {
    if text.is_empty() {
        return within_bounds(std::iter::empty());
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    within_bounds(text.split('\n').map(|line| Ok(NewLine::plain(line))))
}

/// Parses an `application/x-ndjson` body, one object per line. Blank lines are skipped, and so is one byte order mark at
/// the start.
pub(crate) fn of_ndjson(body: &[u8]) -> Result<Vec<NewLine>, Refusal> {
    let records = request::without_mark(body).split(|byte| *byte == b'\n').enumerate();
    within_bounds(records.filter(|(_, record)| !record.trim_ascii().is_empty()).map(|(i, record)| {
        let number = i + 1;
        let line: NewLine = request::json_object(record).map_err(|error| {
            Refusal::bad_request(format!(r#"line {number} is not an object like {{"text":"…"}}: {error}"#))
        })?;
        if line.level.as_ref().is_some_and(|level| level.len() > LEVEL_BYTES_MAX) {
            return Err(Refusal::bad_request(format!(
                "line {number}: its level is longer than {LEVEL_BYTES_MAX} bytes; shorten it"
            )));
        }
        Ok(line)
    }))
}

fn within_bounds(lines: impl Iterator<Item = Result<NewLine, Refusal>>) -> Result<Vec<NewLine>, Refusal> {
    let mut kept = Vec::new();
    for line in lines {
        let line = line?;
        if line.text.len() > LINE_BYTES_MAX {
            return Err(too_large(format!(
                "line {} has {} bytes, more than {LINE_BYTES_MAX}; split it",
                kept.len() + 1,
                line.text.len()
            )));
        }
        if kept.len() == APPEND_LINES_MAX {
            return Err(too_large(format!(
                "the body holds more than {APPEND_LINES_MAX} lines; send them in several requests"
            )));
        }
        kept.push(line);
    }
    if kept.is_empty() {
        return Err(Refusal::bad_request("the body holds no line; send at least one, ended by LF"));
    }
    Ok(kept)
}
