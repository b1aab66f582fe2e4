//! The one log of the ceiling server: a feed per framing, and the answer that polls at one place share. The connections
//! append and read. Knows no socket.

use crate::feed::{Cursor, Envelope, Feed, Framing};

#[derive(Default)]
pub(crate) struct Log {
    envelope: Envelope,
    sse: Feed,
    ndjson: Feed,
    websocket: Feed,
    poll: Feed,
    /// Framings that a subscriber follows; others are not framed.
    followed: Vec<Framing>,
    /// The last answer to a poll, with the lines before and after it: most polls stand where the last one stood.
    answer: Vec<u8>,
    answered: Option<(u64, u64)>,
}

impl Log {
    pub(crate) fn new(envelope: Envelope) -> Self {
        Self { envelope, ..Self::default() }
    }

    pub(crate) fn append(&mut self, text: &[u8]) {
        let envelope = self.envelope;
        self.poll.append(Framing::Poll, envelope, text);
        for framing in self.followed.clone() {
            self.feed_mut(framing).append(framing, envelope, text);
        }
    }

    /// Lines so far.
    pub(crate) fn lines(&self) -> u64 {
        self.poll.lines()
    }

    /// A stream begins here.
    pub(crate) fn follow(&mut self, framing: Framing) -> Cursor {
        if !self.followed.contains(&framing) {
            self.followed.push(framing);
        }
        self.feed(framing).end()
    }

    pub(crate) fn feed(&self, framing: Framing) -> &Feed {
        match framing {
            Framing::Sse => &self.sse,
            Framing::Ndjson => &self.ndjson,
            Framing::WebSocket => &self.websocket,
            Framing::Poll => &self.poll,
        }
    }

    fn feed_mut(&mut self, framing: Framing) -> &mut Feed {
        match framing {
            Framing::Sse => &mut self.sse,
            Framing::Ndjson => &mut self.ndjson,
            Framing::WebSocket => &mut self.websocket,
            Framing::Poll => &mut self.poll,
        }
    }

    /// The answer with all lines after the first `from` ones, or nothing while there is none.
    pub(crate) fn answer_to_poll(&mut self, from: u64) -> Option<&[u8]> {
        let lines = self.poll.lines();
        if from >= lines {
            return None;
        }
        if self.answered != Some((from, lines)) {
            let all = self.poll.lines_after(from).unwrap_or_default();
            // One line is the whole body, as in other servers' answers.
            let body = all.strip_suffix(b"\n").unwrap_or(all);
            self.answer.clear();
            let head = format!("HTTP/1.1 200 OK\r\nnext: {lines}\r\ncontent-length: {}\r\n\r\n", body.len());
            self.answer.extend_from_slice(head.as_bytes());
            self.answer.extend_from_slice(body);
            self.answered = Some((from, lines));
        }
        Some(&self.answer)
    }
}
