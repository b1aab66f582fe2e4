//! A WebSocket session as data: commands in, frames out.
//!
//! Both engines run it; it does no I/O, reads no clock and waits for nothing. What only I/O can do comes back as
//! an [`Ask`], whose [`Answer`] is given in again before the next command: commands are handled in order. It
//! knows which rooms are live and how far each was sent, and so when the socket is over.

use std::time::Duration;

use actix_http::ws::{CloseCode, CloseReason};
use actix_web::http::StatusCode;
use bytes::Bytes;
use wirelab_clients::wire::{
    Appended, ClientFrame, Cursor, DeploymentId, NewLine, Position, Problem, Reference, ServerFrame,
};

use crate::exchange::new_lines;
use crate::exchange::problem::Refusal;
use crate::exchange::request;
use crate::exchange::upgrade::{self, Message, REPEATED_CHARS_MAX, UNANSWERED_PINGS_MAX, Violation};
use crate::reader::{EncodedBatch, ReadError};

/// Rooms of one socket. Each may hold one batch while the socket is paused: 8 MiB at most.
pub(super) const ROOMS_MAX: usize = 32;
/// What goes out next.
#[derive(Debug, Clone)]
pub(crate) enum Outgoing {
    /// A JSON text frame.
    Frame(ServerFrame),
    /// One text frame per line, encoded already.
    Lines(DeploymentId, EncodedBatch),
    /// A Ping frame.
    Ping,
    /// The answer to a Ping frame.
    Pong(Bytes),
    /// A Close frame.
    Close(Option<CloseReason>),
}

/// What a command wants that the session cannot do by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Open a reader.
    Subscribe(DeploymentId, Position, Reference),
    /// Append.
    Publish(DeploymentId, Vec<NewLine>, Reference),
}

/// What became of an [`Ask`].
#[derive(Debug)]
pub(super) enum Answer {
    /// A reader stands at the cursor.
    Subscribed(DeploymentId, Result<Cursor, Problem>, Reference),
    /// Lines were appended.
    Published(DeploymentId, Result<Appended, Problem>, Reference),
    /// The server follows as many logs as it may.
    Overloaded,
}

/// What a message means for the rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// I/O, before the next message.
    Ask(Ask),
    /// No lines of this room any more.
    Leave(DeploymentId),
    /// No lines until [`Effect::Resume`].
    Pause,
    /// Lines again.
    Resume,
}

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Lines go out as they come.
    Open,
    /// Our close frame is out; the client's answer is awaited.
    Closing,
    /// Nothing more will be sent or read.
    Closed,
}

/// One socket's session.
#[derive(Debug)]
pub(crate) struct Session {
    rooms: Vec<Room>,
    a_room_is_over: bool,
    unanswered_pings: u32,
    phase: Phase,
    output: Vec<Outgoing>,
}

/// A live room.
#[derive(Debug)]
struct Room {
    deployment: DeploymentId,
    /// Behind the last line that was sent.
    cursor: Cursor,
}

impl Session {
    /// The session of a socket whose path names a deployment: that room is live at once.
    pub(super) fn greet(deployment: DeploymentId, cursor: Cursor, heartbeat: Duration) -> Self {
        let hello = ServerFrame::Hello { heartbeat_s: heartbeat.as_secs() };
        let mut session = Self {
            rooms: Vec::new(),
            a_room_is_over: false,
            unanswered_pings: 0,
            phase: Phase::Open,
            output: vec![Outgoing::Frame(hello)],
        };
        session.enter(deployment, cursor, None);
        session
    }

    /// How far it is.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// What goes out now, in order.
    pub(crate) fn take_output(&mut self) -> Vec<Outgoing> {
        std::mem::take(&mut self.output)
    }

    /// A message of the client.
    pub(super) fn receive(&mut self, message: Message, now_us: u64) -> Option<Effect> {
        self.unanswered_pings = 0;
        if self.phase != Phase::Open {
            // Our close frame is out: only the client's is of interest.
            if matches!(message, Message::Close(_)) {
                self.phase = Phase::Closed;
            }
            return None;
        }
        match message {
            Message::Text(text) => return self.command(&text, now_us),
            Message::Binary => self.close(CloseCode::Unsupported, "commands are text frames"),
            Message::Ping(payload) => self.output.push(Outgoing::Pong(payload)),
            Message::Pong => {}
            Message::Close(reason) => {
                // The code comes back; whoever sent it knows why.
                let echo = reason.map(|reason| reason.code.into());
                self.output.push(Outgoing::Close(echo));
                self.phase = Phase::Closed;
            }
        }
        None
    }

    /// The client broke the protocol.
    pub(super) fn violate(&mut self, violation: Violation) {
        self.close(violation.code, violation.reason);
    }

    /// The client is gone without a close frame: nobody is left to answer.
    pub(crate) fn vanish(&mut self) {
        self.phase = Phase::Closed;
    }

