//! Parses bytes into WebSocket messages and checks every rule whose violation fails the connection.
//!
//! Pure. Every socket reads through it, so all sockets reassemble fragments and refuse violations alike. The library's
//! parser checks masks, opcodes and reserved bits; the remaining rules of RFC 6455 §5 are checked here.

use actix_http::ws::{CloseCode, CloseReason, OpCode, Parser, ProtocolError};
use bytes::{Bytes, BytesMut};
use wirelab_clients::wire::BODY_BYTES_MAX;

use super::deflate::{RSV1, Undeflated, inflate};
use crate::exchange::arriving::Hindrance;

/// Bytes that the buffer keeps after a longer message. Usual commands are shorter.
const KEPT_BYTES: usize = 16 << 10;
/// Longest payload of a control frame (RFC 6455 §5.5), as its 7-bit length says it.
const CONTROL_BYTES_MAX: u8 = 125;

/// A whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// A text message, valid UTF-8.
    Text(String),
    /// A binary message. No command is binary, so its payload is dropped.
    Binary,
    /// A Ping, to be answered with the same bytes.
    Ping(Bytes),
    /// A Pong: a sign of life.
    Pong,
    /// The client's Close frame.
    Close(Option<CloseReason>),
}

/// Violation of the protocol that fails the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Code in the close frame (RFC 6455 §7.4.1).
    pub(crate) code: CloseCode,
    /// Reason in the close frame, for people.
    pub(crate) reason: &'static str,
}

impl Violation {
    const fn protocol(reason: &'static str) -> Self {
        Self { code: CloseCode::Protocol, reason }
    }

    const fn not_utf8() -> Self {
        Self { code: CloseCode::Invalid, reason: "text must be UTF-8" }
    }

    fn undeflated(reason: Undeflated, longest: Longest) -> Self {
        match reason {
            Undeflated::Garbage => {
                Self { code: CloseCode::Invalid, reason: "a compressed message cannot be decompressed" }
            }
            Undeflated::TooLong => Self::too_big(longest),
        }
    }

    /// An unfinished message of which no more is taken.
    pub(super) const fn hindered(hindrance: Hindrance) -> Self {
        match hindrance {
            Hindrance::TooSlow => Self { code: CloseCode::Policy, reason: "a message came too slowly" },
            Hindrance::NoRoom => Self {
                code: CloseCode::Again,
                reason: "the server holds as many unfinished messages as it may",
            },
            Hindrance::TooLong => Self::too_big(Longest::BODY),
        }
    }

    const fn too_big(longest: Longest) -> Self {
        Self { code: CloseCode::Size, reason: longest.reason }
    }
}

/// Bound on a message that a socket accepts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Longest {
    /// Bytes of payload in all fragments together; at least the 125 of a control frame.
    pub(crate) bytes: usize,
    /// Reason in the close frame after a longer message.
    pub(crate) reason: &'static str,
}

impl Longest {
    /// Bound of sockets on which lines are published: that of an HTTP body.
    pub(crate) const BODY: Self = Self { bytes: BODY_BYTES_MAX, reason: "a message has at most 8 MiB" };
}

/// Whether messages may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inflating {
    /// Nothing was agreed on: the bit that marks a compressed message is a violation.
    Never,
    /// A message may be compressed by itself (RFC 7692).
    EachMessage,
}

/// Reassembles messages from bytes. After a [`Violation`] the rest of the bytes has no meaning.
#[derive(Debug)]
pub(super) struct Messages {
    longest: Longest,
    inflating: Inflating,
    received: BytesMut,
    /// Largest length of `received` since it was allocated: its memory is at least as large, whatever is left in it.
    received_bytes_max: usize,
    fragments: Option<Fragments>,
}

/// A message whose last frame has not arrived.
#[derive(Debug)]
struct Fragments {
    opcode: OpCode,
    coding: Coding,
    bytes: BytesMut,
}

/// How the bytes of a message stand for its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    Deflated,
}

impl Messages {
    pub(super) fn new(longest: Longest, inflating: Inflating) -> Self {
        Self { longest, inflating, received: BytesMut::new(), received_bytes_max: 0, fragments: None }
    }

