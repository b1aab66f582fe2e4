//! A line as JSON, encoded once at its append and shared by every reader.
//!
//! Both stores make lines here when an append gets its seqs. Nothing is copied afterwards: readers, caches and the tail
//! in memory hold the same bytes.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use wirelab_clients::wire::{Line, NewLine, Seq, Stream};

/// Size at which a buffer that several lines of one append share takes no further line. A line that is kept keeps its
/// buffer alive, so this bounds what it costs beside its own bytes: 16 KiB of text, up to six times that as JSON.
const SHARED_BYTES: usize = 16 << 10;
/// Largest text that is put into a shared buffer. A larger one has its own, so that a short line never keeps a large one
/// alive.
const SHARED_TEXT_BYTES_MAX: usize = 2 << 10;
/// Room for the members around a plain text, so that most lines are encoded without growing the buffer.
const FRAME_BYTES: usize = 72;

/// A line with its JSON, encoded once at append and shared by every reader.
#[derive(Debug, PartialEq, Eq)]
pub struct EncodedLine {
    /// Position of the line in its log.
    pub seq: Seq,
    /// JSON object of the line on the wire, without line end. Contains no raw CR or LF.
    pub json: Bytes,
}

impl EncodedLine {
    /// Encodes `line` as the wire has it: `{"seq":42,"at_us":…,"text":"…"}`.
    pub fn new(seq: Seq, at_us: u64, line: &NewLine) -> Self {
        let mut json = Vec::with_capacity(FRAME_BYTES + line.text.len());
        encode(&mut json, seq, at_us, line);
        Self { seq, json: without_spare_room(json) }
    }

    /// Encodes the lines of one append, of which the first gets the seq `first`. Short lines share buffers of about
    /// 16 KiB: one allocation for a hundred lines.
    pub fn of_append(first: Seq, at_us: u64, lines: &[NewLine]) -> Vec<Arc<Self>> {
        let mut encoded = Vec::with_capacity(lines.len());
        let mut seq = first;
        for group in groups(lines) {
            let texts_bytes: usize = group.iter().map(|line| line.text.len()).sum();
            let mut json = Vec::with_capacity(group.len() * FRAME_BYTES + texts_bytes);
            // Where each line ends in the buffer. A group has at most as many lines as fit it with their frames.
            let mut ends = [0; SHARED_BYTES / FRAME_BYTES + 1];
            for ((seq, line), end) in (seq..).zip(group).zip(&mut ends) {
                encode(&mut json, seq, at_us, line);
                *end = json.len();
            }
            let json = without_spare_room(json);
            let mut start = 0;
            for &end in &ends[..group.len()] {
                encoded.push(Arc::new(Self { seq, json: json.slice(start..end) }));
                seq += 1;
                start = end;
            }
        }
        encoded
    }

    /// Decodes the line.
    pub fn decode(&self) -> Line {
        serde_json::from_slice(&self.json).expect("encoded by EncodedLine::new or checked at open")
    }
}

/// Splits lines into groups that share a buffer, each at least one line.
fn groups(mut lines: &[NewLine]) -> impl Iterator<Item = &[NewLine]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let alone = lines.first()?.text.len() > SHARED_TEXT_BYTES_MAX;
        let fitting = lines.iter().take_while(|line| {
            bytes += FRAME_BYTES + line.text.len();
            line.text.len() <= SHARED_TEXT_BYTES_MAX && bytes <= SHARED_BYTES
        });
        let count = if alone { 1 } else { fitting.count() };
        let (group, rest) = lines.split_at(count);
        lines = rest;
        Some(group)
    })
}

/// Adds the JSON of a line. The wire's `Line` owns its text and flattens it, which serde does through a map; this struct
/// borrows it, with members in the same order.
fn encode(json: &mut Vec<u8>, seq: Seq, at_us: u64, line: &NewLine) {
    #[derive(Serialize)]
    struct Borrowed<'a> {
        seq: Seq,
        at_us: u64,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        stream: Option<Stream>,
        #[serde(skip_serializing_if = "Option::is_none")]
        level: Option<&'a str>,
    }
    let NewLine { text, stream, level } = line;
    let borrowed = Borrowed { seq, at_us, text, stream: *stream, level: level.as_deref() };
    serde_json::to_writer(json, &borrowed).expect("a line has no key that JSON refuses");
}

/// Returns the bytes without spare room at the end, which would stay as long as a line does: the tail of a log would
/// take twice its bound.
fn without_spare_room(json: Vec<u8>) -> Bytes {
    json.into_boxed_slice().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varied() -> Vec<NewLine> {
        let plain = |bytes: usize| NewLine::plain("x".repeat(bytes));
        let full = NewLine {
            text: "a \"quoted\"\r\n\0 text".to_owned(),
            stream: Some(Stream::Stderr),
            level: Some("warn".to_owned()),
        };
        let mut lines =
            vec![full.clone(), plain(0), plain(SHARED_BYTES * 2), full, plain(SHARED_TEXT_BYTES_MAX)];
        lines.extend((0..2_000).map(|i| plain(i % 300)));
        lines.push(plain(SHARED_TEXT_BYTES_MAX + 1));
        lines
    }

    #[test]
    fn a_line_has_the_same_json_as_the_wires_own_type_however_it_is_encoded() {
        let lines = varied();
        let encoded = EncodedLine::of_append(42, 7, &lines);
        assert_eq!(encoded.len(), lines.len());
        for ((seq, line), encoded) in (42..).zip(lines).zip(encoded) {
            assert_eq!(*encoded, EncodedLine::new(seq, 7, &line));
            assert_eq!(encoded.json, serde_json::to_vec(&Line { seq, at_us: 7, line }).unwrap());
        }
    }

    #[test]
    fn a_kept_line_keeps_little_beside_itself() {
        let lines = varied();
        let groups: Vec<_> = groups(&lines).collect();
        assert_eq!(groups.iter().map(|group| group.len()).sum::<usize>(), lines.len());
        assert!(groups.len() < lines.len() / 10, "{} buffers for {} lines", groups.len(), lines.len());
        for group in groups {
            let bytes: usize = group.iter().map(|line| line.text.len()).sum();
            assert!(group.len() == 1 || bytes <= SHARED_BYTES, "{bytes} bytes in {} lines", group.len());
        }
    }

    #[test]
    fn lines_of_control_characters_take_six_times_their_text_and_no_more() {
        let lines = vec![NewLine::plain("\0".repeat(SHARED_TEXT_BYTES_MAX)); 50];
        let encoded = EncodedLine::of_append(1, 7, &lines);
        assert!(encoded.iter().all(|line| line.json.len() > 6 * SHARED_TEXT_BYTES_MAX));
        assert_eq!(encoded[49].decode().line, lines[49]);
    }
}
