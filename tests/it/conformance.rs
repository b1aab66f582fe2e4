//! The promises that every transport keeps (docs/protocol.md, "Promises"): one named test per promise and transport,
//! and per engine of the WebSocket.
//!
//! A promise is one function over a server. It returns how it was broken instead of panicking, so that `broken` can
//! run it against a server that breaks it.

mod counts;
mod delivery;
mod goodbyes;
mod haste;
mod lifetimes;
mod links;
mod over_http2;
mod positions;
mod stalls;
mod strategies;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use wirelab::context::WebsocketEngine;
use wirelab::store::memory::MemoryStore;
use wirelab_clients::meter::Meter;
use wirelab_clients::wire::{DeploymentId, Line, Position, Transport};
use wirelab_clients::{Options, Polling, Subscriber, Target, connect};

use crate::http::{Api, SOON};
use crate::server::{Binary, Server, Setup};

pub(crate) use counts::*;
pub(crate) use delivery::*;
pub(crate) use goodbyes::*;
pub(crate) use haste::*;
pub(crate) use lifetimes::*;
pub(crate) use links::*;
pub(crate) use positions::*;
pub(crate) use stalls::*;

/// Why a promise is broken.
pub(crate) type Kept = Result<(), String>;

/// One test per promise and transport, and one more where another engine drives the WebSocket. `$given` is what the
/// promise is tried on, with WebSockets driven by `$engine`.
macro_rules! on_every_transport {
    ($($promise:ident($engine:ident => $given:expr);)+) => {
        $(mod $promise {
            use super::*;
            on_every_transport! { @ $promise($engine => $given) short_poll ShortPoll Cursor, long_poll LongPoll Cursor,
                sse Sse Cursor, ndjson Ndjson Cursor, websocket Websocket Cursor, websocket_by_actor Websocket Actor }
        })+
    };
    (@ $promise:ident($engine:ident => $given:expr) $($test:ident $transport:ident $driver:ident),+) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
        async fn $test() {
            let $engine = WebsocketEngine::$driver;
            super::$promise(Transport::$transport, &$given).await.unwrap();
        })+

        #[test]
        fn is_tried_on_every_transport_and_engine() {
            let tried = [$((Transport::$transport, WebsocketEngine::$driver)),+];
            assert_eq!(tried, columns().as_slice());
        }
    };
}

/// Every transport by the default engine, then WebSocket by the others.
pub(crate) fn columns() -> Vec<(Transport, WebsocketEngine)> {
    let columns = WebsocketEngine::ALL
        .into_iter()
        .flat_map(|engine| driven(engine).into_iter().map(move |transport| (transport, engine)));
    columns.collect()
}

/// What is tried on a server with this engine: everything on the default, of others only what they drive.
pub(crate) fn driven(engine: WebsocketEngine) -> Vec<Transport> {
    let differs = |transport: &Transport| match engine {
        WebsocketEngine::Cursor => true,
        WebsocketEngine::Actor => transport.is_upgraded(),
    };
    Transport::ALL.into_iter().filter(differs).collect()
}

fn server(engine: WebsocketEngine) -> Server {
    Setup::driven_by(engine).start()
}

/// The real binary, its logs in memory.
fn in_memory(engine: WebsocketEngine) -> Binary {
    Binary::serve("127.0.0.1:0", &["--store", "memory", "--websocket-engine", engine.name()])
}

