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
mod tests {
    use super::*;

    /// Makes a masked frame whose length takes `length_bytes` (0: in the seven bits).
    fn frame_with_length(first: u8, length_bytes: usize, length: u64, payload: &[u8]) -> Vec<u8> {
        let seven = match length_bytes {
            0 => length as u8,
            2 => 126,
            _ => 127,
        };
        let mut bytes = vec![first, 0x80 | seven];
        bytes.extend(&length.to_be_bytes()[8 - length_bytes..]);
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length_bytes = match payload.len() {
            0..=125 => 0,
            126..=0xffff => 2,
            _ => 8,
        };
        frame_with_length(first, length_bytes, payload.len() as u64, payload)
    }

    /// Returns the messages of `bytes` that arrive in pieces of `size`.
    fn messages(bytes: &[u8], size: usize) -> Result<Vec<Message>, Violation> {
        messages_of(Longest::BODY, Inflating::Never, bytes, size)
    }

    fn messages_of(
        longest: Longest,
        inflating: Inflating,
        bytes: &[u8],
        size: usize,
    ) -> Result<Vec<Message>, Violation> {
        let mut messages = Messages::new(longest, inflating);
        let mut got = Vec::new();
        for piece in bytes.chunks(size) {
            messages.push(piece);
            while let Some(message) = messages.next()? {
                got.push(message);
            }
        }
        Ok(got)
    }

    fn text(text: &str) -> Message {
        Message::Text(text.to_owned())
    }

