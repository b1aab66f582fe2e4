//! A log's framed bytes, made once for all subscribers of one framing. The event loop appends and its connections read.
//! Knows no socket.

use std::collections::VecDeque;

use clap::ValueEnum;

/// Bytes that a feed keeps, and drops half of beyond them: more than the fastest row sends while it is measured, and not
/// a machine's memory.
const BYTES_MAX: usize = 256 << 20;
/// Longest payload whose length a WebSocket frame says in its second byte.
const SHORT_FRAME_MAX: usize = 125;

/// How a line is put on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Framing {
    Sse,
    Ndjson,
    WebSocket,
    Poll,
}

/// How much is around the text of a line on a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Envelope {
    /// No more than the framing asks for.
    #[default]
    Bare,
    /// What wirelab's protocol has: a position, a time, and the deployment in a frame.
    Wirelab,
}

impl Framing {
    /// Frames line number `seq` as wirelab does. Cursor, time and deployment have the usual lengths and mean nothing.
    fn frame_as_wirelab(self, text: &[u8], seq: u64, into: &mut Vec<u8>) {
        let mut line = format!(r#"{{"seq":{seq},"at_us":1700000000000000,"text":""#).into_bytes();
        line.extend_from_slice(text);
        line.extend_from_slice(br#""}"#);
        match self {
            Self::Sse => {
                into.extend_from_slice(format!("id: aaaaaaaa.{seq}\ndata: ").as_bytes());
                into.extend_from_slice(&line);
                into.extend_from_slice(b"\n\n");
            }
            Self::Ndjson => {
                into.extend_from_slice(&line);
                into.push(b'\n');
            }
            Self::WebSocket => {
                const HEAD: &[u8] = br#"{"type":"line","deployment":"01aaaaaaaaaaaaaaaa","line":"#;
                frame_head(HEAD.len() + line.len() + 1, into);
                into.extend_from_slice(HEAD);
                into.extend_from_slice(&line);
                into.push(b'}');
            }
            Self::Poll => self.frame(text, into),
        }
    }

    fn frame(self, text: &[u8], into: &mut Vec<u8>) {
        match self {
            Self::Sse => into.extend_from_slice(b"data: "),
            Self::Ndjson => into.push(b'"'),
            Self::WebSocket => frame_head(text.len(), into),
            Self::Poll => {}
        }
        into.extend_from_slice(text);
        match self {
            Self::Sse => into.extend_from_slice(b"\n\n"),
            Self::Ndjson => into.extend_from_slice(b"\"\n"),
            Self::WebSocket => {}
            Self::Poll => into.push(b'\n'),
        }
    }
}

/// A text frame's head, as a server sends it: final and unmasked.
fn frame_head(payload: usize, into: &mut Vec<u8>) {
    const FINAL_TEXT: u8 = 0x81;
    const TWO_BYTES: u8 = 126;
    const EIGHT_BYTES: u8 = 127;
    into.push(FINAL_TEXT);
    match (u8::try_from(payload), u16::try_from(payload)) {
        (Ok(short), _) if payload <= SHORT_FRAME_MAX => into.push(short),
        (_, Ok(middle)) => {
            into.push(TWO_BYTES);
            into.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            into.push(EIGHT_BYTES);
            into.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
}

/// Where a subscriber stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    /// Bytes of the feed before it.
    offset: u64,
    /// Lines of the feed that are wholly before it.
    lines: u64,
}

/// The lines of one framing.
#[derive(Default)]
pub(crate) struct Feed {
    bytes: Vec<u8>,
    /// Bytes that were dropped before `bytes`.
    dropped: u64,
    /// The offset of each kept line's end.
    ends: VecDeque<u64>,
    /// Lines that were dropped before `ends`.
    dropped_lines: u64,
}

impl Feed {
    pub(crate) fn append(&mut self, framing: Framing, envelope: Envelope, text: &[u8]) {
        match envelope {
            Envelope::Bare => framing.frame(text, &mut self.bytes),
            Envelope::Wirelab => framing.frame_as_wirelab(text, self.lines() + 1, &mut self.bytes),
        }
        self.ends.push_back(self.end().offset);
        if self.bytes.len() > BYTES_MAX {
            self.drop_half();
        }
    }

    fn drop_half(&mut self) {
        let gone = self.ends.len() / 2;
        let Some(end) = gone.checked_sub(1).and_then(|last| self.ends.get(last)).copied() else { return };
        self.ends.drain(..gone);
        self.dropped_lines += gone as u64;
        self.bytes.drain(..usize::try_from(end - self.dropped).expect("no longer than bytes"));
        self.dropped = end;
    }

    /// After the newest line.
    pub(crate) fn end(&self) -> Cursor {
        Cursor {
            offset: self.dropped + self.bytes.len() as u64,
            lines: self.dropped_lines + self.ends.len() as u64,
        }
    }

    pub(crate) fn lines(&self) -> u64 {
        self.dropped_lines + self.ends.len() as u64
    }

    /// Everything after `cursor`, or nothing if some of it was dropped.
    pub(crate) fn after(&self, cursor: Cursor) -> Option<&[u8]> {
        let from = usize::try_from(cursor.offset.checked_sub(self.dropped)?).ok()?;
        self.bytes.get(from..)
    }

    /// The rest of the line that `cursor` is in or before, or nothing if it was dropped.
    pub(crate) fn line_after(&self, cursor: Cursor) -> Option<&[u8]> {
        let rest = self.after(cursor)?;
        let index = usize::try_from(cursor.lines.checked_sub(self.dropped_lines)?).ok()?;
        let Some(end) = self.ends.get(index) else { return Some(&[]) };
        rest.get(..usize::try_from(end - cursor.offset).ok()?)
    }

    /// `cursor` after `written` bytes of any lines. Its lines are counted no more: gathered writes do not need them.
    pub(crate) fn moved_by_bytes(&self, cursor: Cursor, written: usize) -> Cursor {
        Cursor { offset: cursor.offset + written as u64, ..cursor }
    }

    /// `cursor` after `written` bytes of one line.
    pub(crate) fn moved(&self, cursor: Cursor, written: usize) -> Cursor {
        let offset = cursor.offset + written as u64;
        let index = usize::try_from(cursor.lines.saturating_sub(self.dropped_lines)).expect("within ends");
        let is_whole = self.ends.get(index).is_some_and(|end| *end <= offset);
        Cursor { offset, lines: cursor.lines + u64::from(is_whole) }
    }

    /// The lines after the first `from` ones, or nothing if some of them were dropped.
    pub(crate) fn lines_after(&self, from: u64) -> Option<&[u8]> {
        let index = usize::try_from(from.checked_sub(self.dropped_lines)?).ok()?;
        let offset = match index.checked_sub(1) {
            None => self.dropped,
            Some(before) => *self.ends.get(before)?,
        };
        self.after(Cursor { offset, lines: from })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_together_and_one_by_one() {
        let mut feed = Feed::default();
        let start = feed.end();
        for text in ["a", "bc"] {
            feed.append(Framing::Sse, Envelope::Bare, text.as_bytes());
        }
        assert_eq!(feed.after(start).unwrap(), b"data: a\n\ndata: bc\n\n");
        assert_eq!(feed.line_after(start).unwrap(), b"data: a\n\n");
        let inside = feed.moved(start, 3);
        assert_eq!(feed.line_after(inside).unwrap(), b"a: a\n\n");
        let second = feed.moved(inside, 6);
        assert_eq!(feed.line_after(second).unwrap(), b"data: bc\n\n");
        assert_eq!(feed.lines_after(1).unwrap(), b"data: bc\n\n");
        assert_eq!(feed.lines_after(2).unwrap(), b"");
        assert!(feed.lines_after(3).is_none());
    }

    #[test]
    fn lines_have_what_wirelab_puts_around_them() {
        let framed = |framing| {
            let mut feed = Feed::default();
            let start = feed.end();
            feed.append(framing, Envelope::Wirelab, b"a");
            String::from_utf8_lossy(feed.after(start).unwrap()).into_owned()
        };
        let line = r#"{"seq":1,"at_us":1700000000000000,"text":"a"}"#;
        assert_eq!(framed(Framing::Sse), format!("id: aaaaaaaa.1\ndata: {line}\n\n"));
        assert_eq!(framed(Framing::Ndjson), format!("{line}\n"));
        let frame = format!(r#"{{"type":"line","deployment":"01aaaaaaaaaaaaaaaa","line":{line}}}"#);
        assert!(framed(Framing::WebSocket).ends_with(&frame));
        assert_eq!(framed(Framing::Poll), "a\n");
    }
}
