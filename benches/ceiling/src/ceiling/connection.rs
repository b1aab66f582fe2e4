//! One connection of the ceiling server: bytes in, pre-built bytes out. The event loop in main.rs drives it. It never
//! waits, and no line is copied for it.

use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;

use crate::feed::{Cursor, Framing};
use crate::log::Log;
use crate::request::{Ask, BODY_BYTES_MAX, HEAD_BYTES_MAX, Parsed, parse};

const ACCEPTED: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const NO_NEWS: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
/// Requests that are read and not yet whole.
const INPUT_BYTES_MAX: usize = HEAD_BYTES_MAX + BODY_BYTES_MAX;
/// How pending lines are written to a stream.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Writes {
    /// All pending lines in one write: the most that a core can deliver.
    Coalesced,
    /// A write for each line: the most for servers that do not gather.
    OneWrite,
}

pub(crate) enum State {
    Requests,
    Stream { framing: Framing, cursor: Cursor },
    Held { from: u64 },
}

/// Whether a connection goes on.
#[derive(PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Closed,
}

pub(crate) struct Connection {
    pub(crate) socket: TcpStream,
    pub(crate) state: State,
    /// The begin of a request whose rest is still to come.
    input: Vec<u8>,
    /// What the socket did not take.
    output: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { socket, state: State::Requests, input: Vec::new(), output: Vec::new() }
    }

    /// Reads all that there is and answers it; `buffer` is anybody's.
    pub(crate) fn read(&mut self, buffer: &mut [u8], log: &mut Log) -> Fate {
        loop {
            let read = match self.socket.read(buffer) {
                Ok(0) => return Fate::Closed,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Open,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(_) => return Fate::Closed,
            };
            let fate = match self.state {
                // What a WebSocket client says, a pong or a goodbye, changes nothing here.
                State::Stream { .. } => Fate::Open,
                State::Requests | State::Held { .. } => self.take(&buffer[..read], log),
            };
            // A short read has emptied the socket: the selector reports what comes next.
            if fate == Fate::Closed || read < buffer.len() {
                return fate;
            }
        }
    }

    fn take(&mut self, new: &[u8], log: &mut Log) -> Fate {
        let mut kept = std::mem::take(&mut self.input);
        let mut rest = if kept.is_empty() {
            new
        } else {
            kept.extend_from_slice(new);
            kept.as_slice()
        };
        while !rest.is_empty() {
            match parse(rest) {
                Parsed::Whole(ask, used) => {
                    self.answer(ask, log);
                    rest = &rest[used..];
                }
                Parsed::Partial => break,
                Parsed::Invalid => return Fate::Closed,
            }
        }
        if rest.len() > INPUT_BYTES_MAX {
            return Fate::Closed;
        }
        self.input = rest.to_vec();
        self.flush()
    }

    fn answer(&mut self, ask: Ask, log: &mut Log) {
        match ask {
            Ask::Publish { body, is_batch } => {
                if is_batch {
                    body.split(|byte| *byte == b'\n')
                        .filter(|line| !line.is_empty())
                        .for_each(|line| log.append(line));
                } else {
                    log.append(body);
                }
                self.output.extend_from_slice(ACCEPTED);
            }
            Ask::Stream { framing, head } => {
                self.output.extend_from_slice(&head);
                self.state = State::Stream { framing, cursor: log.follow(framing) };
            }
            Ask::Poll { from, waits } => match log.answer_to_poll(from) {
                Some(answer) => self.output.extend_from_slice(answer),
                None if waits => self.state = State::Held { from },
                None => self.output.extend_from_slice(NO_NEWS),
            },
            Ask::Unknown => self.output.extend_from_slice(NOT_FOUND),
        }
    }

    /// Writes what the log has for this connection.
    pub(crate) fn deliver(&mut self, log: &mut Log, writes: Writes) -> Fate {
        if self.flush() == Fate::Closed {
            return Fate::Closed;
        }
        if !self.output.is_empty() {
            return Fate::Open;
        }
        match self.state {
            State::Requests => Fate::Open,
            State::Stream { framing, cursor } => {
                let (cursor, fate) = stream(&mut self.socket, log, framing, cursor, writes);
                self.state = State::Stream { framing, cursor };
                fate
            }
            State::Held { from } => {
                let Some(answer) = log.answer_to_poll(from) else { return Fate::Open };
                self.state = State::Requests;
                self.output.extend_from_slice(answer);
                self.flush()
            }
        }
    }

    fn flush(&mut self) -> Fate {
        while !self.output.is_empty() {
            match self.socket.write(&self.output) {
                Ok(written) => drop(self.output.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Fate::Open,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Fate::Closed,
            }
        }
        Fate::Open
    }
}

fn stream(
    socket: &mut TcpStream,
    log: &Log,
    framing: Framing,
    mut cursor: Cursor,
    writes: Writes,
) -> (Cursor, Fate) {
    let feed = log.feed(framing);
    loop {
        let pending = match writes {
            Writes::Coalesced => feed.after(cursor),
            Writes::OneWrite => feed.line_after(cursor),
        };
        // Half of what the feed keeps is behind: such a subscriber has lost lines and must see that it has.
        let Some(pending) = pending else { return (cursor, Fate::Closed) };
        if pending.is_empty() {
            return (cursor, Fate::Open);
        }
        match socket.write(pending) {
            Ok(written) => {
                cursor = match writes {
                    Writes::Coalesced => feed.moved_by_bytes(cursor, written),
                    Writes::OneWrite => feed.moved(cursor, written),
                };
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return (cursor, Fate::Open),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return (cursor, Fate::Closed),
        }
    }
}
