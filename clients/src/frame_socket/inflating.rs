//! Compressed messages of a server, written anew as plain frames before anything else looks at them.
//!
//! The socket of frames moves everything through here once a handshake has agreed on compression (RFC 7692). It moves one
//! message at a time, when its reader has used the last one, so a read of small bombs takes no more memory than one of
//! them. What breaks a rule of framing is passed on as it came: the library refuses it.

use std::io;

use bytes::{Buf, BufMut, BytesMut};

use super::FIN;
use super::head::Head;
use crate::deflate::{Inflater, Takeover};
use crate::wire::BODY_BYTES_MAX;

/// Bits of a frame's first byte (RFC 6455 §5.2): whether its message is compressed, the other reserved bits, its kind.
const RSV1: u8 = 0x40;
const RESERVED: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const CONTINUATION: u8 = 0x0;

/// Frames between the socket and the reader of plain frames.
#[derive(Debug)]
pub(super) struct Inflating {
    /// Bytes that were read and not moved on.
    received: BytesMut,
    /// Bytes that follow in a frame that is moved on as it came.
    passing_bytes: u64,
    /// Compressed message whose last fragment has not come.
    fragments: Option<Fragments>,
    inflater: Inflater,
}

#[derive(Debug)]
struct Fragments {
    opcode: u8,
    compressed: BytesMut,
}

/// Whether something was moved on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// At least a part of a frame was.
    Some,
    /// More must be read first.
    Nothing,
}

impl Head {
    /// Whether a compressed message begins here.
    fn begins(&self) -> bool {
        let opcode = self.first & OPCODE;
        self.first & RESERVED == RSV1 && !self.is_control() && opcode != CONTINUATION && !self.is_masked
    }

    /// Whether a message goes on here.
    fn continues(&self) -> bool {
        self.first & (RESERVED | OPCODE) == CONTINUATION && !self.is_masked
    }
}

impl Inflating {
    /// Starts behind the handshake, with the bytes that came together with its answer.
    pub(super) fn new(takeover: Takeover, received: BytesMut) -> Self {
        Self { received, passing_bytes: 0, fragments: None, inflater: Inflater::new(takeover) }
    }

