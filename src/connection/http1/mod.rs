//! HTTP/1.1 on one connection: one request after the other, each answered by the application.
//!
//! Drives the codec of actix-http itself, because its dispatcher keeps two buffers of 8 KiB for every connection, arms
//! timers for each request, and bounds neither the rest of a refused body nor the time of a second request. A connection
//! that waits has no buffer here. This module depends on no path and no transport.
//!
//! A head is parsed only when the answer before it is complete: the codec remembers one request. What comes meanwhile
//! waits unparsed, up to a bound. The end of what a client sends ends its request, or a held poll would outlive its
//! client. Once unparsed bytes fill that bound, nothing more is read and the end is not seen: such a poll lives until
//! its answer is over. An upgraded connection hands all that follows to its handler as the body of the request.

mod body;
mod offered;
mod patience;
mod room;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::error::{DispatchError, ParseError, PayloadError};
use actix_http::h1::{Codec, Message, MessageType};
use actix_http::{ConnectionType, KeepAlive, Payload, Request, Response, ServiceConfig};
use actix_web::http::{Method, StatusCode};
use bytes::BytesMut;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use tokio_util::codec::{Decoder as _, Encoder as _};

use self::body::{Feed, Wanted, body};
use self::patience::{Rest, Timer};
use self::room::Unsent;
use super::{Answering, Answers, Ledger, MeteredStream, Terms};
use crate::exchange::stopping::Stopping;
use crate::exchange::turns::Turns;

/// Bytes of requests that come before the answer to an earlier one is complete. Sixty-four usual appends; a client that
/// sends more waits in its own socket.
const READ_AHEAD_BYTES_MAX: usize = 32 << 10;
/// Bytes of answers that are gathered for one write. An answer is asked for more when they have left.
const WRITE_BYTES_MAX: usize = 32 << 10;
/// Tells a client that it may send the body of its request (RFC 9110 §10.1.1).
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Makes the configuration that the codecs of a thread share. It keeps the date of answers.
pub(crate) fn config(terms: &Terms) -> ServiceConfig {
    let keep_alive = KeepAlive::Timeout(terms.keep_alive);
    ServiceConfig::new(keep_alive, terms.head_timeout, terms.head_timeout, false, None)
}

/// Serves one connection until it ends. An error says why it was cut.
pub(crate) fn serve<A: Answers>(
    stream: MeteredStream,
    peer: Option<SocketAddr>,
    app: Rc<A>,
    config: ServiceConfig,
    terms: &Terms,
) -> impl Future<Output = Result<(), DispatchError>> {
    // Made before the future, which would otherwise keep room for its parts and for the whole.
    let mut connection = Connection::new(stream, peer, app, Codec::new(config), terms);
    async move {
        let mut stopping = pin!(Stopping::of(&terms.shutdown));
        poll_fn(|task| {
            if !connection.is_stopping {
                connection.is_stopping = stopping.as_mut().poll(task).is_ready();
            }
            connection.poll(task)
        })
        .await
    }
}

/// One connection, between its socket and the application.
struct Connection<'a, A> {
    stream: MeteredStream,
    ledger: Arc<Ledger>,
    peer: Option<SocketAddr>,
    app: Rc<A>,
    terms: &'a Terms,
    codec: Codec,
    /// Bytes that were read and not parsed.
    received: BytesMut,
    unsent: Unsent,
    stage: Stage,
    /// The connection's end of a request body that has not ended.
    feed: Option<Feed>,
    /// The request that is under way, for the ledger.
    answering: Option<Answering>,
    turns: Turns,
    timer: Timer,
    /// When the wait for a request began; `None` while there is none, or an answer has not left.
    waits_since: Option<Instant>,
    was_asked: bool,
    is_head: bool,
    is_upgraded: bool,
    is_stopping: bool,
    /// Whether the body of the request could not be understood: nothing behind it can.
    is_garbled: bool,
    /// Whether the client sends nothing more, or nothing that could be understood.
    has_heard_all: bool,
}

