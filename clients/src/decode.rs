//! Decoding of what brings lines, for the client halves: as serde decodes it, without its cost per line.
//!
//! Lines come by the million, and a general decoder looks for every member in any order. wirelab's server writes the
//! members of a line in one order and without spaces. Such a line is read from left to right here. Anything else, with
//! any error in it, is left to serde, so that both decode the same: a property test compares them. Public for
//! `benches/micro` alone.

use serde_json::Result;

use crate::spare;
use crate::wire::{Batch, DeploymentId, Line, NdjsonRecord, NewLine, Stream};

/// Digits of a number that is read here: `u64` holds any number of 19 digits.
const DIGITS_MAX: usize = 19;

/// Decodes one line: the data of an event without a name.
pub fn line(json: &str) -> Result<Line> {
    match plain_line(json) {
        Some((line, "")) => Ok(line),
        Some(_) | None => serde_json::from_str(json),
    }
}

/// Decodes one record of an NDJSON stream.
pub fn ndjson_record(json: &[u8]) -> Result<NdjsonRecord> {
    match str::from_utf8(json).ok().and_then(plain_line) {
        Some((line, "")) => Ok(NdjsonRecord::Line(line)),
        Some(_) | None => serde_json::from_slice(json),
    }
}

/// Decodes the answer to a poll.
pub fn batch(json: &[u8]) -> Result<Batch> {
    match str::from_utf8(json).ok().and_then(plain_batch) {
        Some(batch) => Ok(batch),
        None => serde_json::from_slice(json),
    }
}

/// Beginning and end of the frames that bring the lines of one room.
#[derive(Debug)]
pub struct LineFrame {
    head: String,
}