    /// Adds the bytes of one read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
    }

    /// Moves the next frame or message to `plain`, or what has come of a frame that is not compressed.
    ///
    /// # Errors
    /// A message cannot be decompressed, is too long, or another one begins before its end.
    pub(super) fn move_on(&mut self, plain: &mut BytesMut) -> io::Result<Moved> {
        loop {
            if self.passing_bytes > 0 {
                let count = self.passing_bytes.min(self.received.len() as u64) as usize;
                plain.extend_from_slice(&self.received.split_to(count));
                self.passing_bytes -= count as u64;
                self.give_back();
                return Ok(if count > 0 { Moved::Some } else { Moved::Nothing });
            }
            let Some(head) = Head::of(&self.received) else { return Ok(Moved::Nothing) };
            match &self.fragments {
                Some(_) if head.continues() => {}
                Some(_) if !head.is_control() => {
                    return Err(invalid("a message of the server begins before the end of another"));
                }
                None if head.begins() => {}
                Some(_) | None => {
                    self.passing_bytes = head.whole_bytes();
                    continue;
                }
            }
            let before = self.fragments.as_ref().map_or(0, |fragments| fragments.compressed.len() as u64);
            if head.payload_bytes.saturating_add(before) > BODY_BYTES_MAX as u64 {
                return Err(invalid("a compressed message of the server is too long"));
            }
            if (self.received.len() as u64) < head.whole_bytes() {
                return Ok(Moved::Nothing);
            }
            self.received.advance(head.head_bytes);
            let payload = self.received.split_to(head.payload_bytes as usize);
            if self.message(&head, payload, plain)? == Moved::Some {
                self.give_back();
                return Ok(Moved::Some);
            }
        }
    }

    /// Takes a frame of a compressed message. Writes the message to `plain` if the frame is its last.
    fn message(&mut self, head: &Head, payload: BytesMut, plain: &mut BytesMut) -> io::Result<Moved> {
        let is_last = head.first & FIN != 0;
        let Fragments { opcode, compressed } = match self.fragments.take() {
            None => Fragments { opcode: head.first & OPCODE, compressed: payload },
            Some(Fragments { opcode, mut compressed }) => {
                compressed.unsplit(payload);
                Fragments { opcode, compressed }
            }
        };
        if !is_last {
            self.fragments = Some(Fragments { opcode, compressed });
            return Ok(Moved::Nothing);
        }
        let text = self.inflater.text(&compressed)?;
        plain.reserve(text.len() + 10);
        plain.put_u8(FIN | opcode);
        match text.len() {
            length @ 0..126 => plain.put_u8(length as u8),
            length @ 126..=0xffff => {
                plain.put_u8(126);
                plain.put_u16(length as u16);
            }
            length => {
                plain.put_u8(127);
                plain.put_u64(length as u64);
            }
        }
        plain.put_slice(&text);
        Ok(Moved::Some)
    }

    /// Gives the buffer back when all of it was used.
    fn give_back(&mut self) {
        if self.received.is_empty() {
            self.received = BytesMut::new();
        }
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression as Level, FlushCompress};
    use proptest::prelude::*;

    use super::*;
    use crate::frame_socket::MASKED;

    const TEXT: u8 = 0x1;
    const PING: u8 = 0x9;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            length @ 0..126 => bytes.push(length as u8),
            length @ 126..=0xffff => {
                bytes.push(126);
                bytes.extend((length as u16).to_be_bytes());
            }
            length => {
                bytes.push(127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(payload);
        bytes
    }

    fn compressed(compress: &mut Compress, text: &str) -> Vec<u8> {
        let mut message = Vec::with_capacity(text.len() + 100);
        compress.compress_vec(text.as_bytes(), &mut message, FlushCompress::Sync).unwrap();
        message.truncate(message.len() - 4);
        message
    }

    fn context() -> Takeover {
        Takeover::Context { window_bits: 15 }
    }

    /// Moves on all that can be.
    fn plain(inflating: &mut Inflating) -> io::Result<BytesMut> {
        let mut plain = BytesMut::new();
        while inflating.move_on(&mut plain)? == Moved::Some {}
        Ok(plain)
    }

    proptest! {
        #[test]
        fn compressed_messages_become_plain_frames_and_all_else_stays_however_it_is_cut(
            texts in proptest::collection::vec("[a-z ]{1,40}.{0,300}", 1..12),
            is_compressed in proptest::collection::vec(any::<bool>(), 12),
            fragment in 1..200_usize,
            piece in 1..300_usize,
        ) {
            let mut compress = Compress::new(Level::fast(), false);
            let (mut sent, mut expected) = (Vec::new(), Vec::<u8>::new());
            for (text, is_compressed) in texts.iter().zip(is_compressed) {
                let as_plain = frame(FIN | TEXT, text.as_bytes());
                if !is_compressed {
                    sent.extend(&as_plain);
                    expected.extend(&as_plain);
                    continue;
                }
                let message = compressed(&mut compress, text);
                let parts: Vec<_> = message.chunks(fragment).collect();
                for (at, part) in parts.iter().enumerate() {
                    let fin = if at + 1 == parts.len() { FIN } else { 0 };
                    let first = if at == 0 { RSV1 | TEXT } else { CONTINUATION };
                    sent.extend(frame(fin | first, part));
                    if fin == 0 {
                        // A control frame may stand between fragments, and is not kept back.
                        let ping = frame(FIN | PING, b"p");
                        sent.extend(&ping);
                        expected.extend(&ping);
                    }
                }
                expected.extend(&as_plain);
            }
            let mut inflating = Inflating::new(context(), BytesMut::new());
            let mut got = Vec::new();
            for bytes in sent.chunks(piece) {
                inflating.push(bytes);
                got.extend(plain(&mut inflating).unwrap());
            }
            prop_assert_eq!(got, expected);
            prop_assert_eq!(inflating.received.capacity(), 0, "what waits holds a buffer");
        }
    }

    #[test]
    fn one_message_is_decompressed_at_a_time() {
        let mut compress = Compress::new(Level::best(), false);
        let long = "x".repeat(1 << 20);
        let bytes = [(); 8].map(|()| frame(FIN | RSV1 | TEXT, &compressed(&mut compress, &long))).concat();
        assert!(bytes.len() < 64 << 10);
        let mut inflating = Inflating::new(context(), BytesMut::from(&bytes[..]));
        for _ in 0..8 {
            let mut plain = BytesMut::new();
            assert_eq!(inflating.move_on(&mut plain).unwrap(), Moved::Some);
            assert_eq!(plain.len(), long.len() + 10);
        }
        assert_eq!(inflating.move_on(&mut BytesMut::new()).unwrap(), Moved::Nothing);
    }

    #[test]
    fn what_breaks_a_rule_of_framing_is_passed_on_as_it_came() {
        let masked = [&[FIN | RSV1 | TEXT, MASKED | 1, 1, 2, 3, 4][..], b"x"].concat();
        for bytes in [
            frame(FIN | RSV1 | PING, b"x"),
            frame(FIN | RSV1 | CONTINUATION, b"x"),
            frame(FIN | 0x20 | TEXT, b"x"),
            frame(FIN | RSV1 | 0x20 | TEXT, b"x"),
            masked,
        ] {
            let mut inflating = Inflating::new(context(), BytesMut::from(&bytes[..]));
            assert_eq!(plain(&mut inflating).unwrap(), bytes);
        }
    }

    #[test]
    fn a_message_that_is_none_or_too_long_is_an_error() {
        let mut compress = Compress::new(Level::best(), false);
        let begun = frame(RSV1 | TEXT, b"x");
        let too_long = [&[FIN | RSV1 | TEXT, 127][..], &(BODY_BYTES_MAX as u64 + 1).to_be_bytes()].concat();
        let half = frame(RSV1 | TEXT, &vec![0; BODY_BYTES_MAX / 2 + 1]);
        let rest = frame(FIN | CONTINUATION, &vec![0; BODY_BYTES_MAX / 2 + 1]);
        for (bytes, said) in [
            (frame(FIN | RSV1 | TEXT, &[0xff; 30]), "cannot be decompressed"),
            (
                frame(FIN | RSV1 | TEXT, &compressed(&mut compress, &" ".repeat(BODY_BYTES_MAX + 1))),
                "more than",
            ),
            ([begun.clone(), frame(FIN | TEXT, b"x")].concat(), "before the end of another"),
            ([begun.clone(), begun].concat(), "before the end of another"),
            (too_long, "too long"),
            ([half, rest].concat(), "too long"),
        ] {
            let mut inflating = Inflating::new(context(), BytesMut::from(&bytes[..]));
            let error = plain(&mut inflating).unwrap_err().to_string();
            assert!(error.contains(said), "{error} instead of {said}");
        }
    }
}
