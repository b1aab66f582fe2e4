//! The ledgers of one page as a WebSocket: counts when they change, the server's clock when it is asked for.
//!
//! A WebSocket because a browser's six connections per origin do not count it: what shows the connections must not take
//! one of them. A streaming body, so that a page that reads slowly gets fewer frames and costs no more memory. Takes no
//! command that changes anything.

use std::convert::Infallible;
use std::time::Duration;

use actix_http::ws::{CloseCode, CloseReason, OpCode, Parser};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, StreamExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use wirelab_clients::wire::{LaneLedger, LedgerCommand, LedgerFrame, Reference};

use crate::clock::now_us;
use crate::context::Context;
use crate::exchange::problem::Refusal;
use crate::exchange::route::resource;
use crate::exchange::upgrade::{
    self, CLOSE_TIMEOUT, Inbox, Longest, Message, UNANSWERED_PINGS_MAX, Violation,
};
use crate::lanes::{Told, Watched, tag};

/// Ledgers are told at most so often: quicker than a reader sees figures change, slower than a busy lane changes them.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// A command is a few bytes and a `ref` that comes back; nobody publishes here.
const COMMAND: Longest = Longest { bytes: 4 << 10, reason: "a command has at most 4 KiB" };
/// What a page may say.
const EXAMPLE: &str = r#"{"type":"clock","ref":1}"#;

/// Mounts the ledgers' own path.
pub(crate) fn mount(config: &mut web::ServiceConfig) {
    config.service(resource("/api/lanes/{page}", "GET").route(web::get().to(answer)));
}

/// `GET /api/lanes/{page}` with an upgrade.
async fn answer(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let page = tag::parse_page(request.match_info().query("page"))?;
    let mut response = upgrade::accept(&request)?;
    let watched = context.lanes.watch(page, std::time::Instant::now())?;
    let body = stream::unfold(Ledgers::greet(watched, payload, context), |mut ledgers| async {
        let bytes = ledgers.next().await?;
        Some((Ok::<_, Infallible>(bytes), ledgers))
    });
    Ok(response.streaming(body))
}

/// How far the socket is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// Our close frame is out; the client's answer is awaited.
    Closing,
    Closed,
}

/// One socket: polled when TCP can take more.
struct Ledgers {
    watched: Watched,
    changed: watch::Receiver<()>,
    told: Told,
    told_at: Instant,
    inbox: Inbox,
    phase: Phase,
    out: BytesMut,
    /// When the client was last heard, or last asked by a Ping whether it is there. What is sent is no sign of it: a busy
    /// lane makes news for nobody as well.
    silent_since: Instant,
    unanswered_pings: u32,
    context: web::Data<Context>,
}

impl Ledgers {
    fn greet(watched: Watched, payload: web::Payload, context: web::Data<Context>) -> Self {
        let now = Instant::now();
        let mut ledgers = Self {
            // Before the first look at the ledgers: what changes meanwhile is told next.
            changed: watched.changed(),
            watched,
            told: Told::default(),
            told_at: now,
            inbox: Inbox::of(payload, COMMAND),
            phase: Phase::Open,
            out: BytesMut::new(),
            silent_since: now,
            unanswered_pings: 0,
            context,
        };
        let id = ledgers.watched.ledgers_id();
        let heartbeat_s = ledgers.context.options.heartbeat.as_secs();
        ledgers.say(&LedgerFrame::Hello { ledgers: id, heartbeat_s });
        let lanes = ledgers.changes();
        // Also when there are none: then the page knows that the server has counted nothing for it.
        ledgers.say(&LedgerFrame::Ledgers { lanes });
        ledgers
    }

