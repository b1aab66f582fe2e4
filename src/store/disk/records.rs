//! The records of a segment file: one JSON object per LF, each with its checksum as last member.
//!
//! Pure: bytes in, records out. A line's record is its wire object plus the checksum, so `tail` and `jq` can read a
//! log. A reader gets the wire object back by overwriting one comma:
//!
//! ```text
//! {"append":{"first":42,"last":43,"key":"k1","digest":"0f…"},"crc":"5d0c11aa"}
//! {"seq":42,"at_us":1732260000000000,"text":"compiling","crc":"9a3f0c11"}
//! {"seq":43,"at_us":1732260000000000,"text":"done","crc":"07c2e4b0"}
//! {"finished":{"status":"succeeded","at_us":1732260000000123},"crc":"11d09f3e"}
//! ```
//!
//! `append` precedes the lines of an append that has a key or several lines. It joins them, so that a write torn by a
//! crash leaves all of them or none.

use std::io::BufRead;

use serde::{Deserialize, Serialize};
use wirelab_clients::wire::{Seq, Status};

use super::index::SparseIndex;
use crate::store::IdempotencyKey;

/// End of a record in place of the wire object's last `}`: `,"crc":"` + 8 hex digits + `"}`.
const CRC_MEMBER: [u8; 18] = *br#","crc":"00000000"}"#;
const CRC_DIGITS: std::ops::Range<usize> = 8..16;
/// Start of every line's record. Quotes inside a text are escaped, so no text can contain it.
const LINE_START: &[u8] = br#"{"seq":"#;

/// A record that is not a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ControlRecord {
    /// The lines `first ..= last` follow and are one append.
    Append {
        first: Seq,
        last: Seq,
        #[serde(flatten)]
        key: Option<KeyRecord>,
    },
    /// The log has ended. Nothing follows.
    Finished { status: Status, at_us: u64 },
}

/// An idempotency key as a file holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    key: String,
    /// Digest in 64 hex digits.
    digest: String,
}

impl From<&IdempotencyKey> for KeyRecord {
    fn from(key: &IdempotencyKey) -> Self {
        let digest = key.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { key: key.key.clone(), digest }
    }
}

impl KeyRecord {
    pub(super) fn decode(self) -> Option<IdempotencyKey> {
        let mut digest = [0; 32];
        for (i, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(self.digest.get(2 * i..2 * i + 2)?, 16).ok()?;
        }
        Some(IdempotencyKey { key: self.key, digest })
    }
}

/// The content of one record.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    Line(Seq),
    ControlRecord(ControlRecord),
}

/// Flaw of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// The file ends inside the record.
    Unended,
    /// The checksum does not match the bytes.
    Checksum,
    /// The record is whole, but this version does not know its kind.
    Unknown,
}

impl Flaw {
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Unended => "a record without its line end",
            Self::Checksum => "a record with a wrong checksum",
            Self::Unknown => "a record of an unknown kind",
        }
    }
}

/// Adds `json`, an object of at least one member, as a record.
pub(super) fn push_record(records: &mut Vec<u8>, json: &[u8]) {
    let open = json.strip_suffix(b"}").expect("every record is a JSON object");
    records.extend_from_slice(open);
    records.extend_from_slice(&crc_member(crc32fast::hash(json)));
    records.push(b'\n');
}

/// Adds a record that is not a line.
pub(super) fn push_control(records: &mut Vec<u8>, control: &ControlRecord) {
    push_record(records, &serde_json::to_vec(control).expect("a control has no key that JSON refuses"));
}

fn crc_member(crc: u32) -> [u8; CRC_MEMBER.len()] {
    let mut member = CRC_MEMBER;
    for (i, digit) in member[CRC_DIGITS].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(crc >> (28 - 4 * i)) as usize & 15];
    }
    member
}

/// Parses the record that begins at `at`. Returns it with the offset after its LF.
pub(super) fn record_at(bytes: &[u8], at: usize) -> Result<(Record, usize), Flaw> {
    let mut rest = &bytes[at..];
    // The standard library's only byte search that uses vector instructions.
    let length = rest.skip_until(b'\n').expect("memory can be read");
    let record = bytes[at..at + length].strip_suffix(b"\n").ok_or(Flaw::Unended)?;
    Ok((parse(record)?, at + length))
}