on_every_transport! {
    x1_a_log_of_one_line_is_read_as_posted(engine => server(engine));
    x1_a_log_of_a_hundred_lines_is_read_as_posted(engine => server(engine));
    x1_a_log_of_a_hundred_thousand_lines_is_read_as_posted(engine => server(engine));
    x2_nothing_is_lost_between_a_snapshot_and_a_stream(engine => server(engine));
    x3_a_position_starts_where_the_table_says(engine => server(engine));
    x3_a_position_outside_the_log_is_gone(engine => server(engine));
    x3_a_position_that_is_none_is_refused(engine => server(engine));
    x3_lines_dropped_by_retention_are_gone(engine => Setup::driven_by(engine).over(MemoryStore::new(KEPT_LINES)));
    x3_now_starts_with_the_next_line(engine => server(engine));
    x4_the_end_is_signalled_to_who_waits_at_the_tail(engine => server(engine));
    x4_the_end_is_signalled_to_who_is_far_behind(engine => server(engine));
    x4_at_the_end_the_answer_is_immediate(engine => server(engine));
    x4_a_finished_subscriber_asks_no_more(engine => server(engine));
    x5_any_text_arrives_byte_exact(engine => server(engine));
    x5_a_line_of_a_mebibyte_arrives_byte_exact(engine => server(engine));
    x6_a_thousand_cuts_lose_and_repeat_nothing(engine => server(engine));
    x6_cuts_over_a_delay_line_lose_and_repeat_nothing(engine => server(engine));
    x6_whatever_a_link_does_the_log_is_read(engine => server(engine));
    x7_an_acknowledged_line_survives_kill_9(engine => Restarted { store: "disk", engine });
    x8_a_refusal_comes_before_any_stream(engine => server(engine));
    x8_a_subscriber_is_told_why_it_was_refused(engine => server(engine));
    x9_a_stalled_subscriber_delays_nobody_and_loses_nothing(engine => server(engine));
    x9_stalled_subscribers_cost_bounded_memory(engine => in_memory(engine));
    x9_a_write_without_progress_is_given_up(engine => Setup::driven_by(engine).giving_up_after(WRITE_TIMEOUT));
    x9_a_hasty_sender_delays_nobody(engine => Setup::driven_by(engine).on_one_worker().start());
    x10_a_vanished_client_frees_its_waiter(engine => server(engine));
    x11_goodbye_reaches_everybody_in_under_two_seconds(engine => Goodbye { engine, ..SIGTERM_WITH_2000 });
    x12_clients_and_server_count_the_same(engine => Counted::of(Setup::driven_by(engine), Options::default()));
    x12_both_sides_of_a_delay_line_count_the_same(engine => counted_over_a_line(engine, Options::default()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x9_a_flood_of_pings_delays_nobody_on_both_engines() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).on_one_worker().start();
        x9_a_flood_of_pings_delays_nobody(&server).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x9_a_long_flood_of_requests_lets_others_in() {
    let server = Setup::default().on_one_worker().start();
    x9_a_long_flood_lets_others_in(&server).await.unwrap();
}

/// A subscriber's options as they come, only quicker.
fn quick() -> Options {
    Options {
        polling: Polling::every(Duration::from_millis(5)),
        hold: Duration::from_secs(5),
        reconnect_max: Duration::from_millis(1),
        // A thousand cuts would take a quarter of an hour at the times that event streams ask for.
        advice_max: Duration::from_millis(1),
        ..Options::default()
    }
}

fn subscriber(transport: Transport, api: &Api, id: &DeploymentId, from: Position) -> Box<dyn Subscriber> {
    subscriber_with(&quick(), transport, api, id, from)
}

fn subscriber_with(
    options: &Options,
    transport: Transport,
    api: &Api,
    id: &DeploymentId,
    from: Position,
) -> Box<dyn Subscriber> {
    subscriber_of(Meter::new(), options, transport, api, id, from)
}

/// A subscriber with this meter, on whose route it reaches the server.
fn subscriber_of(
    meter: Arc<Meter>,
    options: &Options,
    transport: Transport,
    api: &Api,
    id: &DeploymentId,
    from: Position,
) -> Box<dyn Subscriber> {
    let server = format!("http://{}", api.authority).parse().expect("an authority makes a URL");
    connect(transport, Target { server, deployment: id.clone(), from }, options, meter)
}

/// Everything from a position to the end.
async fn follow(
    transport: Transport,
    api: Api,
    id: DeploymentId,
    from: Position,
) -> Result<Vec<Line>, String> {
    follow_to_the_end(subscriber(transport, &api, &id, from)).await
}

async fn follow_to_the_end(mut subscriber: Box<dyn Subscriber>) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    let followed = timeout(2 * SOON, async {
        loop {
            let received = subscriber.next_batch().await.map_err(|error| error.to_string())?;
            lines.extend(received.batch.lines);
            if received.batch.finished {
                return Ok(());
            }
        }
    });
    let followed = followed.await;
    followed.unwrap_or_else(|_| Err(format!("no end within {:?}, after {} lines", 2 * SOON, lines.len())))?;
    Ok(lines)
}

/// The whole log through the regular API.
fn snapshot(api: &Api, id: &DeploymentId) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut query = String::new();
    loop {
        let batch = api.lines(id, &query);
        lines.extend(batch.lines);
        query = format!("?from={}", batch.next);
        if !batch.more {
            return lines;
        }
    }
}

/// Whether `lines` are `texts`, whole and in order, the first with seq `after + 1`.
fn is_the_log(lines: &[Line], texts: &[impl AsRef<str>], after: u64) -> Kept {
    if let Some((line, due)) = lines.iter().zip(after + 1..).find(|(line, due)| line.seq != *due) {
        return Err(format!("seq {} came where {due} was due", line.seq));
    }
    let differs = lines.iter().zip(texts).find(|(line, text)| line.line.text != text.as_ref());
    if let Some((line, text)) = differs {
        let text = text.as_ref();
        return Err(format!("seq {} is {:.80?}, posted was {text:.80?}", line.seq, line.line.text));
    }
    if lines.len() != texts.len() {
        return Err(format!("{} lines came of {}", lines.len(), texts.len()));
    }
    Ok(())
}
