//! Compressed messages of a server, written anew as plain frames before anything else looks at them.
//!
//! The socket of frames moves everything through here once a handshake has agreed on compression (RFC 7692). It moves one
//! message at a time, when its reader has used the last one, so a read of small bombs takes no more memory than one of
//! them. What breaks a rule of framing is passed on as it came: the library refuses it.

use std::io;

use bytes::{Buf, BufMut, BytesMut};

use super::{CONTROL, FIN, MASKED};
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

/// Head of a frame.
struct Head {
    first: u8,
    is_masked: bool,
    head_bytes: usize,
    payload_bytes: u64,
}

impl Head {
    /// Reads the head with which `bytes` begin; `None` if it is not whole.
    fn of(bytes: &[u8]) -> Option<Self> {
        let [first, second] = *bytes.first_chunk()?;
        let (head_bytes, payload_bytes) = match second & !MASKED {
            126 => (4, u16::from_be_bytes(*bytes[2..].first_chunk()?).into()),
            127 => (10, u64::from_be_bytes(*bytes[2..].first_chunk()?)),
            length => (2, u64::from(length)),
        };
        let is_masked = second & MASKED != 0;
        let mask_bytes = if is_masked { 4 } else { 0 };
        Some(Self { first, is_masked, head_bytes: head_bytes + mask_bytes, payload_bytes })
    }

    fn whole_bytes(&self) -> u64 {
        self.payload_bytes.saturating_add(self.head_bytes as u64)
    }

    fn is_control(&self) -> bool {
        self.first & CONTROL != 0
    }

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