    /// The next bytes to flush; `None` ends the connection, the server's side first.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if !self.out.is_empty() {
                // Taken whole: what is left of a split keeps the memory of the longest frame.
                return Some(std::mem::take(&mut self.out).freeze());
            }
            match self.phase {
                Phase::Open => self.turn().await,
                Phase::Closing => {
                    // Answered or not, the connection ends now.
                    let _ = timeout(CLOSE_TIMEOUT, self.await_close()).await;
                    return None;
                }
                Phase::Closed => return None,
            }
        }
    }

    /// Waits for whichever comes first, and does what it means.
    async fn turn(&mut self) {
        let (may_tell, heartbeat) =
            (self.told_at + TOLD_EVERY, self.silent_since + self.context.options.heartbeat);
        let Self { changed, inbox, context, .. } = self;
        let changed = async {
            sleep_until(may_tell).await;
            changed.changed().await.expect("the page keeps the sender");
        };
        tokio::select! {
            biased;
            () = context.shutdown.cancelled() => self.close(CloseCode::Away, "the server is stopping"),
            () = changed => self.tell(),
            received = inbox.next() => self.receive(received),
            () = sleep_until(heartbeat) => self.fall_silent(),
        }
    }

    fn tell(&mut self) {
        let lanes = self.changes();
        if !lanes.is_empty() {
            self.say(&LedgerFrame::Ledgers { lanes });
        }
    }

    /// The ledgers that changed since they were told.
    fn changes(&mut self) -> Vec<LaneLedger> {
        self.told_at = Instant::now();
        self.watched.news(&mut self.told)
    }

    fn receive(&mut self, received: Option<Result<Message, Violation>>) {
        self.unanswered_pings = 0;
        self.silent_since = Instant::now();
        match received {
            Some(Ok(Message::Text(text))) => {
                let (command, reference) = upgrade::command(&text, EXAMPLE);
                match command {
                    Ok(LedgerCommand::Clock {}) => {
                        self.say(&LedgerFrame::Clock { reference, at_us: now_us() });
                    }
                    Err(refusal) => self.refuse(&refusal, reference),
                }
            }
            Some(Ok(Message::Binary)) => {
                let detail = format!("commands are text frames, not binary; such as {EXAMPLE}");
                self.refuse(&Refusal::bad_request(detail), None);
            }
            Some(Ok(Message::Ping(payload))) => self.frame(&payload, OpCode::Pong),
            Some(Ok(Message::Pong)) => {}
            Some(Ok(Message::Close(reason))) => {
                // The code comes back; whoever sent it knows why.
                let echo = reason.map(|reason| reason.code.into());
                Parser::write_close(&mut self.out, echo, false);
                self.phase = Phase::Closed;
            }
            Some(Err(violation)) => self.close(violation.code, violation.reason),
            // Gone without a close frame: nobody is left to answer.
            None => self.phase = Phase::Closed,
        }
    }

    /// Nothing was heard for a heartbeat.
    fn fall_silent(&mut self) {
        if self.unanswered_pings == UNANSWERED_PINGS_MAX {
            return self.close(CloseCode::Policy, "no pong within two heartbeats");
        }
        self.unanswered_pings += 1;
        self.silent_since = Instant::now();
        self.frame(b"", OpCode::Ping);
    }

    async fn await_close(&mut self) {
        while let Some(received) = self.inbox.next().await {
            if matches!(received, Ok(Message::Close(_))) {
                return;
            }
        }
    }

    fn refuse(&mut self, refusal: &Refusal, reference: Reference) {
        self.say(&LedgerFrame::Error { problem: refusal.problem().clone(), reference });
    }

    fn say(&mut self, frame: &LedgerFrame) {
        let json = serde_json::to_vec(frame).expect("a frame has no key that JSON refuses");
        self.frame(&json, OpCode::Text);
    }

    fn frame(&mut self, payload: &[u8], opcode: OpCode) {
        Parser::write_message(&mut self.out, payload, opcode, true, false);
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        let reason = CloseReason { code, description: Some(reason.to_owned()) };
        Parser::write_close(&mut self.out, Some(reason), false);
        self.phase = Phase::Closing;
    }
}