    /// What became of the last [`Ask`].
    pub(super) fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Subscribed(deployment, Ok(cursor), reference) => {
                self.enter(deployment, cursor, reference);
            }
            Answer::Published(deployment, Ok(appended), reference) => {
                let Appended { first, last, .. } = appended;
                self.frame(ServerFrame::Published { deployment, first, last, reference });
            }
            Answer::Subscribed(_, Err(problem), reference)
            | Answer::Published(_, Err(problem), reference) => {
                self.frame(ServerFrame::Error { problem, reference });
            }
            Answer::Overloaded => {
                self.close(CloseCode::Again, "the server follows as many logs as it may; come back later");
            }
        }
    }

    /// What a live room's reader says.
    pub(super) fn deliver(&mut self, deployment: DeploymentId, read: Result<EncodedBatch, ReadError>) {
        let Some(index) = self.rooms.iter().position(|room| room.deployment == deployment) else { return };
        let over = match read {
            Ok(batch) => {
                let (cursor, finished) = (batch.next.clone(), batch.finished);
                self.rooms[index].cursor = cursor.clone();
                if !batch.lines.is_empty() {
                    self.output.push(Outgoing::Lines(deployment.clone(), batch));
                }
                let Some(status) = finished else { return };
                ServerFrame::Finished { deployment, cursor, status }
            }
            Err(ReadError::Gap(gap)) => {
                ServerFrame::Gap { deployment, earliest: gap.earliest, latest: gap.latest }
            }
            Err(ReadError::Deleted(_)) => ServerFrame::Deleted { deployment },
            Err(ReadError::Store(_)) => return self.close(CloseCode::Error, "the log cannot be read"),
        };
        self.rooms.remove(index);
        self.a_room_is_over = true;
        self.frame(over);
    }

    /// Whether nothing will come any more: a room is over and none is live. Then [`Self::settle`], once every
    /// command that was received is answered. A socket whose rooms were only left stays open.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Open && self.a_room_is_over && self.rooms.is_empty()
    }

    /// Says goodbye to a client whose rooms are over.
    pub(crate) fn settle(&mut self) {
        self.close(CloseCode::Normal, "");
    }

    /// Nothing was sent for a heartbeat.
    pub(crate) fn fall_silent(&mut self) {
        if self.phase != Phase::Open {
            return;
        }
        if self.unanswered_pings == UNANSWERED_PINGS_MAX {
            return self.close(CloseCode::Policy, "no pong within two heartbeats");
        }
        self.unanswered_pings += 1;
        self.output.push(Outgoing::Ping);
    }

    /// The server stops.
    pub(crate) fn shut_down(&mut self) {
        self.close(CloseCode::Away, "the server is stopping");
    }

    fn command(&mut self, text: &str, now_us: u64) -> Option<Effect> {
        let (command, reference) = upgrade::command(text, r#"{"type":"ping"}"#);
        match command {
            Ok(command) => self.obey(command, reference, now_us),
            Err(refusal) => {
                self.refuse(refusal, reference);
                None
            }
        }
    }

    fn obey(&mut self, command: ClientFrame, reference: Reference, now_us: u64) -> Option<Effect> {
        let refused = match command {
            ClientFrame::Subscribe { deployment, from } => {
                match self.subscription(&deployment, from.as_deref()) {
                    Ok((id, position)) => return Some(Effect::Ask(Ask::Subscribe(id, position, reference))),
                    Err(refusal) => refusal,
                }
            }
            ClientFrame::Unsubscribe { deployment } => {
                match self.rooms.iter().position(|room| room.deployment.as_str() == deployment) {
                    Some(index) => {
                        let Room { deployment, cursor } = self.rooms.remove(index);
                        let left = deployment.clone();
                        self.frame(ServerFrame::Unsubscribed { deployment, cursor, reference });
                        return Some(Effect::Leave(left));
                    }
                    None => {
                        let given: String = deployment.chars().take(REPEATED_CHARS_MAX).collect();
                        let detail = format!("deployment {given:?} is not followed on this socket");
                        Refusal::new(StatusCode::NOT_FOUND, detail)
                    }
                }
            }
            ClientFrame::Pause {} => return Some(Effect::Pause),
            ClientFrame::Resume {} => return Some(Effect::Resume),
            ClientFrame::Publish { deployment, text } => match publication(&deployment, &text) {
                Ok((id, lines)) => return Some(Effect::Ask(Ask::Publish(id, lines, reference))),
                Err(refusal) => refusal,
            },
            ClientFrame::Ping {} => {
                self.frame(ServerFrame::Pong { at_us: now_us, reference });
                return None;
            }
        };
        self.refuse(refused, reference);
        None
    }

    fn subscription(
        &self,
        deployment: &str,
        from: Option<&str>,
    ) -> Result<(DeploymentId, Position), Refusal> {
        let id = request::parse_deployment_id(deployment)?;
        let position = request::parse_position(from)?;
        if self.rooms.iter().any(|room| room.deployment == id) {
            let detail = format!("deployment {id} is followed on this socket already; unsubscribe first");
            return Err(Refusal::new(StatusCode::CONFLICT, detail));
        }
        if self.rooms.len() == ROOMS_MAX {
            let detail = format!("a socket follows at most {ROOMS_MAX} deployments; open another socket");
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, detail));
        }
        Ok((id, position))
    }

    fn enter(&mut self, deployment: DeploymentId, cursor: Cursor, reference: Reference) {
        self.rooms.push(Room { deployment: deployment.clone(), cursor: cursor.clone() });
        self.frame(ServerFrame::Subscribed { deployment, cursor, reference });
    }

    fn refuse(&mut self, refusal: Refusal, reference: Reference) {
        self.frame(ServerFrame::Error { problem: refusal.problem().clone(), reference });
    }

    fn frame(&mut self, frame: ServerFrame) {
        self.output.push(Outgoing::Frame(frame));
    }

    /// Our close frame; the rooms are over with it.
    fn close(&mut self, code: CloseCode, reason: &str) {
        if self.phase != Phase::Open {
            return;
        }
        let description = (!reason.is_empty()).then(|| reason.to_owned());
        self.output.push(Outgoing::Close(Some(CloseReason { code, description })));
        self.rooms.clear();
        self.phase = Phase::Closing;
    }
}

fn publication(deployment: &str, text: &str) -> Result<(DeploymentId, Vec<NewLine>), Refusal> {
    Ok((request::parse_deployment_id(deployment)?, new_lines::of_text(text)?))
}

#[cfg(test)]
mod tests;
