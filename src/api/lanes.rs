//! The ledgers of one page as a WebSocket: counts of the page's lanes when they change, the server's clock on request.
//!
//! It is a WebSocket because a browser's six connections per origin do not count sockets: the view of the connections
//! must not take one of them. It is a streaming body, so a page that reads slowly gets fewer frames and costs no more
//! memory. It takes no command that changes anything.

use std::sync::Arc;
use std::time::Duration;

use actix_http::ws::{CloseCode, OpCode, Parser};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::stream::StreamExt;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use wirelab_clients::wire::{LaneLedger, LedgerCommand, LedgerFrame, NetworkState, Reference};

use crate::clock::now_us;
use crate::context::Context;
use crate::exchange::arriving::Share;
use crate::exchange::problem::Refusal;
use crate::exchange::route::resource;
use crate::exchange::upgrade::{
    self, Control, ControlFrame, Driven, Heard, Inbox, Inflating, Longest, Message, Phase, Violation,
};
use crate::lanes::{Told, Watched, tag};

/// Time between two frames of counts: shorter than a reader needs to see figures change, longer than a busy lane
/// needs to change them.
const TOLD_EVERY: Duration = Duration::from_millis(100);
/// Bound on a command: a few bytes and the `ref` that comes back. Lines cannot be published here.
const COMMAND: Longest = Longest { bytes: 4 << 10, reason: "a command has at most 4 KiB" };
/// Command that error messages show as an example.
const EXAMPLE: &str = r#"{"type":"clock","ref":1}"#;

/// Mounts the path of the ledgers.
pub(crate) fn mount(config: &mut web::ServiceConfig) {
    config.service(resource("/api/lanes/{page}", "GET").route(web::get().to(answer)));
}

/// Answers `GET /api/lanes/{page}` with an upgrade to a WebSocket.
async fn answer(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let page = tag::parse_page(request.match_info().query("page"))?;
    let mut response = upgrade::accept(request.head())?;
    let watched = context.lanes.watch(page, std::time::Instant::now())?;
    let share = request.extensions().get::<Arc<Share>>().cloned();
    let share = share.expect("the server gives every upgrade its connection's share");
    Ok(response.streaming(upgrade::body(Ledgers::greet(payload, share, watched, context))))
}

/// One socket of ledgers: polled when TCP can take more.
struct Ledgers {
    watched: Watched,
    changed: watch::Receiver<()>,
    network_changed: watch::Receiver<()>,
    told: Told,
    told_at: Instant,
    inbox: Inbox,
    control: Control,
    out: BytesMut,
    /// When the client was last heard, or last asked by a Ping whether it is there. Frames sent to it prove nothing:
    /// a busy lane also makes news for a client that is gone.
    silent_since: Instant,
    context: web::Data<Context>,
}

impl Ledgers {
    fn greet(
        payload: web::Payload,
        share: Arc<Share>,
        watched: Watched,
        context: web::Data<Context>,
    ) -> Self {
        let now = Instant::now();
        let mut ledgers = Self {
            // Taken before the first look at the ledgers: what changes meanwhile is sent next.
            changed: watched.changed(),
            watched,
            network_changed: context.connections.network().changed(),
            told: Told::default(),
            told_at: now,
            inbox: Inbox::of(
                payload.into_inner(),
                share,
                COMMAND,
                Inflating::Never,
                context.options.turn_requests,
            ),
            control: Control::default(),
            out: BytesMut::new(),
            silent_since: now,
            context,
        };
        let id = ledgers.watched.ledgers_id();
        let heartbeat_s = ledgers.context.options.heartbeat.as_secs();
        ledgers.say(&LedgerFrame::Hello { ledgers: id, heartbeat_s });
        let lanes = ledgers.changes();
        // Sent also when empty: then the page knows that the server has counted nothing for it.
        ledgers.say(&LedgerFrame::Ledgers { lanes });
        let network = ledgers.context.connections.network().state();
        if network != NetworkState::default() {
            ledgers.say(&LedgerFrame::Network(network));
        }
        ledgers
    }