impl LineFrame {
    /// Prepares for the frames of this deployment.
    pub fn of(deployment: &DeploymentId) -> Self {
        Self { head: format!(r#"{{"type":"line","deployment":"{deployment}","line":"#) }
    }

    /// Decodes a frame with a line of the room. `None`: it is another frame, or it is written in another way.
    pub fn line(&self, json: &str) -> Option<Line> {
        match plain_line(json.strip_prefix(&self.head)?)? {
            (line, "}") => Some(line),
            _ => None,
        }
    }
}

/// Decodes a batch as the server writes it. The members after the lines are few and go to serde.
fn plain_batch(json: &str) -> Option<Batch> {
    const HEAD: &str = r#"{"lines":["#;
    let mut rest = json.strip_prefix(HEAD)?;
    let mut lines = spare::list();
    while let Some((line, after)) = plain_line(rest) {
        lines.push(line);
        rest = match after.strip_prefix(',') {
            // What follows a comma is another line.
            Some(more) if more.starts_with('{') => more,
            Some(_) => return None,
            None if after.starts_with(']') => {
                let batch: Batch = serde_json::from_str(&[HEAD, after].concat()).ok()?;
                return Some(Batch { lines, ..batch });
            }
            None => return None,
        };
    }
    None
}

/// Decodes a line as the server writes it, and returns what follows it.
fn plain_line(json: &str) -> Option<(Line, &str)> {
    let (seq, rest) = number(json.strip_prefix(r#"{"seq":"#)?)?;
    let (at_us, rest) = number(rest.strip_prefix(r#","at_us":"#)?)?;
    let (text, rest) = string(rest.strip_prefix(r#","text":"#)?)?;
    let (stream, rest) = match rest.strip_prefix(r#","stream":"#) {
        Some(rest) => [(r#""stdout""#, Stream::Stdout), (r#""stderr""#, Stream::Stderr)]
            .into_iter()
            .find_map(|(name, stream)| Some((Some(stream), rest.strip_prefix(name)?)))?,
        None => (None, rest),
    };
    let (level, rest) = match rest.strip_prefix(r#","level":"#) {
        Some(rest) => string(rest).map(|(level, rest)| (Some(level), rest))?,
        None => (None, rest),
    };
    Some((Line { seq, at_us, line: NewLine { text, stream, level } }, rest.strip_prefix('}')?))
}

/// Decodes a number without sign, fraction and exponent.
fn number(json: &str) -> Option<(u64, &str)> {
    let bytes = json.as_bytes();
    let (mut value, mut digits) = (0_u64, 0);
    // A time stamp has 16 digits: two steps.
    while digits + 8 <= DIGITS_MAX
        && let Some(eight) = bytes.get(digits..digits + 8).and_then(eight_digits)
    {
        value = value * 100_000_000 + eight;
        digits += 8;
    }
    for byte in &bytes[digits..bytes.len().min(DIGITS_MAX)] {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        value = value * 10 + u64::from(digit);
        digits += 1;
    }
    let (number, rest) = json.split_at(digits);
    let is_plain = match number.as_bytes() {
        [] | [b'0', _, ..] => false,
        [_, ..] => true,
    };
    is_plain.then_some((value, rest))
}

/// Decodes eight digits at once: neighbours are joined to pairs, pairs to fours, and fours to the number.
/// `None`: not all of them are digits. (Lemire, "Quickly parsing eight digits", 2018.)
fn eight_digits(bytes: &[u8]) -> Option<u64> {
    const PAIRS: u64 = 0x0000_00ff_0000_00ff;
    let word = u64::from_le_bytes(bytes.try_into().ok()?);
    let high_halves = 0xf0f0_f0f0_f0f0_f0f0;
    // A digit stays between 0x30 and 0x3f with 6 added to it; no other byte does.
    let are_digits = word & high_halves == 0x3030_3030_3030_3030
        && word.wrapping_add(0x0606_0606_0606_0606) & high_halves == 0x3030_3030_3030_3030;
    let digits = word & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = digits * 10 + (digits >> 8);
    let first = (pairs & PAIRS).wrapping_mul(100 + (1_000_000 << 32));
    let second = ((pairs >> 16) & PAIRS).wrapping_mul(1 + (10_000 << 32));
    are_digits.then_some(first.wrapping_add(second) >> 32)
}

/// Decodes a string that begins with its quote.
fn string(json: &str) -> Option<(String, &str)> {
    let body = json.strip_prefix('"')?;
    let first = memchr::memchr2(b'"', b'\\', body.as_bytes())?;
    if body.as_bytes()[first] == b'"' {
        let text = &body[..first];
        // Control characters must be escaped. Every byte is looked at, since that takes less time than to stop early.
        let has_control = text.bytes().fold(false, |found, byte| found | (byte < 0x20));
        return (!has_control).then(|| (spare::text(text), &body[first + 1..]));
    }
    let mut end = first;
    while body.as_bytes()[end] == b'\\' {
        let after = end + 2;
        end = after + memchr::memchr2(b'"', b'\\', body.as_bytes().get(after..)?)?;
    }
    let (escaped, rest) = json.split_at(end + 2);
    Some((serde_json::from_str(escaped).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Hello, NdjsonControl, ServerFrame};
    use proptest::prelude::*;

    /// Any line, with many characters that JSON escapes.
    fn any_line() -> impl Strategy<Value = Line> {
        let text = prop_oneof![any::<String>(), "[\\x00-\\x7f]{0,40}", "[\"\\\\/u0-9a-f\u{e9}]{0,20}"];
        let stream = proptest::option::of(prop_oneof![Just(Stream::Stdout), Just(Stream::Stderr)]);
        let level = proptest::option::of("\\PC{0,9}");
        (any::<u64>(), any::<u64>(), text, stream, level).prop_map(|(seq, at_us, text, stream, level)| Line {
            seq,
            at_us,
            line: NewLine { text, stream, level },
        })
    }

    fn json(value: &impl serde::Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    /// JSON that is almost a line, a batch or a frame: one of its bytes is another, or it is cut.
    fn damaged(json: &str, at: usize, byte: u8) -> [Vec<u8>; 3] {
        let at = at % json.len();
        let mut other = json.as_bytes().to_vec();
        other[at] = byte;
        let mut longer = json.as_bytes().to_vec();
        longer.insert(at, byte);
        [other, longer, json.as_bytes()[..at].to_vec()]
    }

    fn room() -> DeploymentId {
        "01k3aaaa".parse().unwrap()
    }

    fn batch_of(lines: Vec<Line>) -> Batch {
        Batch { lines, next: "k3x9.42".parse().unwrap(), more: true, finished: false }
    }

    #[test]
    fn what_the_server_writes_is_read_without_serde() {
        let new = NewLine {
            text: "a \"b\"\u{1b}[0m".to_owned(),
            stream: Some(Stream::Stderr),
            level: Some("w".into()),
        };
        let line = Line { seq: 7, at_us: 0, line: new };
        assert_eq!(plain_line(&json(&line)), Some((line.clone(), "")));
        let batch = batch_of(vec![line.clone(), line.clone()]);
        assert_eq!(plain_batch(&json(&batch)), Some(batch));
        let frame = ServerFrame::Line { deployment: room(), line: line.clone() };
        assert_eq!(LineFrame::of(&room()).line(&json(&frame)), Some(line));
    }

    #[test]
    fn numbers_of_any_length_are_read_and_other_bytes_are_not_digits() {
        for digits in 1..=DIGITS_MAX {
            let text = &"9876543210123456789"[..digits];
            assert_eq!(number(&format!("{text},")), Some((text.parse().unwrap(), ",")));
        }
        for byte in 0..=u8::MAX {
            let mut bytes = *b"12345678";
            for at in 0..bytes.len() {
                bytes[at] = byte;
                let expected = str::from_utf8(&bytes).ok().filter(|_| bytes.iter().all(u8::is_ascii_digit));
                assert_eq!(eight_digits(&bytes), expected.map(|text| text.parse().unwrap()), "{bytes:?}");
                bytes = *b"12345678";
            }
        }
    }

    #[test]
    fn members_in_another_order_and_other_records_are_read_too() {
        let spaced = r#" {"level":null, "text":"a","x":[1],"at_us":1,"seq":2} "#;
        assert_eq!(line(spaced).unwrap(), Line { seq: 2, at_us: 1, line: NewLine::plain("a") });
        let hello = NdjsonRecord::Control(NdjsonControl::Hello(Hello { cursor: "k.0".parse().unwrap() }));
        assert_eq!(ndjson_record(json(&hello).as_bytes()).unwrap(), hello);
        for wrong in
            ["", "{", "{\"seq\":01,\"at_us\":1,\"text\":\"\"}", "{\"seq\":1,\"at_us\":1,\"text\":\"\t\"}"]
        {
            assert!(line(wrong).is_err() && serde_json::from_str::<Line>(wrong).is_err(), "{wrong}");
        }
        let frame = ServerFrame::Line { deployment: "other".parse().unwrap(), line: line(spaced).unwrap() };
        assert_eq!(LineFrame::of(&room()).line(&json(&frame)), None, "another room");
    }

    proptest! {
        #[test]
        fn a_line_is_decoded_as_serde_does(any in any_line(), at in any::<usize>(), byte in any::<u8>()) {
            let json = json(&any);
            prop_assert_eq!(&line(&json).unwrap(), &any);
            prop_assert_eq!(ndjson_record(json.as_bytes()).unwrap(), NdjsonRecord::Line(any));
            for damaged in damaged(&json, at, byte) {
                prop_assert_eq!(ndjson_record(&damaged).ok(), serde_json::from_slice(&damaged).ok());
                if let Ok(damaged) = str::from_utf8(&damaged) {
                    prop_assert_eq!(line(damaged).ok(), serde_json::from_str(damaged).ok());
                }
            }
        }

        #[test]
        fn a_batch_is_decoded_as_serde_does(
            lines in proptest::collection::vec(any_line(), 0..4), at in any::<usize>(), byte in any::<u8>(),
        ) {
            let any = batch_of(lines);
            let json = json(&any);
            prop_assert_eq!(batch(json.as_bytes()).unwrap(), any);
            for damaged in damaged(&json, at, byte) {
                prop_assert_eq!(batch(&damaged).ok(), serde_json::from_slice(&damaged).ok());
            }
        }

        #[test]
        fn a_frame_with_a_line_is_decoded_as_serde_does(
            line in any_line(), at in any::<usize>(), byte in any::<u8>(),
        ) {
            let (frames, frame) = (LineFrame::of(&room()), ServerFrame::Line { deployment: room(), line });
            let json = json(&frame);
            let full = |json: &str| match serde_json::from_str(json).ok()? {
                ServerFrame::Line { line, .. } => Some(line),
                _ => None,
            };
            prop_assert_eq!(frames.line(&json), full(&json));
            for damaged in damaged(&json, at, byte) {
                let Ok(damaged) = str::from_utf8(&damaged) else { continue };
                if let Some(line) = frames.line(damaged) {
                    prop_assert_eq!(Some(line), full(damaged));
                }
            }
        }
    }
}
