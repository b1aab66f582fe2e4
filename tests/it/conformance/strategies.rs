//! However a subscriber asks, it reads the same log, loses nothing when it is cut, and counts what the server counts.
//!
//! X1, X6 and X12 again, one named test per strategy, transport that has it, and promise.

use std::time::Duration;

use wirelab::context::WebsocketEngine;
use wirelab::exchange::compression::{Compression as Offered, WebsocketCompression};
use wirelab_clients::route::Route;
use wirelab_clients::wire::Transport;
use wirelab_clients::{
    Adaptation, Compression, Condition, HttpVersion, Options, PollConnections, PollPhase, PollSchedule,
    Polling,
};

use super::x12_clients_and_server_count_the_same;
use super::{Counted, Kept, a_log_is_read_as_posted, cuts_lose_and_repeat_nothing, quick};
use crate::server::Setup;

/// Fewer than the thousand of X6: what differs here is the way, not where it is cut.
const CUTS: usize = 200;

fn over_http_2() -> Options {
    Options { http: HttpVersion::Http2, ..quick() }
}

fn with_gzip() -> Options {
    Options { compression: Compression::Gzip, ..quick() }
}

fn over_http_2_with_gzip() -> Options {
    Options { compression: Compression::Gzip, ..over_http_2() }
}

fn with_deflate() -> Options {
    Options { compression: Compression::Deflate, ..quick() }
}

fn with_deflate_without_context() -> Options {
    Options { compression: Compression::DeflateNoContextTakeover, ..quick() }
}

fn with_a_connection_per_poll() -> Options {
    Options { connections: PollConnections::PerRequest, ..quick() }
}

fn over_http_2_with_a_connection_per_poll() -> Options {
    Options { connections: PollConnections::PerRequest, ..over_http_2() }
}

fn taking_turns() -> Options {
    Options { turn: Duration::from_millis(2), ..quick() }
}

/// Everything that is not the default.
fn pausing() -> Options {
    let interval_max = Duration::from_millis(20);
    let polling = Polling {
        schedule: PollSchedule::Pause,
        phase: PollPhase::Aligned,
        jitter_ratio: 0.5,
        adaptation: Adaptation::Idle { interval_max },
        condition: Condition::Plain,
        ..quick().polling
    };
    Options { polling, ..quick() }
}

/// Plain servers offer what is asked for here.
fn setup() -> Setup {
    offering(WebsocketEngine::Cursor)
}

fn offering(engine: WebsocketEngine) -> Setup {
    let mut setup = Setup::driven_by(engine);
    setup.options.compression = Offered::Gzip;
    setup.options.websocket_compression = WebsocketCompression::ContextTakeover;
    setup
}

async fn reads_the_same_log(transport: Transport, options: Options) -> Kept {
    a_log_is_read_as_posted(&options, transport, &setup().start(), 2_000).await
}

async fn loses_nothing_when_cut(transport: Transport, options: Options) -> Kept {
    cuts_lose_and_repeat_nothing(&options, Route::Direct, transport, &setup().start(), CUTS).await
}

async fn counts_what_the_server_counts(transport: Transport, options: Options) -> Kept {
    x12_clients_and_server_count_the_same(transport, &Counted::of(setup(), options)).await
}

macro_rules! strategies {
    ($($strategy:ident: $($test:ident $transport:ident),+;)+) => {
        $(mod $strategy {
            strategies! { @ $strategy reads_the_same_log: $($test $transport),+ }
            strategies! { @ $strategy loses_nothing_when_cut: $($test $transport),+ }
            strategies! { @ $strategy counts_what_the_server_counts: $($test $transport),+ }
        })+
    };
    (@ $strategy:ident $promise:ident: $($test:ident $transport:ident),+) => {
        mod $promise {
            use wirelab_clients::wire::Transport;
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
            async fn $test() {
                super::super::$promise(Transport::$transport, super::super::$strategy()).await.unwrap();
            })+
        }
    };
}

strategies! {
    over_http_2: short_poll ShortPoll, long_poll LongPoll, sse Sse, ndjson Ndjson;
    with_gzip: short_poll ShortPoll, long_poll LongPoll, sse Sse, ndjson Ndjson;
    over_http_2_with_gzip: short_poll ShortPoll, long_poll LongPoll, sse Sse, ndjson Ndjson;
    with_deflate: websocket Websocket;
    with_deflate_without_context: websocket Websocket;
    with_a_connection_per_poll: short_poll ShortPoll, long_poll LongPoll;
    over_http_2_with_a_connection_per_poll: short_poll ShortPoll, long_poll LongPoll;
    taking_turns: long_poll LongPoll;
    pausing: short_poll ShortPoll;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn deflated_sockets_of_the_actor_keep_the_promises_too() {
    for options in [with_deflate(), with_deflate_without_context()] {
        let setup = || offering(WebsocketEngine::Actor);
        let websocket = Transport::Websocket;
        a_log_is_read_as_posted(&options, websocket, &setup().start(), 2_000).await.unwrap();
        cuts_lose_and_repeat_nothing(&options, Route::Direct, websocket, &setup().start(), CUTS)
            .await
            .unwrap();
        x12_clients_and_server_count_the_same(websocket, &Counted::of(setup(), options)).await.unwrap();
    }
}