    /// Adds the bytes of one read, which may end anywhere in a frame.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        self.received_bytes_max = self.received_bytes_max.max(self.received.len());
    }

    /// Drops what has come, which will not be read.
    pub(super) fn forget(&mut self) {
        *self = Self::new(self.longest, self.inflating);
    }

    /// Returns how many bytes wait for the rest of their message. Gives back the memory of a long message that is over.
    pub(super) fn unfinished_bytes(&mut self) -> usize {
        if self.received.len() <= KEPT_BYTES && self.received_bytes_max > KEPT_BYTES {
            self.received = BytesMut::from(&self.received[..]);
            self.received_bytes_max = self.received.len();
        }
        self.received.len() + self.fragments.as_ref().map_or(0, |fragments| fragments.bytes.len())
    }

    /// Returns the next whole message; `None` until more bytes arrive.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Violation> {
        loop {
            check_head(&self.received, self.longest)?;
            let coding = self.take_coding();
            let parsed = Parser::parse(&mut self.received, true, self.longest.bytes);
            let Some((last, opcode, payload)) = parsed.map_err(violation)? else {
                self.put_back(coding);
                return Ok(None);
            };
            if let Some(message) = self.frame(last, opcode, coding, payload.unwrap_or_default())? {
                return Ok(Some(message));
            }
        }
    }

    /// Takes the bit off a frame's head that marks a compressed message, if that was agreed on. Only the first frame of
    /// a message may have it (RFC 7692 §6). On every other the library finds it, as it finds any reserved bit.
    fn take_coding(&mut self) -> Coding {
        const TEXT: u8 = 0x1;
        const BINARY: u8 = 0x2;
        match (self.inflating, self.received.first_mut()) {
            (Inflating::EachMessage, Some(first))
                if *first & RSV1 != 0 && matches!(*first & 0x0f, TEXT | BINARY) =>
            {
                *first &= !RSV1;
                Coding::Deflated
            }
            (Inflating::EachMessage | Inflating::Never, _) => Coding::Plain,
        }
    }

    /// Gives the bit back to a frame that is not whole yet.
    fn put_back(&mut self, coding: Coding) {
        match (coding, self.received.first_mut()) {
            (Coding::Deflated, Some(first)) => *first |= RSV1,
            (Coding::Deflated | Coding::Plain, _) => {}
        }
    }

    /// Adds one frame. Returns the message if the frame is its last or a control frame.
    fn frame(
        &mut self,
        last: bool,
        opcode: OpCode,
        coding: Coding,
        payload: BytesMut,
    ) -> Result<Option<Message>, Violation> {
        match (opcode, &mut self.fragments) {
            (OpCode::Ping, _) => return Ok(Some(Message::Ping(payload.freeze()))),
            (OpCode::Pong, _) => return Ok(Some(Message::Pong)),
            (OpCode::Close, _) => return close(&payload).map(|reason| Some(Message::Close(reason))),
            (OpCode::Continue, None) => {
                return Err(Violation::protocol("a continuation frame without a first frame"));
            }
            (OpCode::Continue, Some(fragments)) => {
                if fragments.bytes.len() + payload.len() > self.longest.bytes {
                    return Err(Violation::too_big(self.longest));
                }
                fragments.bytes.unsplit(payload);
            }
            (_, Some(_)) => {
                return Err(Violation::protocol("a new message before the last fragment of another"));
            }
            (opcode, fragments) => *fragments = Some(Fragments { opcode, coding, bytes: payload }),
        }
        match self.fragments.take_if(|_| last) {
            None => Ok(None),
            Some(Fragments { opcode: OpCode::Text, coding, bytes }) => {
                let bytes = match coding {
                    Coding::Plain => bytes.into(),
                    Coding::Deflated => inflate(&bytes, self.longest.bytes)
                        .map_err(|reason| Violation::undeflated(reason, self.longest))?,
                };
                let text = String::from_utf8(bytes).map_err(|_| Violation::not_utf8())?;
                Ok(Some(Message::Text(text)))
            }
            Some(_) => Ok(Some(Message::Binary)),
        }
    }
}

/// Checks what the library's parser does not check, or checks only once the whole payload is there. A head that is not
/// whole yet is checked again.
fn check_head(bytes: &[u8], longest: Longest) -> Result<(), Violation> {
    let &[first, second, ref rest @ ..] = bytes else { return Ok(()) };
    let (is_last, is_control, length) = (first & 0x80 != 0, first & 0x08 != 0, second & 0x7f);
    if is_control && length > CONTROL_BYTES_MAX {
        return Err(Violation::protocol("a control frame must have at most 125 bytes"));
    }
    if is_control && !is_last {
        return Err(Violation::protocol("a control frame must not be fragmented"));
    }
    let (length, shortest) = match (length, rest) {
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 126),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), 1 << 16)
        }
        // The length has seven bits, or is not whole yet.
        _ => return Ok(()),
    };
    if length < shortest {
        return Err(Violation::protocol("a length must take the fewest bytes that hold it"));
    }
    if length >> 63 != 0 {
        return Err(Violation::protocol("a length must fit into 63 bits"));
    }
    if length > longest.bytes as u64 {
        return Err(Violation::too_big(longest));
    }
    Ok(())
}

fn violation(error: ProtocolError) -> Violation {
    Violation::protocol(match error {
        ProtocolError::UnmaskedFrame => "a client must mask its frames",
        ProtocolError::InvalidOpcode(_) => "the opcode is reserved",
        // Of all errors of a parse, only reserved bits are reported as `Io`.
        ProtocolError::Io(_) => "a reserved bit is set",
        _ => "this is not a WebSocket frame",
    })
}

/// Parses the payload of a close frame: empty, or a code that may be sent and a reason in UTF-8 (RFC 6455 §7.4).
fn close(payload: &[u8]) -> Result<Option<CloseReason>, Violation> {
    Parser::try_parse_close_payload(payload).map_err(|_| match payload {
        [_, _, reason @ ..] if std::str::from_utf8(reason).is_err() => Violation::not_utf8(),
        _ => Violation::protocol("this close code must not be sent"),
    })
}

#[cfg(test)]
mod tests;
