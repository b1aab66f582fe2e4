//! Every promise can fail: each is tested against a server that breaks it, and the failure must say how.
//!
//! There is one test per way of breaking, for every transport at once. A test names the words of the complaint, so
//! that a promise that fails for another reason does not count.

use std::future::Future;
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use wirelab::context::WebsocketEngine;
use wirelab_clients::wire::{Transport, Waits};

use crate::conformance::*;
use crate::faulty_store::{Fault, FaultyStore};
use crate::http::Api;
use crate::proxy::{self, Proxy};
use crate::server::{Binary, Server, Setup};

/// Tries a promise on every transport of a broken server. Each must complain, with `complaint` in its words.
async fn notices<F>(complaint: &str, api: &Api, promise: impl Fn(Transport, Api) -> F)
where
    F: Future<Output = Kept>,
{
    notices_on(driven(WebsocketEngine::Cursor), complaint, api, promise).await;
}

/// Tries a promise on these transports of a broken server.
async fn notices_on<F>(
    transports: Vec<Transport>,
    complaint: &str,
    api: &Api,
    promise: impl Fn(Transport, Api) -> F,
) where
    F: Future<Output = Kept>,
{
    let tried = transports.into_iter().map(|transport| {
        let promised = promise(transport, api.clone());
        async move { (transport, promised.await) }
    });
    for (transport, kept) in join_all(tried).await {
        complains(transport, kept, complaint);
    }
}

#[track_caller]
fn complains(transport: Transport, kept: Kept, complaint: &str) {
    match kept {
        Ok(()) => panic!("{transport}: nothing was noticed"),
        Err(why) => assert!(why.contains(complaint), "{transport}: {why}"),
    }
}

/// One test: a promise, a fault of the store, and the words of the complaint.
macro_rules! over_a_faulty_store {
    ($($test:ident($fault:ident, $promise:ident, $complaint:expr);)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
        async fn $test() {
            for engine in WebsocketEngine::ALL {
                let server = Setup::driven_by(engine).over(FaultyStore::new(Fault::$fault, 0));
                let promise = |transport, api| async move { $promise(transport, &api).await };
                notices_on(driven(engine), $complaint, &server, promise).await;
            }
        }
    )+};
}