/// Turns the record that ends at `end` back into the wire object, and returns where that ends. The record must have
/// been checked by [`record_at`].
pub(super) fn strip_checksum(bytes: &mut [u8], end: usize) -> usize {
    let brace = end - b"\n".len() - CRC_MEMBER.len();
    bytes[brace] = b'}';
    brace + 1
}

fn parse(record: &[u8]) -> Result<Record, Flaw> {
    let open = checked(record).ok_or(Flaw::Checksum)?;
    if let Some(rest) = open.strip_prefix(LINE_START) {
        let digits = rest.split(|byte| *byte == b',').next().unwrap_or_default();
        let seq = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        return seq.map(Record::Line).ok_or(Flaw::Unknown);
    }
    let json = [open, b"}"].concat();
    serde_json::from_slice(&json).map(Record::ControlRecord).map_err(|_| Flaw::Unknown)
}

/// Returns the record without its checksum and last `}`, if the checksum is right.
pub(super) fn checked(record: &[u8]) -> Option<&[u8]> {
    let (open, member) = record.split_at_checked(record.len().checked_sub(CRC_MEMBER.len())?)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(open);
    hasher.update(b"}");
    (member == crc_member(hasher.finalize())).then_some(open)
}

/// Content of a segment, up to its end or its first damage.
#[derive(Debug)]
pub(super) struct Scan {
    /// Seq after the last whole append.
    pub(super) next: Seq,
    /// Offset of the end of the last whole append.
    pub(super) whole_bytes: u64,
    pub(super) index: SparseIndex,
    /// Keys with their first and last seq, oldest first.
    pub(super) keys: Vec<(IdempotencyKey, Seq, Seq)>,
    /// How the log ended, and when.
    pub(super) finished: Option<(Status, u64)>,
    pub(super) damage: Option<Damage>,
}

/// The first damage of a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    pub(super) offset: u64,
    pub(super) what: String,
    /// Whether a whole record is there or after it. A crash never leaves a whole record after torn bytes. So this is
    /// other damage, and cutting would lose acknowledged lines.
    pub(super) followed: bool,
}

/// Scans a segment whose first line is `first`.
pub(super) fn scan(bytes: &[u8], first: Seq) -> Scan {
    let mut scan = Scan {
        next: first,
        whole_bytes: 0,
        index: SparseIndex::default(),
        keys: Vec::new(),
        finished: None,
        damage: None,
    };
    // The append whose lines are being scanned: its header's offset, first and last seq, and key.
    let mut open: Option<(usize, Seq, Seq, Option<IdempotencyKey>)> = None;
    let mut at = 0;
    while at < bytes.len() {
        let damage = |what: String, followed| Some(Damage { offset: at as u64, what, followed });
        let (record, end) = match record_at(bytes, at) {
            Ok(found) => found,
            Err(flaw) => {
                // A write that a crash tore leaves a beginning of its bytes: the last record has no line end. A record
                // with a line end was written as a whole and may have been acknowledged.
                let followed = flaw != Flaw::Unended
                    || has_whole_record(bytes, at + 1)
                    || has_another_byte_for_its_line_end(&bytes[at..]);
                scan.damage = damage(flaw.what().to_owned(), followed);
                break;
            }
        };
        match record {
            _ if scan.finished.is_some() => {
                scan.damage = damage("a record after the end of the log".to_owned(), true);
                break;
            }
            Record::Line(seq) if seq == scan.next => {
                scan.index.note(seq, at as u64);
                scan.next += 1;
                match open.take() {
                    Some(append) if seq < append.2 => open = Some(append),
                    Some((_, first, last, key)) => scan.keys.extend(key.map(|key| (key, first, last))),
                    None => {}
                }
            }
            Record::ControlRecord(ControlRecord::Append { first, last, key })
                if open.is_none() && first == scan.next && first <= last =>
            {
                let key = match key.map(KeyRecord::decode) {
                    Some(None) => {
                        scan.damage = damage("an idempotency key without a digest".to_owned(), true);
                        break;
                    }
                    Some(Some(key)) => Some(key),
                    None => None,
                };
                open = Some((at, first, last, key));
            }
            Record::ControlRecord(ControlRecord::Finished { status, at_us }) if open.is_none() => {
                scan.finished = Some((status, at_us));
            }
            Record::Line(seq) => {
                scan.damage = damage(format!("seq {seq} where {} is due", scan.next), true);
                break;
            }
            Record::ControlRecord(_) => {
                scan.damage = damage(format!("a header where seq {} is due", scan.next), true);
                break;
            }
        }
        at = end;
        if open.is_none() {
            scan.whole_bytes = at as u64;
        }
    }
    if let Some((header, first, ..)) = open {
        scan.index.cut(first);
        scan.next = first;
        let what = "an append without its last lines".to_owned();
        scan.damage.get_or_insert(Damage { offset: header as u64, what, followed: false });
    }
    scan
}