/// What a connection does.
enum Stage {
    /// It waits for a request.
    Waits,
    /// The application makes the answer.
    Called(Pin<Box<dyn Future<Output = Response<BoxBody>>>>),
    /// The body of the answer goes out.
    Answers(BoxBody),
    /// The answer is complete; the rest of what the client sends is dropped.
    Drops(Rest),
    /// What is left goes out, and the end behind it.
    Leaves,
}

/// Reason why the work on answers stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    /// Something must come first, or answers must leave that the socket did not take.
    Waits,
    /// Enough is there for one write.
    Full,
}

impl<'a, A: Answers> Connection<'a, A> {
    fn new(
        stream: MeteredStream,
        peer: Option<SocketAddr>,
        app: Rc<A>,
        codec: Codec,
        terms: &'a Terms,
    ) -> Self {
        Self {
            ledger: stream.ledger(),
            stream,
            peer,
            app,
            terms,
            codec,
            received: BytesMut::new(),
            unsent: Unsent::default(),
            stage: Stage::Waits,
            feed: None,
            answering: None,
            turns: Turns::new(terms.turn_requests),
            timer: Timer::default(),
            waits_since: Some(Instant::now()),
            was_asked: false,
            is_head: false,
            is_upgraded: false,
            is_stopping: false,
            is_garbled: false,
            has_heard_all: false,
        }
    }

    /// Does all that can be done now. Ready when the connection has ended.
    fn poll(&mut self, task: &mut Context<'_>) -> Poll<Result<(), DispatchError>> {
        self.unsent.take_room();
        let polled = self.poll_in_room(task);
        self.unsent.give_back();
        polled
    }

    fn poll_in_room(&mut self, task: &mut Context<'_>) -> Poll<Result<(), DispatchError>> {
        loop {
            let flushed = self.exchange(task)?;
            if matches!(self.stage, Stage::Leaves) {
                ready!(flushed);
                return Pin::new(&mut self.stream).poll_shutdown(task).map_err(DispatchError::Io);
            }
            if self.has_heard_all && !self.turns.is_giving_way() {
                self.stage = Stage::Leaves;
                continue;
            }
            if flushed.is_ready() && matches!(self.stage, Stage::Waits) {
                if self.is_stopping && !self.turns.is_giving_way() {
                    self.stage = Stage::Leaves;
                    continue;
                }
                self.waits_since.get_or_insert_with(Instant::now);
            }
            let due = self.due();
            ready!(self.timer.poll(due, task));
            self.run_out_of_patience()?;
        }
    }

    /// Reads, answers and writes until each must wait. Returns whether all answers have left.
    fn exchange(&mut self, task: &mut Context<'_>) -> Result<Poll<()>, DispatchError> {
        let (mut is_woken, mut pause) = (true, Pause::Waits);
        loop {
            let flushed = self.unsent.poll_flush(&mut self.stream, task).map_err(DispatchError::Io)?;
            let heard = self.hear(task)?;
            if !is_woken && heard.is_pending() && (pause == Pause::Waits || flushed.is_pending()) {
                return Ok(flushed);
            }
            is_woken = false;
            pause = self.answer(flushed, task)?;
        }
    }

    /// Reads once, if anything may come now. Ready when something has changed.
    fn hear(&mut self, task: &mut Context<'_>) -> Result<Poll<()>, DispatchError> {
        if self.has_heard_all || !self.wants_bytes(task) {
            return Ok(Poll::Pending);
        }
        let Poll::Ready(read) = room::poll_read(&mut self.stream, &mut self.received, task)? else {
            if self.received.is_empty() {
                self.turns.waited();
            }
            return Ok(Poll::Pending);
        };
        if let Stage::Drops(rest) = &mut self.stage {
            rest.dropped(read, Instant::now());
            self.received = BytesMut::new();
        }
        if read == 0 {
            self.has_heard_all = true;
            self.feed = None;
        }
        self.feed_body(task);
        Ok(Poll::Ready(()))
    }

