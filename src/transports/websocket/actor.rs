//! The engine `actor`: a WebSocket as an actor per connection.
//!
//! It is built on actix-web-actors, which its authors have deprecated in favour of actix-ws. It is here for an
//! experiment: *an actor per connection* against *a cursor per connection*, which the plan `websocket-engines` runs.
//! For work, use the engine `cursor`.
//!
//! Session, rooms, frames and message parsing are shared with that engine, so only the code that drives them differs.
//! Here it is an actor's context, which queues what the actor writes and hands it over whenever TCP asks for bytes. A
//! usual actor is sent each line through its mailbox, which has no bound. This actor pulls one batch, then lets TCP have
//! its turn, so a stalled reader costs it one batch, too.
//!
//! The context is the library's for HTTP: its context for WebSockets takes messages only, so that each line would be
//! framed anew for each socket. Its inbox reads everything there is before it looks at one frame, accepts lengths that
//! are not minimal, and does not reassemble fragments.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Task, Poll};

use actix::{Actor, ActorContext, ActorFuture, ActorFutureExt, AsyncContext, WrapFuture};
use actix_web::{HttpResponse, HttpResponseBuilder, web};
use actix_web_actors::HttpContext;
use futures_util::stream::StreamExt;
use tokio::time::Instant;

use super::socket::{Event, Socket};
use crate::context::Context;
use crate::exchange::upgrade::{CLOSE_TIMEOUT, Phase};

/// Returns the answer whose body runs the socket.
pub(super) fn run(
    mut response: HttpResponseBuilder,
    socket: Socket,
    context: web::Data<Context>,
) -> HttpResponse {
    let queued = Rc::new(Cell::new(0));
    let actor = SocketActor {
        socket,
        silent_since: Instant::now(),
        is_closing: false,
        queued: queued.clone(),
        context,
    };
    response.streaming(HttpContext::create(actor).inspect(move |_| queued.set(queued.get() - 1)))
}

/// Actor of one connection.
struct SocketActor {
    socket: Socket,
    /// When something was last sent.
    silent_since: Instant,
    /// Whether the close frame is out and its time runs.
    is_closing: bool,
    /// Pieces that the context holds until TCP asks for them, one by one.
    queued: Rc<Cell<usize>>,
    context: web::Data<Context>,
}

impl Actor for SocketActor {
    type Context = HttpContext<Self>;

    fn started(&mut self, actor: &mut Self::Context) {
        self.flush(actor);
        actor.spawn(Turns);
        let shutdown = self.context.shutdown.clone();
        let stopping = async move { shutdown.cancelled().await }.into_actor(self);
        actor.spawn(stopping.map(|(), this, actor| {
            this.socket.session.shut_down();
            this.flush(actor);
        }));
        self.watch_silence(actor);
    }
}

/// Work of the actor: one event, then Pending with a wake-up of its own, so that its frames are sent before the next
/// event. The context polls it only when TCP can take more. While the context still holds a piece, no event is handled.
struct Turns;

impl ActorFuture<SocketActor> for Turns {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        this: &mut SocketActor,
        actor: &mut HttpContext<SocketActor>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        if this.queued.get() > 0 {
            // TCP asks again after it has taken that piece.
            return Poll::Pending;
        }
        if let Poll::Ready(event) = this.socket.poll_event(task) {
            this.turn(event, actor);
            task.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl SocketActor {
    fn turn(&mut self, event: Event, actor: &mut HttpContext<Self>) {
        if let Some(ask) = self.socket.handle(event) {
            let context = self.context.clone();
            let done = async move { ask.carry_out(&context).await }.into_actor(self);
            // The context looks at nothing else until then: commands are handled in order.
            actor.wait(done.map(|done, this, actor| {
                this.socket.answered(done);
                this.flush(actor);
            }));
        }
        self.flush(actor);
    }

    /// Queues the session's frames, and ends the actor when the session is over.
    fn flush(&mut self, actor: &mut HttpContext<Self>) {
        let out = self.socket.take_output();
        if !out.is_empty() {
            self.silent_since = Instant::now();
            self.queued.set(self.queued.get() + 1);
            actor.write(out);
        }
        match self.socket.session.phase() {
            Phase::Open => {}
            Phase::Closing if self.is_closing => {}
            Phase::Closing => {
                self.is_closing = true;
                self.socket.leave_rooms();
                // Answered or not, the connection ends after this time.
                actor.run_later(CLOSE_TIMEOUT, |_, actor| actor.stop());
            }
            Phase::Closed => actor.stop(),
        }
    }

    /// Sends a sign of life a heartbeat after the last frame, again and again.
    fn watch_silence(&self, actor: &mut HttpContext<Self>) {
        let due = self.silent_since + self.context.options.heartbeat;
        actor.run_later(due.saturating_duration_since(Instant::now()), |this, actor| {
            if this.silent_since.elapsed() >= this.context.options.heartbeat {
                this.socket.session.fall_silent();
                this.flush(actor);
            }
            if this.socket.session.phase() == Phase::Open {
                this.watch_silence(actor);
            }
        });
    }
}
