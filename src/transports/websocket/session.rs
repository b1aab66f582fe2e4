//! A WebSocket session as data: commands in, frames out.
//!
//! Both engines run it. It does no I/O, reads no clock and waits for nothing. What needs I/O is returned as an [`Ask`];
//! its [`Answer`] is passed in before the next command, so commands are handled in order. The session knows the live
//! rooms (the deployments that the socket follows), the cursor of each, and when the socket is over.

use std::time::Duration;
use std::vec::Drain;

use actix_http::ws::CloseCode;
use actix_web::http::StatusCode;
use wirelab_clients::wire::{
    Appended, ClientFrame, Cursor, DeploymentId, Position, Problem, Reference, ServerFrame,
};

use crate::exchange::problem::Refusal;
use crate::exchange::request;
use crate::exchange::upgrade::{
    self, Control, ControlFrame, Heard, Message, Phase, REPEATED_CHARS_MAX, Violation,
};
use crate::reader::{FramedBatch, ReadError};

/// Largest number of rooms of one socket. Each may hold one batch while the socket is paused: 8 MiB in total.
pub(super) const ROOMS_MAX: usize = 32;
/// Message to be sent.
#[derive(Debug, Clone)]
pub(crate) enum Outgoing {
    /// A JSON text frame.
    Frame(Box<ServerFrame>),
    /// One text frame per line, framed already.
    Lines(FramedBatch),
    /// A ping, a pong or a close frame.
    Control(ControlFrame),
}

/// I/O that a command needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Opens a reader.
    Subscribe(DeploymentId, Position, Reference),
    /// Appends the lines of a text.
    Publish(DeploymentId, String, Reference),
}

/// Result of an [`Ask`].
#[derive(Debug)]
pub(super) enum Answer {
    /// A reader was opened at the cursor, or refused.
    Subscribed(DeploymentId, Result<Cursor, Problem>, Reference),
    /// Lines were appended, or refused.
    Published(DeploymentId, Result<Appended, Problem>, Reference),
    /// The server already follows as many logs as it may.
    Overloaded,
}

/// Effect of a message on the rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Needs I/O before the next message.
    Ask(Ask),
    /// Ends the lines of this room.
    Leave(DeploymentId),
    /// Stops all lines until [`Effect::Resume`].
    Pause,
    /// Lets lines go on.
    Resume,
}

/// The session of one socket.
#[derive(Debug)]
pub(crate) struct Session {
    rooms: Vec<Room>,
    a_room_is_over: bool,
    control: Control,
    output: Vec<Outgoing>,
}

/// A live room: a deployment that the socket follows.
#[derive(Debug)]
struct Room {
    deployment: DeploymentId,
    /// Cursor after the last line that was sent.
    cursor: Cursor,
}

impl Session {
    /// Starts the session of a socket whose path names a deployment, which is the first live room.
    pub(super) fn greet(deployment: DeploymentId, cursor: Cursor, heartbeat: Duration) -> Self {
        let hello = ServerFrame::Hello { heartbeat_s: heartbeat.as_secs() };
        let mut session = Self {
            rooms: Vec::new(),
            a_room_is_over: false,
            control: Control::default(),
            output: vec![Outgoing::Frame(Box::new(hello))],
        };
        session.enter(deployment, cursor, None);
        session
    }

    /// Returns the phase of the session.
    pub(crate) fn phase(&self) -> Phase {
        self.control.phase()
    }

    /// Returns what is to be sent now, in order.
    pub(crate) fn take_output(&mut self) -> Drain<'_, Outgoing> {
        self.output.drain(..)
    }

    /// Handles a message of the client.
    pub(super) fn receive(&mut self, message: Message, now_us: u64) -> Option<Effect> {
        match self.control.receive(message) {
            Heard::Text(text) => return self.command(&text, now_us),
            Heard::Binary => self.close(CloseCode::Unsupported, "commands are text frames"),
            Heard::Answered(frame) => self.output.push(Outgoing::Control(frame)),
            Heard::Nothing => {}
        }
        None
    }

    /// Closes the socket because the client broke the protocol.
    pub(super) fn violate(&mut self, violation: Violation) {
        self.close(violation.code, violation.reason);
    }

    /// Ends the session because the client is gone without a close frame.
    pub(crate) fn vanish(&mut self) {
        self.control.vanish();
    }

    /// Handles the result of the last [`Ask`].
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

    /// Handles what the reader of a live room has read.
    pub(super) fn deliver(&mut self, deployment: DeploymentId, read: Result<FramedBatch, ReadError>) {
        let Some(index) = self.rooms.iter().position(|room| room.deployment == deployment) else { return };
        let over = match read {
            Ok(batch) => {
                let (cursor, finished) = (batch.next.clone(), batch.finished);
                self.rooms[index].cursor = cursor.clone();
                if batch.line_count > 0 {
                    self.output.push(Outgoing::Lines(batch));
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

    /// Tells whether no more lines can come: at least one room is over and none is live.
    ///
    /// The engine then calls [`Self::settle`], once every received command is answered. A socket whose rooms were only
    /// left stays open.
    pub(crate) fn is_over(&self) -> bool {
        self.phase() == Phase::Open && self.a_room_is_over && self.rooms.is_empty()
    }

    /// Closes a socket whose rooms are over.
    pub(crate) fn settle(&mut self) {
        self.close(CloseCode::Normal, "");
    }

    /// Handles a heartbeat in which nothing was sent: sends a Ping, or closes the socket if the last ones were not
    /// answered.
    pub(crate) fn fall_silent(&mut self) {
        self.output.extend(self.control.fall_silent().map(Outgoing::Control));
    }

    /// Closes the socket because the server stops.
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
            ClientFrame::Publish { deployment, text } => match request::parse_deployment_id(&deployment) {
                Ok(id) => return Some(Effect::Ask(Ask::Publish(id, text, reference))),
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
        self.output.push(Outgoing::Frame(Box::new(frame)));
    }

    /// Sends the close frame and ends all rooms.
    fn close(&mut self, code: CloseCode, reason: &str) {
        if let Some(frame) = self.control.close(code, reason) {
            self.output.push(Outgoing::Control(frame));
            self.rooms.clear();
        }
    }
}

#[cfg(test)]
mod tests;
