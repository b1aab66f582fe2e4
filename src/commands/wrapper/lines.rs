//! Splits the bytes of a command's output into lines, for `publish` and `record`.
//!
//! What is shown does not pass through here. Lines end at LF and nowhere else; a line above the bound of a line becomes
//! several. Nothing here reads or waits.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;
use wirelab_clients::wire::{LINE_BYTES_MAX, NewLine, Stream};

use super::backlog::Piece;
use crate::terminal::complain;

/// One line of output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OutputLine {
    /// When its last bytes were read.
    pub(crate) at: Instant,
    /// The line. Invalid bytes are already replaced by U+FFFD.
    pub(crate) line: NewLine,
    /// Whether this is a piece of a line above the bound, which goes on in the next piece.
    pub(crate) is_cut: bool,
}

/// Counts of repaired lines, to be reported at the end.
#[derive(Debug, Default)]
pub(crate) struct Repairs {
    replaced: u64,
    cut: usize,
}

impl Repairs {
    /// Reports the repairs on stderr, if there were any.
    pub(crate) fn tell(&self) {
        let Self { replaced, cut } = self;
        if *replaced > 0 {
            let lines = super::counted_lines(*replaced);
            complain(format!("{lines} held bytes that are not UTF-8; those became U+FFFD"));
        }
        if *cut > 0 {
            let of_lines = format!("of lines above {LINE_BYTES_MAX} bytes became lines of their own");
            complain(format!("{cut} {} {of_lines}", if *cut == 1 { "piece" } else { "pieces" }));
        }
    }
}

/// Lines of the pieces that it is fed, in their order. Each output has its own unfinished line.
#[derive(Debug)]
pub(crate) struct Lines {
    splitters: [(Option<Stream>, Splitter); 3],
    current: Option<Piece>,
    read_last: Instant,
    repairs: Repairs,
}

impl Lines {
    pub(crate) fn new() -> Self {
        let streams = [None, Some(Stream::Stdout), Some(Stream::Stderr)];
        Self {
            splitters: streams.map(|stream| (stream, Splitter::default())),
            current: None,
            read_last: Instant::now(),
            repairs: Repairs::default(),
        }
    }

    /// Takes the next piece of output. The lines of the one before must have been taken.
    pub(crate) fn feed(&mut self, piece: Piece) {
        debug_assert!(self.current.is_none(), "a piece with lines in it would be lost");
        self.current = Some(piece);
    }

    /// Returns the next line that is whole; `None` when another piece is needed.
    pub(crate) fn next(&mut self) -> Option<OutputLine> {
        let piece = self.current.as_mut()?;
        let (at, stream) = (piece.at, piece.stream);
        self.read_last = at;
        let (_, splitter) = self.splitters.iter_mut().find(|(of, _)| *of == stream).expect("all are there");
        let split = splitter.next(&mut piece.bytes);
        if split.is_none() {
            self.current = None;
        }
        Some(self.told(split?, at, stream))
    }

    /// Returns what is left when the output has ended: lines without an LF.
    pub(crate) fn last(&mut self) -> Option<OutputLine> {
        let (split, stream) =
            self.splitters.iter_mut().find_map(|(stream, splitter)| Some((splitter.last()?, *stream)))?;
        Some(self.told(split, self.read_last, stream))
    }

    /// Returns the repairs of the lines so far.
    pub(crate) fn into_repairs(self) -> Repairs {
        self.repairs
    }

    fn told(&mut self, split: Split, at: Instant, stream: Option<Stream>) -> OutputLine {
        let Split { text, was_replaced, is_cut } = split;
        self.repairs.replaced += u64::from(was_replaced);
        self.repairs.cut += usize::from(is_cut);
        OutputLine { at, line: NewLine { text, stream, level: None }, is_cut }
    }
}

/// A line, or a piece of one above the bound.
#[derive(Debug, PartialEq, Eq)]
struct Split {
    text: String,
    was_replaced: bool,
    is_cut: bool,
}

/// Splits one output, however it comes in pieces.
#[derive(Debug, Default)]
struct Splitter {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// Whether the last piece was cut at the bound.
    goes_on: bool,
    ready: VecDeque<Split>,
}

/// The end of a piece of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceEnd {
    LineFeed,
    /// The line is longer than the bound and goes on in the next piece.
    Bound,
    /// The output has ended.
    Output,
}

impl Splitter {
    /// Takes the next line from the front of `bytes`; `None` when all of them are taken.
    fn next(&mut self, bytes: &mut Bytes) -> Option<Split> {
        while self.ready.is_empty() && !bytes.is_empty() {
            let room = LINE_BYTES_MAX - self.begun.len();
            // The search covers one byte more than there is room for: a line of exactly the bound ends with its LF.
            match memchr::memchr(b'\n', &bytes[..bytes.len().min(room + 1)]) {
                Some(end) => {
                    self.begun.extend_from_slice(&bytes.split_to(end + 1)[..end]);
                    self.complete(PieceEnd::LineFeed);
                }
                None if bytes.len() <= room => self.begun.extend_from_slice(&std::mem::take(bytes)),
                None => {
                    self.begun.extend_from_slice(&bytes.split_to(room));
                    self.complete(PieceEnd::Bound);
                }
            }
        }
        self.ready.pop_front()
    }

    /// Takes what has no LF, now that none will come.
    fn last(&mut self) -> Option<Split> {
        if self.ready.is_empty() {
            self.complete(PieceEnd::Output);
        }
        self.ready.pop_front()
    }