    fn tell_network(&mut self) {
        self.say(&LedgerFrame::Network(self.context.connections.network().state()));
    }

    fn tell(&mut self) {
        let lanes = self.changes();
        if !lanes.is_empty() {
            self.say(&LedgerFrame::Ledgers { lanes });
        }
    }

    /// Returns the ledgers that changed since they were last sent.
    fn changes(&mut self) -> Vec<LaneLedger> {
        self.told_at = Instant::now();
        self.watched.news(&mut self.told)
    }

    fn receive(&mut self, received: Option<Result<Message, Violation>>) {
        self.silent_since = Instant::now();
        let message = match received {
            Some(Ok(message @ Message::Close(_))) => {
                self.watched.says_goodbye();
                message
            }
            Some(Ok(message)) => message,
            Some(Err(violation)) => return self.close(violation.code, violation.reason),
            None => return self.control.vanish(),
        };
        match self.control.receive(message) {
            Heard::Text(text) => {
                let (command, reference) = upgrade::command(&text, EXAMPLE);
                match command {
                    Ok(LedgerCommand::Clock {}) => {
                        self.say(&LedgerFrame::Clock { reference, at_us: now_us() });
                    }
                    Err(refusal) => self.refuse(&refusal, reference),
                }
            }
            Heard::Binary => {
                let detail = format!("commands are text frames, not binary; an example: {EXAMPLE}");
                self.refuse(&Refusal::bad_request(detail), None);
            }
            Heard::Answered(frame) => frame.write(&mut self.out),
            Heard::Nothing => {}
        }
    }

    /// Handles a heartbeat in which nothing was heard: sends a Ping, or closes the socket.
    fn fall_silent(&mut self) {
        self.silent_since = Instant::now();
        let frame = self.control.fall_silent();
        self.send(frame);
    }

    fn refuse(&mut self, refusal: &Refusal, reference: Reference) {
        self.say(&LedgerFrame::Error { problem: refusal.problem().clone(), reference });
    }

    fn say(&mut self, frame: &LedgerFrame) {
        let json = serde_json::to_vec(frame).expect("a frame has no key that JSON refuses");
        Parser::write_message(&mut self.out, json, OpCode::Text, true, false);
    }

    fn close(&mut self, code: CloseCode, reason: &str) {
        let frame = self.control.close(code, reason);
        self.send(frame);
    }

    fn send(&mut self, frame: Option<ControlFrame>) {
        if let Some(frame) = frame {
            frame.write(&mut self.out);
        }
    }
}

impl Driven for Ledgers {
    fn take_output(&mut self) -> Bytes {
        // The buffer is taken whole: the rest of a split would keep the memory of the longest frame.
        std::mem::take(&mut self.out).freeze()
    }

    fn phase(&self) -> Phase {
        self.control.phase()
    }

    async fn turn(&mut self) {
        let (may_tell, heartbeat) =
            (self.told_at + TOLD_EVERY, self.silent_since + self.context.options.heartbeat);
        let Self { changed, network_changed, inbox, context, .. } = self;
        let changed = async {
            sleep_until(may_tell).await;
            changed.changed().await.expect("the page keeps the sender");
        };
        tokio::select! {
            biased;
            () = context.shutdown.cancelled() => self.close(CloseCode::Away, "the server is stopping"),
            () = changed => self.tell(),
            changed = network_changed.changed() => {
                changed.expect("the server keeps the sender");
                self.tell_network();
            }
            received = inbox.next() => self.receive(received),
            () = sleep_until(heartbeat) => self.fall_silent(),
        }
    }

    async fn await_close(&mut self) {
        while self.phase() != Phase::Closed {
            let received = self.inbox.next().await;
            self.receive(received);
        }
    }
}