    fn wants_bytes(&self, task: &mut Context<'_>) -> bool {
        match &self.stage {
            Stage::Waits => {
                // The codec refuses a head that is too long, when it is asked.
                let is_parsed = self.unsent.len() == 0 && !self.turns.is_giving_way();
                is_parsed || self.received.len() < READ_AHEAD_BYTES_MAX
            }
            Stage::Called(_) | Stage::Answers(_) => match &self.feed {
                Some(feed) => feed.wanted(task) != Wanted::Nothing,
                None => self.received.len() < READ_AHEAD_BYTES_MAX,
            },
            Stage::Drops(_) => true,
            Stage::Leaves => false,
        }
    }

    /// Hands over what has come of the request's body.
    fn feed_body(&mut self, task: &Context<'_>) {
        while let Some(feed) = &self.feed {
            match self.codec.decode(&mut self.received) {
                Ok(Some(Message::Chunk(Some(piece)))) => feed.push(piece, task),
                Ok(Some(Message::Chunk(None))) => self.end_body(Ok(())),
                Ok(Some(Message::Item(_))) => {
                    unreachable!("the codec parses a head after the end of the body")
                }
                Ok(None) => break,
                Err(_) => {
                    self.end_body(Err(PayloadError::EncodingCorrupted));
                    self.is_garbled = true;
                }
            }
        }
        if self.received.is_empty() {
            // Pieces that the handler still has would keep its memory.
            self.received = BytesMut::new();
        }
    }

    fn end_body(&mut self, end: Result<(), PayloadError>) {
        if let Some(feed) = self.feed.take() {
            feed.end(end);
        }
    }

    /// Answers requests until something must come first, or enough is there for one write.
    fn answer(&mut self, flushed: Poll<()>, task: &mut Context<'_>) -> Result<Pause, DispatchError> {
        while self.unsent.len() < WRITE_BYTES_MAX {
            match &mut self.stage {
                // A client that does not read its answers gets no more of them.
                Stage::Waits | Stage::Answers(_) if flushed.is_pending() => return Ok(Pause::Waits),
                Stage::Waits => {
                    if self.turns.poll_next(task).is_pending() || !self.take_request(task)? {
                        return Ok(Pause::Waits);
                    }
                }
                Stage::Called(call) => match call.as_mut().poll(task) {
                    Poll::Ready(answer) => self.begin_answer(answer)?,
                    Poll::Pending => return Ok(Pause::Waits),
                },
                Stage::Answers(answer) => match Pin::new(answer).poll_next(task) {
                    Poll::Ready(Some(Ok(piece))) => {
                        self.codec.encode(Message::Chunk(Some(piece)), self.unsent.bytes())?;
                    }
                    Poll::Ready(Some(Err(error))) => return Err(DispatchError::Body(error)),
                    Poll::Ready(None) => self.end_answer()?,
                    Poll::Pending => return Ok(Pause::Waits),
                },
                Stage::Drops(_) | Stage::Leaves => return Ok(Pause::Waits),
            }
        }
        Ok(Pause::Full)
    }

    /// Begins the next request, if its head is there. Returns whether one began, or was refused.
    fn take_request(&mut self, task: &Context<'_>) -> Result<bool, DispatchError> {
        if self.received.is_empty() {
            return Ok(false);
        }
        if !self.was_asked {
            offered::single_out_websocket(&mut self.received);
        }
        match self.codec.decode(&mut self.received) {
            Ok(Some(Message::Item(request))) => self.begin(request, task),
            Ok(Some(Message::Chunk(_))) => unreachable!("the body before has ended"),
            Ok(None) => return Ok(false),
            Err(ParseError::Io(error)) => return Err(DispatchError::Io(error)),
            Err(ParseError::TooLarge) => self.refuse(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)?,
            Err(_) => self.refuse(StatusCode::BAD_REQUEST)?,
        }
        Ok(true)
    }

