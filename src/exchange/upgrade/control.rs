//! Control frames and the close handshake of one WebSocket (RFC 6455 §5.5 and §7).
//!
//! Pure. Every socket asks it what a message means besides its commands. It knows how many pings are unanswered and
//! which side has closed.

use actix_http::ws::{CloseCode, CloseReason, OpCode, Parser};
use bytes::{Bytes, BytesMut};

use super::messages::Message;

/// Heartbeats without anything from the client before the socket is given up.
const UNANSWERED_PINGS_MAX: u32 = 2;

/// Phase of a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The socket is open: frames go out as they come.
    #[default]
    Open,
    /// Our close frame is out; the client's answer is awaited.
    Closing,
    /// Nothing more will be sent or read.
    Closed,
}

/// Frame that is not a message.
#[derive(Debug, Clone)]
pub(crate) enum ControlFrame {
    /// Ping: asks whether the client is there.
    Ping,
    /// Pong: the answer to a Ping frame.
    Pong(Bytes),
    /// A Close frame.
    Close(Option<CloseReason>),
}

impl ControlFrame {
    /// Appends the frame's bytes.
    pub(crate) fn write(self, out: &mut BytesMut) {
        match self {
            Self::Ping => Parser::write_message(out, b"", OpCode::Ping, true, false),
            Self::Pong(payload) => Parser::write_message(out, payload, OpCode::Pong, true, false),
            Self::Close(reason) => Parser::write_close(out, reason, false),
        }
    }
}

/// Meaning of a message for the socket that received it.
#[derive(Debug)]
pub(crate) enum Heard {
    /// Text, which may be a command.
    Text(String),
    /// Binary message; no command is one.
    Binary,
    /// Message that this frame answers.
    Answered(ControlFrame),
    /// Message that needs no reaction.
    Nothing,
}

/// State of one socket's control frames and close handshake.
#[derive(Debug, Default)]
pub(crate) struct Control {
    phase: Phase,
    unanswered_pings: u32,
}

impl Control {
    /// Returns the phase of the socket.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Handles a message of the client, which is a sign of life.
    pub(crate) fn receive(&mut self, message: Message) -> Heard {
        self.unanswered_pings = 0;
        match (self.phase, message) {
            (Phase::Open, Message::Text(text)) => Heard::Text(text),
            (Phase::Open, Message::Binary) => Heard::Binary,
            (Phase::Open, Message::Ping(payload)) => Heard::Answered(ControlFrame::Pong(payload)),
            (Phase::Open, Message::Close(reason)) => {
                self.phase = Phase::Closed;
                // Only the code is repeated; the client that sent it knows its reason.
                Heard::Answered(ControlFrame::Close(reason.map(|reason| reason.code.into())))
            }
            // Our close frame is out, so only the client's matters.
            (Phase::Closing | Phase::Closed, Message::Close(_)) => {
                self.phase = Phase::Closed;
                Heard::Nothing
            }
            (Phase::Open, Message::Pong) | (Phase::Closing | Phase::Closed, _) => Heard::Nothing,
        }
    }

    /// Notes that the client is gone without a close frame: nothing is left to answer.
    pub(crate) fn vanish(&mut self) {
        self.phase = Phase::Closed;
    }

    /// Returns the frame to send after a heartbeat in which nothing was heard.
    pub(crate) fn fall_silent(&mut self) -> Option<ControlFrame> {
        if self.unanswered_pings == UNANSWERED_PINGS_MAX {
            return self.close(CloseCode::Policy, "no pong within two heartbeats");
        }
        self.unanswered_pings += 1;
        (self.phase == Phase::Open).then_some(ControlFrame::Ping)
    }

    /// Starts the close handshake; `None` if it was started before.
    pub(crate) fn close(&mut self, code: CloseCode, reason: &str) -> Option<ControlFrame> {
        if self.phase != Phase::Open {
            return None;
        }
        self.phase = Phase::Closing;
        let description = (!reason.is_empty()).then(|| reason.to_owned());
        Some(ControlFrame::Close(Some(CloseReason { code, description })))
    }
}
