//! How a socket's frames become bytes: lines in text frames, compressed or not, and what a session says between them.
//!
//! Both engines encode by it. Lines as they are, and lines that are compressed each by itself, are framed once for all
//! sockets that follow a log. Lines that refer to earlier ones are compressed for each socket, from the frames of all.

use actix_http::ws::{OpCode, Parser};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use wirelab_clients::wire::DeploymentId;

use super::session::Outgoing;
use crate::exchange::upgrade::{Deflate, Deflater, shares, write_text_alone};
use crate::reader::{EncodedBatch, FramingName, LineFraming};

/// Bytes around the JSON of a line in its frame: two of opcode and length, at most eight more of length, and a brace.
const AROUND_LINE_BYTES: usize = 11;

/// One text frame per line. All that follow a log get the same frames: each says the id of the deployment.
pub(in crate::transports) enum LineFrames {}

impl LineFraming for LineFrames {
    const NAME: FramingName = FramingName::Websocket;

    fn frame(deployment: &DeploymentId, batch: &EncodedBatch) -> Bytes {
        framed(deployment, batch, |json, frames| {
            Parser::write_message(frames, json, OpCode::Text, true, false)
        })
    }
}

/// One text frame per line, compressed by itself: all that agreed on this get the same frames.
pub(in crate::transports) enum DeflatedLineFrames {}

impl LineFraming for DeflatedLineFrames {
    const NAME: FramingName = FramingName::WebsocketDeflated;

    fn frame(deployment: &DeploymentId, batch: &EncodedBatch) -> Bytes {
        framed(deployment, batch, write_text_alone)
    }
}

/// Frames each line by `write`. The JSON of a line goes into its frame as it is: nothing is encoded twice.
fn framed(
    deployment: &DeploymentId,
    batch: &EncodedBatch,
    mut write: impl FnMut(&[u8], &mut BytesMut),
) -> Bytes {
    let head = format!("{{\"type\":\"line\",\"deployment\":\"{deployment}\",\"line\":");
    let bytes = batch.lines.iter().map(|line| head.len() + line.json.len() + AROUND_LINE_BYTES).sum();
    let (mut frames, mut json) = (BytesMut::with_capacity(bytes), BytesMut::new());
    for line in &batch.lines {
        json.clear();
        json.put_slice(head.as_bytes());
        json.put_slice(&line.json);
        json.put_u8(b'}');
        write(&json, &mut frames);
    }
    frames.freeze()
}

/// How the lines of one socket are compressed.
pub(super) enum LineCoding {
    /// Lines are sent as they are.
    Plain,
    /// Each line is compressed by itself, in frames that sockets share.
    Shared,
    /// Lines are compressed for this socket.
    Own {
        agreed: Deflate,
        /// Made at the first line: a socket on a silent log needs no memory for it.
        deflater: Option<Box<Deflater>>,
    },
}

/// Frames in which a socket's rooms read their lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoomFrames {
    /// [`LineFrames`]
    Plain,
    /// [`DeflatedLineFrames`]
    Deflated,
}

impl LineCoding {
    /// Returns the coding that a handshake agreed on.
    pub(super) fn of(agreed: Option<Deflate>) -> Self {
        match agreed {
            None => Self::Plain,
            Some(agreed) if shares(agreed) => Self::Shared,
            Some(agreed) => Self::Own { agreed, deflater: None },
        }
    }

    /// Returns the frames that rooms read for it.
    pub(super) fn room_frames(&self) -> RoomFrames {
        match self {
            Self::Plain | Self::Own { .. } => RoomFrames::Plain,
            Self::Shared => RoomFrames::Deflated,
        }
    }

    /// Encodes what a session sends, in order. Lines alone in frames of all, which are sent most, are not copied. What
    /// is not a line is rare and stays as it is, which RFC 7692 §6 allows.
    pub(super) fn encoded(&mut self, outgoing: impl IntoIterator<Item = Outgoing>) -> Bytes {
        let mut outgoing = outgoing.into_iter().peekable();
        let mut out = BytesMut::new();
        while let Some(next) = outgoing.next() {
            match next {
                Outgoing::Lines(batch) => match self {
                    Self::Plain | Self::Shared if out.is_empty() && outgoing.peek().is_none() => {
                        return batch.bytes;
                    }
                    Self::Plain | Self::Shared => out.put_slice(&batch.bytes),
                    Self::Own { agreed, deflater } => {
                        let deflater = deflater.get_or_insert_with(|| Box::new(Deflater::new(*agreed)));
                        each_text(batch.bytes, |text| deflater.write_text(text, &mut out));
                    }
                },
                Outgoing::Frame(json) => {
                    let json = serde_json::to_vec(&json).expect("a frame has no key that JSON refuses");
                    Parser::write_message(&mut out, json, OpCode::Text, true, false);
                }
                Outgoing::Control(frame) => frame.write(&mut out),
            }
        }
        out.freeze()
    }
}

/// Hands over the text of each frame of [`LineFrames`].
fn each_text(mut frames: Bytes, mut take: impl FnMut(&[u8])) {
    while frames.has_remaining() {
        frames.advance(1);
        let length = match frames.get_u8() {
            126 => frames.get_u16().into(),
            127 => frames.get_u64() as usize,
            length => length.into(),
        };
        take(&frames.split_to(length));
    }
}