    #[test]
    fn messages_are_whole_however_they_are_cut() {
        let long = "x".repeat(70_000);
        let bytes = [
            frame(0x81, b"one"),
            frame(0x01, "f\u{fc}".as_bytes()),
            // A control frame may stand between fragments, and a code point may be split over them.
            frame(0x89, b"are you there"),
            frame(0x00, &"\u{1f600}".as_bytes()[..2]),
            frame(0x80, &"\u{1f600}".as_bytes()[2..]),
            frame(0x81, b""),
            frame(0x81, "x".repeat(126).as_bytes()),
            frame(0x81, long.as_bytes()),
            frame(0x8a, b"unasked"),
            frame(0x02, b"a"),
            frame(0x80, b"b"),
            frame(0x88, &[0x03, 0xe8, b'b', b'y', b'e']),
        ]
        .concat();
        let expected = vec![
            text("one"),
            Message::Ping(Bytes::from_static(b"are you there")),
            text("f\u{fc}\u{1f600}"),
            text(""),
            text(&"x".repeat(126)),
            text(&long),
            Message::Pong,
            Message::Binary,
            Message::Close(Some(CloseReason { code: CloseCode::Normal, description: Some("bye".into()) })),
        ];
        for size in [1, 2, 3, 7, 4096, bytes.len()] {
            assert_eq!(messages(&bytes, size).unwrap(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_breaks_the_protocol_fails_the_connection_with_its_code() {
        let unmasked = vec![0x81, 1, b'x'];
        let big = BODY_BYTES_MAX as u64 + 1;
        let head_of = |first, length| frame_with_length(first, 8, length, b"");
        let halves = vec![b'x'; BODY_BYTES_MAX / 2 + 1];
        for (what, bytes, code) in [
            ("unmasked", unmasked, 1002),
            ("RSV1", frame(0xc1, b"x"), 1002),
            ("RSV2", frame(0xa1, b"x"), 1002),
            ("RSV3", frame(0x91, b"x"), 1002),
            ("opcode 3", frame(0x83, b"x"), 1002),
            ("opcode 11", frame(0x8b, b"x"), 1002),
            ("125 bytes in two length bytes", frame_with_length(0x81, 2, 125, &[b'x'; 125]), 1002),
            ("65 535 bytes in eight length bytes", head_of(0x81, 0xffff), 1002),
            ("a length above 2^63", head_of(0x81, 1 << 63), 1002),
            ("a long ping", frame(0x89, &[0; 126]), 1002),
            ("a long close", frame(0x88, &[0; 126]), 1002),
            ("a fragmented ping", frame(0x09, b"x"), 1002),
            ("a stray continuation", frame(0x80, b"x"), 1002),
            ("a message inside fragments", [frame(0x01, b"x"), frame(0x81, b"y")].concat(), 1002),
            ("a close of one byte", frame(0x88, &[3]), 1002),
            ("close code 999", frame(0x88, &999_u16.to_be_bytes()), 1002),
            ("close code 1005", frame(0x88, &1005_u16.to_be_bytes()), 1002),
            ("close code 1006", frame(0x88, &1006_u16.to_be_bytes()), 1002),
            ("close code 2999", frame(0x88, &2999_u16.to_be_bytes()), 1002),
            ("close code 5000", frame(0x88, &5000_u16.to_be_bytes()), 1002),
            ("a close reason that is not UTF-8", frame(0x88, &[3, 0xe8, 0xff]), 1007),
            ("text that is not UTF-8", frame(0x81, &[0xff]), 1007),
            ("half a code point", frame(0x81, &[0xc3]), 1007),
            ("a surrogate", frame(0x81, &[0xed, 0xa0, 0x80]), 1007),
            ("a frame that is too big, by its head alone", head_of(0x81, big), 1009),
            ("fragments that are too big", [frame(0x01, &halves), frame(0x80, &halves)].concat(), 1009),
        ] {
            let violation = messages(&bytes, 4096).expect_err(what);
            assert_eq!(u16::from(violation.code), code, "{what}: {}", violation.reason);
        }
    }

    /// Two messages of RFC 7692 §7.2.3, one of them in two fragments.
    #[test]
    fn compressed_messages_are_whole_however_they_are_cut() {
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let bytes = [
            frame(0xc1, &hello),
            frame(0x81, b"plain"),
            frame(0x41, &hello[..3]),
            frame(0x89, b"ping"),
            frame(0x80, &hello[3..]),
            frame(0xc2, &hello),
        ]
        .concat();
        let ping = Message::Ping(Bytes::from_static(b"ping"));
        let expected = [text("Hello"), text("plain"), ping, text("Hello"), Message::Binary];
        for size in [1, 2, 3, 7, bytes.len()] {
            let got = messages_of(Longest::BODY, Inflating::EachMessage, &bytes, size).unwrap();
            assert_eq!(got, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn what_breaks_the_rules_of_compression_fails_the_connection_with_its_code() {
        let longest = Longest { bytes: 200, reason: "200 bytes" };
        let bomb = {
            let mut frames = BytesMut::new();
            crate::exchange::upgrade::write_text_alone(&[b'x'; 201], &mut frames);
            frame(frames[0], &frames[2..])
        };
        for (what, bytes, code) in [
            ("a compressed ping", frame(0xc9, b""), 1002),
            ("a compressed close", frame(0xc8, b""), 1002),
            ("a compressed continuation", [frame(0x41, b"x"), frame(0xc0, b"y")].concat(), 1002),
            ("an unknown opcode", frame(0xc3, b"x"), 1002),
            ("RSV2", frame(0xe1, b"x"), 1002),
            ("RSV3", frame(0xd1, b"x"), 1002),
            ("garbage", frame(0xc1, &[0xff; 20]), 1007),
            ("text that is not UTF-8", frame(0xc1, &[0x00, 0x01, 0x00, 0xfe, 0xff, 0xff, 0x00]), 1007),
            ("a bomb", bomb, 1009),
        ] {
            let violation = messages_of(longest, Inflating::EachMessage, &bytes, 3).expect_err(what);
            assert_eq!(u16::from(violation.code), code, "{what}: {}", violation.reason);
        }
    }

    #[test]
    fn the_largest_message_is_taken() {
        let whole = vec![b'x'; BODY_BYTES_MAX];
        assert_eq!(messages(&frame(0x82, &whole), 1 << 16).unwrap(), [Message::Binary]);
    }

    #[test]
    fn a_socket_may_take_less() {
        let longest = Longest { bytes: 200, reason: "200 bytes" };
        let whole = frame(0x81, &[b'x'; 200]);
        assert_eq!(messages_of(longest, Inflating::Never, &whole, 7).unwrap(), [text(&"x".repeat(200))]);
        let parts = [frame(0x01, &[b'x'; 100]), frame(0x80, &[b'x'; 101])].concat();
        for longer in [frame_with_length(0x81, 2, 201, b""), parts] {
            let violation = messages_of(longest, Inflating::Never, &longer, 7).unwrap_err();
            assert_eq!((violation.code, violation.reason), (CloseCode::Size, "200 bytes"));
        }
    }

    #[test]
    fn a_close_may_say_nothing_or_a_code_of_ones_own() {
        let reason = |code: u16| Message::Close(Some(CloseReason { code: code.into(), description: None }));
        assert_eq!(messages(&frame(0x88, b""), 9).unwrap(), [Message::Close(None)]);
        for code in [1000_u16, 1001, 1011, 3000, 4999] {
            assert_eq!(messages(&frame(0x88, &code.to_be_bytes()), 9).unwrap(), [reason(code)]);
        }
    }
}