    fn complete(&mut self, end: PieceEnd) {
        let mut piece = std::mem::take(&mut self.begun);
        if end == PieceEnd::Bound {
            // A character that the bound would have cut in two begins the next piece.
            self.begun = piece.split_off(piece.len() - unfinished_bytes(&piece));
        }
        // An empty piece is dropped if it only ends a line whose last piece had exactly the length of the bound.
        let is_nothing_new = piece.is_empty() && (self.goes_on || end == PieceEnd::Output);
        self.goes_on = end == PieceEnd::Bound;
        if is_nothing_new {
            return;
        }
        let (text, was_replaced) = match String::from_utf8(piece) {
            Ok(text) => (text, false),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), true),
        };
        if text.len() <= LINE_BYTES_MAX {
            self.ready.push_back(Split { text, was_replaced, is_cut: end == PieceEnd::Bound });
            return;
        }
        for (text, is_last) in within_bound(&text) {
            let is_cut = !is_last || end == PieceEnd::Bound;
            self.ready.push_back(Split { text: text.to_owned(), was_replaced, is_cut });
        }
    }
}

/// Returns the number of bytes at the end that begin a UTF-8 character without finishing it.
fn unfinished_bytes(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        // The text is whole, or broken elsewhere, so any end is good.
        Ok(_) | Err(_) => 0,
    }
}

/// Splits text into pieces within the bound on a line, each with whether it is the last. U+FFFD takes three bytes in
/// place of one invalid byte, so the text may have grown beyond the bound.
fn within_bound(text: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = (0..=LINE_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end))?;
        let (piece, after) = text.split_at(end);
        rest = (!after.is_empty()).then_some(after);
        Some((piece, after.is_empty()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `output` is split into, when it comes in reads of `read_bytes`.
    fn split(output: &[u8], read_bytes: usize) -> Vec<(String, bool, bool)> {
        let mut splitter = Splitter::default();
        let mut splits = Vec::new();
        for read in output.chunks(read_bytes) {
            let mut read = Bytes::copy_from_slice(read);
            splits.extend(std::iter::from_fn(|| splitter.next(&mut read)));
        }
        splits.extend(std::iter::from_fn(|| splitter.last()));
        splits.into_iter().map(|Split { text, was_replaced, is_cut }| (text, was_replaced, is_cut)).collect()
    }

    fn pieces(output: &[u8]) -> Vec<(String, bool, bool)> {
        let whole = split(output, output.len().max(1));
        assert!(whole == split(output, 65_536), "another way of reading gives other lines");
        whole
    }

    fn line(text: &str) -> (String, bool, bool) {
        (text.to_owned(), false, false)
    }

    #[test]
    fn lines_end_at_line_feeds_and_nowhere_else() {
        for read_bytes in 1..6 {
            assert_eq!(split(b"", read_bytes), []);
            assert_eq!(split(b"a\n\nb\r\nc", read_bytes), [line("a"), line(""), line("b\r"), line("c")]);
            assert_eq!(split(b"\n", read_bytes), [line("")]);
            assert_eq!(split("é\u{1f980}\n".as_bytes(), read_bytes), [line("é\u{1f980}")]);
            assert_eq!(split(b"a\xffb\n", read_bytes), [("a\u{fffd}b".to_owned(), true, false)]);
        }
    }

    #[test]
    fn each_output_has_its_own_unfinished_line() {
        let mut lines = Lines::new();
        let at = Instant::now();
        let mut all = Vec::new();
        for (stream, bytes) in [
            (Stream::Stdout, "ou"),
            (Stream::Stderr, "error\ner"),
            (Stream::Stdout, "t\n"),
            (Stream::Stderr, "r"),
        ] {
            lines.feed(Piece { at, stream: Some(stream), bytes: Bytes::from(bytes) });
            all.extend(std::iter::from_fn(|| lines.next()));
        }
        all.extend(std::iter::from_fn(|| lines.last()));
        let texts: Vec<_> = all.iter().map(|read| (read.line.text.as_str(), read.line.stream)).collect();
        let (out, err) = (Some(Stream::Stdout), Some(Stream::Stderr));
        assert_eq!(texts, [("error", err), ("out", out), ("err", err)]);
    }

    #[test]
    fn a_line_above_the_bound_is_cut_between_characters_and_nothing_is_lost() {
        for filler in ["x", "é", "€", "🦀"] {
            for shift in 0..4 {
                let long = "y".repeat(shift) + &filler.repeat((LINE_BYTES_MAX + 9) / filler.len());
                let given = format!("{long}\nnext\n");
                let got = pieces(given.as_bytes());
                assert!(got.iter().all(|(text, replaced, _)| text.len() <= LINE_BYTES_MAX && !replaced));
                let (last, of_long) = got.split_last().unwrap();
                assert_eq!(*last, line("next"));
                let joined: String = of_long.iter().map(|(text, ..)| text.as_str()).collect();
                assert!(joined == long, "{filler} × {shift}");
                let cuts: Vec<_> = of_long.iter().map(|(.., cut)| *cut).collect();
                assert_eq!(cuts.last(), Some(&false));
                assert!(cuts[..cuts.len() - 1].iter().all(|cut| *cut));
            }
        }
    }

    #[test]
    fn a_line_as_long_as_the_bound_is_one_line() {
        let long = "x".repeat(LINE_BYTES_MAX);
        assert_eq!(pieces(format!("{long}\nb\n").as_bytes()), [line(&long), line("b")]);
    }

    #[test]
    fn invalid_bytes_that_grow_beyond_the_bound_become_several_lines() {
        let got = pieces(&[0xff; LINE_BYTES_MAX]);
        let characters: usize = got.iter().map(|(text, ..)| text.chars().count()).sum();
        assert_eq!(characters, LINE_BYTES_MAX);
        assert!(got.iter().all(|(text, replaced, _)| text.len() <= LINE_BYTES_MAX && *replaced));
    }
}
