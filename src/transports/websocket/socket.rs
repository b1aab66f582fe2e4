//! One WebSocket connection: its session, its rooms, and the messages it has received.
//!
//! Both engines use it. An engine decides when to look for a message or a batch and how frames become bytes; this
//! module and the session decide what they mean.

use std::task::{Context as Task, Poll};

use bytes::Bytes;
use futures_util::stream::StreamExt;
use wirelab_clients::wire::DeploymentId;

use super::frames::LineCoding;
use super::rooms::Rooms;
use super::session::{Answer, Ask, Effect, Session};
use crate::access::{Denied, Role};
use crate::clock::now_us;
use crate::context::Context;
use crate::exchange::asked::Asked;
use crate::exchange::new_lines;
use crate::exchange::problem::Refusal;
use crate::exchange::upgrade::{Deflate, Inbox, Inflating, Longest, Message, Violation};
use crate::reader::{FramedBatch, ReadError, Reader};
use crate::terminal::complain;

/// The socket that an engine runs.
pub(crate) struct Socket {
    pub(crate) session: Session,
    lines: LineCoding,
    rooms: Rooms,
    inbox: Inbox,
    /// Whether the inbox was empty at the last look, and the connection has had a turn to fill it since.
    was_quiet: bool,
    /// What the client may do: reading a log does not allow to write it.
    role: Role,
}

/// Event that a socket must handle next.
pub(crate) enum Event {
    /// The client sent a message or broke the protocol; `None`: the client is gone.
    Received(Option<Result<Message, Violation>>),
    /// Every command is answered, and every room is over.
    Over,
    /// A room has read a batch, or failed.
    Read(DeploymentId, Result<FramedBatch, ReadError>),
}

impl Socket {
    /// Creates a socket whose path named the deployment of `reader`, and whose messages may be compressed as `agreed`.
    pub(super) fn new(asked: Asked, reader: Reader, agreed: Option<Deflate>, context: &Context) -> Self {
        let session = Session::greet(reader.id().clone(), reader.cursor(), context.options.heartbeat);
        let lines = LineCoding::of(agreed);
        let mut rooms = Rooms::new(lines.room_frames(), context.metrics.clone(), context.options.linger);
        rooms.enter(reader, None);
        let role = asked.role();
        let (payload, share) = asked.into_payload();
        let inflating = agreed.map_or(Inflating::Never, |_| Inflating::EachMessage);
        let inbox = Inbox::of(payload, share, Longest::BODY, inflating, context.options.turn_requests);
        Self { session, lines, rooms, inbox, was_quiet: false, role }
    }

    /// Returns the frames that go out now.
    pub(crate) fn take_output(&mut self) -> Bytes {
        self.lines.encoded(self.session.take_output())
    }

    /// Polls for the next event. Received messages come first: a command is answered before later lines, and before the
    /// goodbye of a socket whose rooms are over.
    pub(crate) fn poll_event(&mut self, task: &mut Task<'_>) -> Poll<Event> {
        if let Poll::Ready(received) = self.inbox.poll_next_unpin(task) {
            self.was_quiet = false;
            return Poll::Ready(Event::Received(received));
        }
        if self.session.is_over() && self.inbox.is_giving_way() {
            return Poll::Pending;
        }
        if self.session.is_over() {
            // The connection passes on at most 32 KiB at a time; what it has read beyond that comes after its next
            // turn.
            if !std::mem::replace(&mut self.was_quiet, true) {
                task.waker().wake_by_ref();
                return Poll::Pending;
            }
            return Poll::Ready(Event::Over);
        }
        match self.rooms.poll_next_unpin(task) {
            Poll::Ready(Some((deployment, read))) => Poll::Ready(Event::Read(deployment, read)),
            // Without any room only the client can bring the next event.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Handles an event. A returned [`Ask`] must be answered before the next event.
    pub(crate) fn handle(&mut self, event: Event) -> Option<Ask> {
        match event {
            Event::Received(Some(Ok(message))) => match self.session.receive(message, now_us())? {
                Effect::Ask(Ask::Publish(deployment, _, reference)) if self.role < Role::Publisher => {
                    let denied = Denied::Insufficient { needed: Role::Publisher, has: self.role };
                    let problem = Refusal::from(denied).problem().clone();
                    self.session.answer(Answer::Published(deployment, Err(problem), reference));
                }
                Effect::Ask(ask) => return Some(ask),
                Effect::Leave(deployment) => self.rooms.leave(&deployment),
                Effect::Pause => self.rooms.pause(),
                Effect::Resume => self.rooms.resume(),
            },
            Event::Received(Some(Err(violation))) => self.session.violate(violation),
            Event::Received(None) => self.session.vanish(),
            Event::Over => self.session.settle(),
            Event::Read(deployment, read) => {
                if let Err(ReadError::Store(error)) = &read {
                    complain(format!("a socket ended early: {error}"));
                }
                self.session.deliver(deployment, read);
            }
        }
        None
    }

    /// Handles the result of an [`Ask`].
    pub(crate) fn answered(&mut self, done: Done) {
        if let Some((reader, permit)) = done.entered {
            self.rooms.enter(reader, Some(permit));
        }
        self.session.answer(done.answer);
    }

    /// Stops reading all logs, because the close frame is sent.
    pub(crate) fn leave_rooms(&mut self) {
        self.rooms.leave_all();
    }
}

/// Result of an [`Ask`] that was carried out.
pub(crate) struct Done {
    answer: Answer,
    entered: Option<(Reader, tokio::sync::OwnedSemaphorePermit)>,
}

impl Ask {
    /// Opens a reader or appends lines.
    pub(crate) async fn carry_out(self, context: &Context) -> Done {
        match self {
            Self::Subscribe(deployment, position, reference) => {
                let opened = context.deployments.reader(&deployment, position).await;
                // Only an existing deployment takes a permit.
                match (opened, context.rooms.clone().try_acquire_owned()) {
                    (Ok(reader), Ok(permit)) => Done {
                        answer: Answer::Subscribed(deployment, Ok(reader.cursor()), reference),
                        entered: Some((reader, permit)),
                    },
                    (Ok(_), Err(_)) => Done { answer: Answer::Overloaded, entered: None },
                    (Err(error), _) => {
                        let problem = Refusal::from(error).problem().clone();
                        Done {
                            answer: Answer::Subscribed(deployment, Err(problem), reference),
                            entered: None,
                        }
                    }
                }
            }
            Self::Publish(deployment, text, reference) => {
                let appended = context.deployments.append(&deployment, text, new_lines::of_bytes, None).await;
                let appended = appended.map_err(|refusal: Refusal| refusal.problem().clone());
                Done { answer: Answer::Published(deployment, appended, reference), entered: None }
            }
        }
    }
}