/// Tells whether `record` is whole, with one byte in place of its line end. A torn write would lack that byte, or hold 0
/// there, where the rest of a block was not written.
fn has_another_byte_for_its_line_end(record: &[u8]) -> bool {
    record.split_last().is_some_and(|(last, record)| *last != 0 && checked(record).is_some())
}

/// Tells whether a whole record begins anywhere at or after `from`. Line ends are not trusted: a damaged one hides the
/// record that follows it.
fn has_whole_record(bytes: &[u8], from: usize) -> bool {
    (from..bytes.len())
        .filter(|&at| bytes[at..].starts_with(b"{\""))
        .any(|at| !matches!(record_at(bytes, at), Err(Flaw::Unended | Flaw::Checksum)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EncodedLine;
    use wirelab_clients::wire::NewLine;

    fn line(records: &mut Vec<u8>, seq: Seq) {
        push_record(records, &EncodedLine::new(seq, 7, &NewLine::plain(r#"{"seq":1}"#)).json);
    }

    #[test]
    fn a_record_is_the_wire_object_with_a_checksum() {
        let mut records = Vec::new();
        line(&mut records, 42);
        let text = String::from_utf8(records.clone()).unwrap();
        assert!(text.starts_with(r#"{"seq":42,"at_us":7,"text":"{\"seq\":1}","crc":""#), "{text}");
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["crc"].as_str().unwrap().len(), 8);
        assert_eq!(record_at(&records, 0), Ok((Record::Line(42), records.len())));
        let end = records.len();
        let wire_end = strip_checksum(&mut records, end);
        assert_eq!(records[..wire_end], EncodedLine::new(42, 7, &NewLine::plain(r#"{"seq":1}"#)).json);
    }

    #[test]
    fn a_header_carries_its_key_through_the_file() {
        let key = IdempotencyKey { key: "k\"1".to_owned(), digest: std::array::from_fn(|i| i as u8 * 8) };
        let mut records = Vec::new();
        push_control(&mut records, &ControlRecord::Append { first: 1, last: 2, key: Some((&key).into()) });
        line(&mut records, 1);
        line(&mut records, 2);
        let scan = scan(&records, 1);
        assert_eq!(scan.keys, [(key, 1, 2)]);
        assert_eq!((scan.next, scan.whole_bytes, scan.damage), (3, records.len() as u64, None));
    }

    #[test]
    fn a_whole_record_out_of_place_is_never_taken_for_a_torn_one() {
        let header = |records: &mut Vec<u8>, first, last| {
            push_control(records, &ControlRecord::Append { first, last, key: None });
        };
        let finished = |records: &mut Vec<u8>| {
            push_control(records, &ControlRecord::Finished { status: Status::Failed, at_us: 7 });
        };
        type Write<'a> = &'a dyn Fn(&mut Vec<u8>);
        let misplaced: [(&str, Write); 7] = [
            ("a repeated line", &|records| line(records, 1)),
            ("a gap", &|records| line(records, 3)),
            ("a header for other lines", &|records| header(records, 3, 4)),
            ("a header inside an append", &|records| (header(records, 2, 3), header(records, 2, 3)).1),
            ("a header for no line", &|records| header(records, 2, 1)),
            ("an end inside an append", &|records| (header(records, 2, 3), finished(records)).1),
            ("a line after the end", &|records| (finished(records), line(records, 2)).1),
        ];
        for (name, write) in misplaced {
            let mut records = Vec::new();
            line(&mut records, 1);
            write(&mut records);
            let damage = scan(&records, 1).damage.unwrap_or_else(|| panic!("{name} was taken"));
            assert!(damage.followed, "{name} would be cut off: {damage:?}");
        }
        let mut records = Vec::new();
        push_record(&mut records, br#"{"novel":1}"#);
        assert!(scan(&records, 1).damage.unwrap().followed);
    }
}