    fn begin(&mut self, mut request: Request, task: &Context<'_>) {
        (self.was_asked, self.waits_since) = (true, None);
        self.turns.handled();
        self.answering = Some(self.ledger.begin(request.path()));
        self.is_head = request.method() == Method::HEAD;
        request.head_mut().peer_addr = self.peer;
        if request.head().expect() {
            self.unsent.bytes().extend_from_slice(CONTINUE);
        }
        match self.codec.message_type() {
            MessageType::None => {}
            MessageType::Payload | MessageType::Stream => {
                let (feed, body) = body();
                *request.payload() = Payload::Stream { payload: Box::pin(body) };
                self.feed = Some(feed);
            }
        }
        self.feed_body(task);
        self.stage = Stage::Called(Box::pin(self.app.clone().answer(request, self.ledger.clone())));
    }

    fn begin_answer(&mut self, answer: Response<BoxBody>) -> Result<(), DispatchError> {
        let (mut head, body) = answer.into_parts();
        let is_over = self.feed.is_some() || self.is_garbled || self.is_stopping || self.has_heard_all;
        // A client that offers another upgrade, as curl offers HTTP/2, does not ask to close, and is not kept either.
        if !head.upgrade() && (is_over || !self.codec.keep_alive()) {
            head.head_mut().set_connection_type(ConnectionType::Close);
        }
        self.is_upgraded = head.status() == StatusCode::SWITCHING_PROTOCOLS;
        let size = body.size();
        self.codec.encode(Message::Item((head, size)), self.unsent.bytes())?;
        if self.is_head || matches!(size, BodySize::None | BodySize::Sized(0)) {
            self.complete_answer();
        } else {
            self.stage = Stage::Answers(body);
        }
        Ok(())
    }

    fn end_answer(&mut self) -> Result<(), DispatchError> {
        self.codec.encode(Message::Chunk(None), self.unsent.bytes())?;
        self.complete_answer();
        Ok(())
    }

    /// Goes on after an answer that is complete.
    fn complete_answer(&mut self) {
        self.answering = None;
        self.stage = if self.is_upgraded {
            Stage::Drops(Rest::nothing_more(Instant::now()))
        } else if self.feed.take().is_some() || self.is_garbled {
            Stage::Drops(Rest::of_body(Instant::now()))
        } else if self.codec.keep_alive() {
            Stage::Waits
        } else {
            Stage::Leaves
        };
        if matches!(self.stage, Stage::Drops(_)) {
            self.received = BytesMut::new();
        }
    }

    /// Answers a head that no request can be made of, or one that is late, and leaves. There is no request, so there is no
    /// problem document either: the status says all.
    fn refuse(&mut self, status: StatusCode) -> Result<(), DispatchError> {
        let mut head = Response::with_body(status, ());
        head.head_mut().set_connection_type(ConnectionType::Close);
        self.codec.encode(Message::Item((head, BodySize::Sized(0))), self.unsent.bytes())?;
        (self.waits_since, self.received) = (None, BytesMut::new());
        self.stage = Stage::Drops(Rest::nothing_more(Instant::now()));
        Ok(())
    }

    /// Returns until when the connection waits as it does now.
    fn due(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Waits if !self.was_asked => self.waits_since.map(|since| since + self.terms.head_timeout),
            Stage::Waits => self.waits_since.map(|since| {
                let head = if self.received.is_empty() { Duration::ZERO } else { self.terms.head_timeout };
                since + self.terms.keep_alive + head
            }),
            Stage::Drops(rest) => Some(rest.due()),
            Stage::Called(_) | Stage::Answers(_) | Stage::Leaves => None,
        }
    }

    /// Ends a wait that took too long.
    fn run_out_of_patience(&mut self) -> Result<(), DispatchError> {
        if matches!(self.stage, Stage::Waits) && !self.was_asked {
            return self.refuse(StatusCode::REQUEST_TIMEOUT);
        }
        self.stage = Stage::Leaves;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