over_a_faulty_store! {
    x1_notices_a_dropped_line(DropsALine, x1_a_log_of_a_hundred_lines_is_read_as_posted, "seq 8 came where 7");
    x1_notices_a_repeated_line(RepeatsALine, x1_a_log_of_a_hundred_lines_is_read_as_posted, "seq 7 came where 8");
    x1_notices_swapped_lines(SwapsTwoLines, x1_a_log_of_a_hundred_lines_is_read_as_posted, "seq 8 came where 7");
    x1_notices_another_time_per_reading(
        ChangesTheTime, x1_a_log_of_a_hundred_lines_is_read_as_posted, "where the regular API has");
    x2_notices_a_line_lost_behind_the_snapshot(
        SkipsALineAfterACursor, x2_nothing_is_lost_between_a_snapshot_and_a_stream, "came where");
    x3_notices_an_accepted_cursor_beyond_the_end(
        InventsLines, x3_a_position_outside_the_log_is_gone, "instead of giving 410");
    x3_notices_a_refused_cursor_at_the_end(HeadTooShort, x3_a_position_starts_where_the_table_says, "now");
    x3_notices_a_now_that_starts_late(InventsLines, x3_a_position_starts_where_the_table_says, "started after");
    x3_notices_an_unknown_deployment_that_is_found(
        FindsWhatIsNotThere, x3_a_position_that_is_none_is_refused, "instead of giving 404");
    x4_notices_a_missing_end_at_the_tail(
        NeverEnds, x4_the_end_is_signalled_to_who_waits_at_the_tail, "not signalled");
    x4_notices_a_missing_end_far_behind(
        NeverEnds, x4_the_end_is_signalled_to_who_is_far_behind, "not signalled");
    x4_notices_a_missing_end_at_the_end(NeverEnds, x4_at_the_end_the_answer_is_immediate, "at the end");
    x4_notices_an_end_that_is_never_told(NeverEnds, x4_a_finished_subscriber_asks_no_more, "not signalled");
    x4_notices_an_end_that_is_told_too_early(
        EndsEarly, x4_the_end_is_signalled_to_who_waits_at_the_tail, "before it came");
    x5_notices_trimmed_text(TrimsTheEnd, x5_any_text_arrives_byte_exact, "posted was \" \"");
    x5_notices_normalised_line_ends(NormalisesLineEnds, x5_any_text_arrives_byte_exact, "\\r\\n");
    x5_notices_a_stripped_byte_order_mark(StripsTheByteOrderMark, x5_any_text_arrives_byte_exact, "byte order mark");
    x5_notices_a_text_that_ends_at_nul(EndsAtNul, x5_any_text_arrives_byte_exact, "nul");
    x5_notices_lost_characters(LosesFourByteCharacters, x5_any_text_arrives_byte_exact, "\u{fffd}");
    x5_notices_a_cut_long_line(CutsLongLines, x5_a_line_of_a_mebibyte_arrives_byte_exact, "posted was");
    x6_notices_a_resume_that_skips_a_line(
        SkipsALineAfterACursor, x6_a_thousand_cuts_lose_and_repeat_nothing, "came where");
    x8_notices_a_found_deployment_that_nobody_made(
        FindsWhatIsNotThere, x8_a_refusal_comes_before_any_stream, "404");
    x8_notices_an_accepted_cursor_beyond_the_end(
        InventsLines, x8_a_subscriber_is_told_why_it_was_refused, "410 is told as");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x3_notices_retention_that_is_kept_secret() {
    let server = Server::over(FaultyStore::new(Fault::HidesRetention, KEPT_LINES));
    notices("410", &server, |transport, api| async move {
        x3_lines_dropped_by_retention_are_gone(transport, &api).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x3_notices_a_now_that_starts_at_the_start() {
    let server = Server::over(FaultyStore::new(Fault::IgnoresTheCursor, 0));
    notices("the first line is", &server, |transport, api| async move {
        x3_now_starts_with_the_next_line(transport, &api).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x7_notices_a_store_that_forgets() {
    let api = Server::start();
    notices("the deployment is gone", &api, |transport, _| async move {
        let restarted = Restarted { store: "memory", engine: WebsocketEngine::Cursor };
        x7_an_acknowledged_line_survives_kill_9(transport, &restarted).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x8_notices_a_refusal_in_the_body_of_a_200() {
    let server = Server::start();
    let proxy = Proxy::start(&server, proxy::Fault::AnswersOk);
    notices("gave 200 instead of 404", &proxy.api(), |transport, api| async move {
        x8_a_refusal_comes_before_any_stream(transport, &api).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x9_notices_a_server_that_waits_for_its_slowest_client() {
    let server = Server::start();
    for transport in Transport::ALL {
        let proxy = Proxy::start(&server, proxy::Fault::WritesToOneAtATime);
        let kept = x9_delays_nobody_for(Duration::from_secs(5), transport, &proxy.api()).await;
        complains(transport, kept, "another subscriber is delayed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x9_notices_a_line_that_a_stalled_client_never_gets() {
    let server = Server::over(FaultyStore::new(Fault::SkipsALineAfterACursor, 0));
    for transport in Transport::ALL {
        let kept = x9_a_stalled_subscriber_delays_nobody_and_loses_nothing(transport, &server).await;
        complains(transport, kept, "came where");
    }
}

/// Tells this test that it is the server.
const QUEUES_VARIABLE: &str = "WIRELAB_SERVE_WITH_QUEUES";

/// The memory that is looked at is a process's, so the server that queues is one of its own: this test again.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x9_notices_a_server_that_queues_per_subscriber() {
    const THIS_TEST: &str = "broken::x9_notices_a_server_that_queues_per_subscriber";
    if std::env::var_os(QUEUES_VARIABLE).is_some() {
        let server = Server::start();
        let proxy = Proxy::start(&server, proxy::Fault::Queues);
        // The handle itself, because the harness captures what `println!` writes.
        writeln!(io::stdout(), "listening on http://{}", proxy.api().authority).unwrap();
        // Until the parent is gone, however it goes.
        io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    for transport in Transport::ALL {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([THIS_TEST, "--exact", "--nocapture"]).env(QUEUES_VARIABLE, "1").stdin(Stdio::piped());
        let kept = x9_stalled_subscribers_cost_bounded_memory(transport, &Binary::of(&mut command)).await;
        complains(transport, kept, "a stalled subscriber costs");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x9_notices_stalled_connections_that_are_kept() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).giving_up_after(Duration::from_secs(3_600));
        let promise =
            |transport, api| async move { x9_a_write_without_progress_is_given_up(transport, &api).await };
        notices_on(driven(engine), "stalled connections are open", &server, promise).await;
    }
}

/// Looks at a server that serves the hasty first, until one shows it.
const HASTY_TRIES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x9_notices_a_server_that_serves_the_hasty_first() {
    for engine in WebsocketEngine::ALL {
        let server = Setup::driven_by(engine).on_one_worker().without_turns().start();
        for transport in driven(engine) {
            let mut kept = Ok(());
            // On a busy machine the hasty client is slow to read, and then even this server serves others meanwhile.
            for _ in 0..HASTY_TRIES {
                kept = x9_a_hasty_sender_delays_nobody(transport, &server).await;
                if kept.is_err() {
                    break;
                }
            }
            complains(transport, kept, "lines were delivered while 500 requests");
        }
        let kept = x9_a_flood_of_pings_delays_nobody(&server).await;
        complains(Transport::Websocket, kept, "2 lines were answered after 1000 pings");
        let impatient = server.impatient(Duration::from_secs(5));
        let kept = x9_a_long_flood_lets_others_in(&impatient).await;
        complains(Transport::ShortPoll, kept, "requests of another client");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x10_notices_waiters_that_are_kept() {
    let server = Server::start();
    let proxy = Proxy::start(&server, proxy::Fault::HidesDisconnects);
    notices("are held after", &proxy.api(), |transport, api| async move {
        x10_a_vanished_client_frees_its_waiter(transport, &api).await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x11_notices_a_server_that_dies_without_a_word() {
    for (transport, engine) in columns() {
        let goodbye = Goodbye { connections: 20, engine, signals: &[Signal::SIGKILL] };
        let kept = x11_goodbye_reaches_everybody_in_under_two_seconds(transport, &goodbye).await;
        complains(transport, kept.clone(), "the server ended with");
        // Nothing is said to a client that asks nothing: a short poll's goodbye is the closed connection.
        if transport.waits() != Waits::Client {
            complains(transport, kept, "20 heard no goodbye");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn x11_notices_a_server_that_does_not_go() {
    // Stopped first, it can do nothing about the second signal.
    let each = columns().into_iter().map(|(transport, engine)| async move {
        let goodbye = Goodbye { connections: 20, engine, signals: &[Signal::SIGSTOP, Signal::SIGTERM] };
        let kept = x11_goodbye_reaches_everybody_in_under_two_seconds(transport, &goodbye).await;
        complains(transport, kept, "the server is not gone");
    });
    join_all(each).await;
}

/// One test: a way that makes the two sides see different things, and what must be said about it.
macro_rules! counts_differ_over {
    ($($test:ident($fault:expr, $complaint:expr);)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
        async fn $test() {
            for transport in Transport::ALL {
                let counted = Counted::over($fault);
                let kept = x12_clients_and_server_count_the_same(transport, &counted).await;
                complains(transport, kept, $complaint);
            }
        }
    )+};
}

counts_differ_over! {
    x12_notices_bytes_that_the_server_did_not_send(proxy::Fault::AddsAHeader, "bytes down: the clients");
    x12_notices_a_refusal_that_the_server_did_not_give(proxy::Fault::RefusesTheFirst, "refused requests: the clients");
    x12_notices_lines_that_never_arrived(proxy::Fault::CutsTheFirst(2_000), "lines: the clients");
}
