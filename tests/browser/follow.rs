//! Following a log in the browser, over every transport that the server offers and the page can speak.

use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;
use wirelab_clients::wire::{DeploymentId, Outcome, Status, TransportInfo};

use crate::browser::{Engine, in_chromium, in_every_browser};
use crate::http::Api;
use crate::page::{Page, wait_until};
use crate::proxy::{Fault, Proxy};
use crate::server::Binary;

in_every_browser! {
    the_log_so_far_then_live_lines_then_the_end;
    disconnect_closes_and_connect_goes_on;
    a_server_that_was_killed_and_restarted_goes_on;
}

in_chromium! {
    nothing_is_asked_after_the_end;
    bytes_that_arrive_one_by_one_make_the_same_lines;
    connections_cut_anywhere_lose_nothing;
    a_page_that_follows_a_log_holds_one_connection_for_it;
}

fn serve() -> Binary {
    Binary::serve("127.0.0.1:0", &["--store", "memory"])
}

fn texts(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|i| format!("line {i} – ä 😀")).collect()
}

/// Streams and held polls that the server has open.
fn waiters(server: &Api, transport: &TransportInfo) -> i64 {
    server.metric(&format!("wirelab_waiters{{transport=\"{}\"}}", transport.name))
}

fn each_transport(engine: Engine, test: impl Fn(&Binary, &Page, &TransportInfo)) {
    let server = serve();
    let page = Page::shown_by(engine, &server);
    for transport in page.transports(&server) {
        test(&server, &page, &transport);
    }
    page.is_quiet();
}

fn the_log_so_far_then_live_lines_then_the_end(engine: Engine) {
    each_transport(engine, |server, page, TransportInfo { name, wire, .. }| {
        let id = server.create().id;
        let all = texts(0..60);
        server.append(&id, &all[..30]);
        page.open(&id, name);
        page.wait_for("live", name);
        for piece in all[30..].chunks(7) {
            server.append(&id, piece);
        }
        page.shows(&all, name);
        server.finish(&id, Status::Failed);
        page.wait_for("finished", name);
        page.shows(&all, name);
        assert_eq!(page.counts(), ("30".to_owned(), "30".to_owned()), "{name}");
        wait_until("the status is shown", || page.text("#status") == "failed");
        assert_eq!(page.text("#cursor"), server.show(&id).next.to_string(), "{name}");
        // Opened once more, the log is over before any transport is asked.
        page.reload();
        page.wait_for("finished", name);
        page.shows(&all, name);
        // And a transport that is asked at the end says so.
        page.click("#connect");
        wait_until("the transport was asked", || page.notes().iter().any(|note| note.starts_with(name)));
        page.wait_for("finished", name);
        page.shows(&all, name);
        // To an EventSource the end is an answer 204, which Firefox takes for a connection that was not made.
        let is_the_end = engine == Engine::Firefox && wire == "sse";
        page.says_nothing_but(|said| is_the_end && page.is_about_a_lost_connection(said));
    });
}

fn nothing_is_asked_after_the_end(engine: Engine) {
    // The interval of short polls, and the longest time after which an EventSource would come back by itself.
    const AGAIN_MS: f64 = 1_600.0;
    each_transport(engine, |server, page, TransportInfo { name, .. }| {
        let requests = || -> i64 {
            let one = |outcome: Outcome| {
                let labels = format!("transport=\"{name}\",outcome=\"{}\"", outcome.name());
                server.metric(&format!("wirelab_requests_total{{{labels}}}"))
            };
            Outcome::ALL.map(one).iter().sum()
        };
        let id = server.create().id;
        page.open(&id, name);
        page.wait_for("live", name);
        server.append(&id, &["a"]);
        server.finish(&id, Status::Succeeded);
        page.wait_for("finished", name);
        page.shows(&["a"], name);
        let now = || page.run::<f64>("return performance.now()", &[]);
        let (asked, ended) = (requests(), now());
        assert!(asked > 0, "{name}");
        wait_until("the next question would be due", || now() > ended + AGAIN_MS);
        assert_eq!(requests(), asked, "{name} asks on");
    });
}

fn bytes_that_arrive_one_by_one_make_the_same_lines(engine: Engine) {
    let server = serve();
    let proxy = Proxy::start(&server, Fault::SplitsEveryByte);
    let page = Page::shown_by(engine, &proxy.api());
    for TransportInfo { name, .. } in page.transports(&server) {
        let (id, all) = (server.create().id, texts(0..40));
        server.append(&id, &all[..10]);
        page.open(&id, &name);
        page.wait_for("live", &name);
        server.append(&id, &all[10..]);
        server.finish(&id, Status::Succeeded);
        page.wait_for("finished", &name);
        page.shows(&all, &name);
    }
    page.is_quiet();
}

/// A browser keeps connections for later, so each may be cut in history, between requests, or within a line.
fn connections_cut_anywhere_lose_nothing(engine: Engine) {
    /// Cuts that each transport must survive; and after how many lines without them the proxy is broken.
    const CUTS: usize = 2;
    const LINES_MAX: u32 = 2_000;
    let server = serve();
    // What came in one piece with the upgrade of a WebSocket, Firefox gives to no script if the connection is cut in
    // the same moment. So it gets smaller pieces and later cuts, or it would be refused again and again.
    let (bytes_max, piece) = match engine {
        Engine::Chromium => (8_000, 40),
        Engine::Firefox => (24_000, 10),
    };
    let proxy = Proxy::start(&server, Fault::Cuts(bytes_max));
    let page = proxy.spare(|| Page::shown_by(engine, &proxy.api()));
    for TransportInfo { name, .. } in page.transports(&server) {
        let (id, all) = (server.create().id, texts(0..LINES_MAX));
        page.open(&id, &name);
        let (before, mut sent) = (proxy.cuts(), 0);
        while proxy.cuts() < before + CUTS {
            assert!(sent < all.len(), "{name}: not cut");
            server.append(&id, &all[sent..sent + piece]);
            sent += piece;
            page.shows(&all[..sent], &name);
        }
        server.finish(&id, Status::Succeeded);
        page.wait_for("finished", &name);
        page.shows(&all[..sent], &name);
    }
}

#[test]
fn a_replayed_recording_arrives_line_by_line() {
    each_transport(Engine::Chromium, |server, page, transport| {
        let source = r#"{"name":"replay","source":{"kind":"replay","recording":"pip-install","speed":30}}"#;
        let id: DeploymentId = {
            let created: Value = server.post("/api/deployments", "application/json", source).json();
            created["id"].as_str().unwrap().parse().unwrap()
        };
        page.open(&id, &transport.name);
        page.wait_for("finished", &transport.name);
        let recorded: Vec<_> =
            server.lines(&id, "?limit=512").lines.into_iter().map(|line| line.line.text).collect();
        assert!(recorded.len() > 200);
        page.shows(&recorded, &transport.name);
        assert_eq!(page.text("#status"), "succeeded");
    });
}

fn disconnect_closes_and_connect_goes_on(engine: Engine) {
    each_transport(engine, |server, page, transport| {
        let (id, all) = (server.create().id, texts(0..30));
        page.open(&id, &transport.name);
        page.wait_for("live", &transport.name);
        server.append(&id, &all[..10]);
        page.shows(&all[..10], &transport.name);
        page.click("#disconnect");
        page.wait_for("disconnected", &transport.name);
        wait_until("the connection is closed", || waiters(server, transport) == 0);
        server.append(&id, &all[10..20]);
        page.shows(&all[..10], &transport.name);
        page.click("#connect");
        page.shows(&all[..20], &transport.name);
        page.wait_for("live", &transport.name);
        server.append(&id, &all[20..]);
        page.shows(&all, &transport.name);
        // Whoever goes elsewhere leaves nothing behind.
        page.overview();
        wait_until("the connection is closed", || waiters(server, transport) == 0);
    });
}

#[test]
fn another_transport_takes_over_while_lines_come() {
    let server = serve();
    let page = Page::of(&server);
    let transports = page.transports(&server);
    let (id, all) = (server.create().id, texts(0..400));
    page.open(&id, &transports[0].name);
    thread::scope(|scope| {
        scope.spawn(|| {
            for piece in all.chunks(4) {
                server.append(&id, piece);
                thread::sleep(Duration::from_millis(20));
            }
        });
        for transport in transports.iter().chain(&transports) {
            page.choose("#transport", &transport.name);
            page.wait_for("live", &transport.name);
        }
    });
    page.shows(&all, "all of them");
    for transport in &transports[..transports.len() - 1] {
        wait_until("what was left is closed", || waiters(&server, transport) == 0);
    }
    page.is_quiet();
}

fn a_server_that_was_killed_and_restarted_goes_on(engine: Engine) {
    restart(engine, Binary::kill);
}

#[test]
fn a_server_that_said_goodbye_and_restarted_goes_on() {
    restart(Engine::Chromium, |server| {
        let (status, took) = server.terminate();
        assert!(status.success() && took < Duration::from_secs(2), "{status} after {took:?}");
    });
}

fn restart(engine: Engine, end: impl Fn(Binary)) {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let arguments = ["--store", "disk", "--data", data];
    let mut server = Binary::serve("127.0.0.1:0", &arguments);
    let bind = server.authority.clone();
    let page = Page::shown_by(engine, &server);
    for TransportInfo { name, .. } in page.transports(&server) {
        let (id, all) = (server.create().id, texts(0..60));
        server.append(&id, &all[..20]);
        page.open(&id, &name);
        page.wait_for("live", &name);
        server.append(&id, &all[20..40]);
        page.shows(&all[..40], &name);
        end(server);
        page.wait_for("reconnecting", &name);
        server = Binary::serve(&bind, &arguments);
        server.append(&id, &all[40..50]);
        page.shows(&all[..50], &name);
        page.wait_for("live", &name);
        server.append(&id, &all[50..]);
        server.finish(&id, Status::Succeeded);
        page.wait_for("finished", &name);
        page.shows(&all, &name);
        // While the server was away, every request failed, and the browser says so. Nothing else may be said.
        page.says_nothing_but(|said| page.is_about_a_lost_connection(said));
    }
}

#[test]
fn a_ping_shows_its_round_trip_or_why_there_is_none() {
    each_transport(Engine::Chromium, |server, page, TransportInfo { name, wire, .. }| {
        let id = server.create().id;
        page.open(&id, name);
        page.wait_for("live", name);
        if wire == "websocket" {
            wait_until("the connection can be pinged", || page.is_enabled("#ping"));
            page.click("#ping");
            wait_until("the pong is shown", || {
                page.text("#round-trip").strip_suffix(" ms").is_some_and(|ms| ms.parse::<f64>().is_ok())
            });
            assert_eq!(page.text("#ping-note"), "");
            page.click("#disconnect");
            wait_until("nothing can be pinged", || !page.is_enabled("#ping"));
        } else {
            assert!(!page.is_enabled("#ping"), "{name}");
            assert!(
                page.text("#ping-note").len() > 20 && page.is_shown("#ping-note"),
                "{name} says no reason"
            );
        }
    });
}

fn a_page_that_follows_a_log_holds_one_connection_for_it(engine: Engine) {
    each_transport(engine, |server, page, TransportInfo { name, .. }| {
        let id = server.create().id;
        page.open(&id, name);
        page.wait_for("live", name);
        server.append(&id, &["a"]);
        page.shows(&["a"], name);
        // A browser opens at most six connections to one origin, and all its tabs share them.
        let connections = || server.metric(&format!("wirelab_connections{{transport=\"{name}\"}}"));
        wait_until("one connection is open", || connections() == 1);
    });
}

#[test]
fn a_connection_is_timed_while_it_is_live() {
    let server = serve();
    let page = Page::of(&server);
    let name = &page.transports(&server)[0].name;
    page.open(&server.create().id, name);
    page.wait_for("live", name);
    wait_until("a second has passed", || page.text("#connected") == "0:01");
    assert!(page.text("#connect-time").ends_with(" ms"), "{name}");
    page.click("#disconnect");
    wait_until("its time is over", || page.text("#connected") == "–");
    page.is_quiet();
}

#[test]
fn a_socket_that_falls_silent_is_given_up_and_its_log_goes_on() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory", "--heartbeat", "1s"]);
    let page = Page::of(&server);
    let sockets = page.transports(&server).into_iter().filter(|transport| transport.wire == "websocket");
    for TransportInfo { name, .. } in sockets {
        let (id, all) = (server.create().id, texts(0..20));
        page.open(&id, &name);
        page.wait_for("live", &name);
        server.append(&id, &all[..10]);
        page.shows(&all[..10], &name);
        // The connection stays open, but nobody is there any more.
        server.signal(Signal::SIGSTOP);
        page.wait_for("reconnecting", &name);
        server.signal(Signal::SIGCONT);
        page.wait_for("live", &name);
        server.append(&id, &all[10..]);
        page.shows(&all, &name);
    }
}

#[test]
fn a_socket_that_never_opens_is_given_up_and_its_log_goes_on() {
    /// Half the time after which the page gives it up: longer than a test waits for one thing.
    const HALF_MS: f64 = 15_000.0;
    let server = serve();
    let page = Page::of(&server);
    let transports = page.transports(&server);
    let TransportInfo { name, .. } = transports.iter().find(|row| row.wire == "websocket").unwrap();
    let (id, all) = (server.create().id, texts(0..20));
    server.append(&id, &all[..10]);
    page.open(&id, name);
    page.wait_for("live", name);
    page.click("#disconnect");
    page.wait_for("disconnected", name);
    // Connections are still accepted, by the kernel, but nobody answers on them.
    server.signal(Signal::SIGSTOP);
    page.click("#connect");
    page.wait_for("connecting", name);
    let now = || page.run::<f64>("return performance.now()", &[]);
    let connected = now();
    wait_until("half of the time is over", || now() > connected + HALF_MS);
    page.wait_for("reconnecting", name);
    server.signal(Signal::SIGCONT);
    page.wait_for("live", name);
    server.append(&id, &all[10..]);
    page.shows(&all, name);
}

/// A browser hides comments from scripts, so the page asks for heartbeats that are events.
#[test]
fn an_event_stream_that_falls_silent_is_given_up_and_its_log_goes_on() {
    /// Longer than the page bears a silence.
    const BORNE_MS: f64 = 40_000.0;
    /// A test waits for one thing for a shorter time.
    const STEP_MS: f64 = 10_000.0;
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory", "--heartbeat", "5s"]);
    let page = Page::of(&server);
    let (id, all) = (server.create().id, texts(0..20));
    page.open(&id, "sse");
    page.wait_for("live", "sse");
    server.append(&id, &all[..10]);
    page.shows(&all[..10], "sse");
    let now = || page.run::<f64>("return performance.now()", &[]);
    let pass = |until: f64| {
        while now() < until {
            let next = (now() + STEP_MS).min(until);
            wait_until("time has passed", || now() >= next);
        }
    };
    // A silent log is no silent connection.
    pass(now() + BORNE_MS);
    let opened = server.metric("wirelab_requests_total{transport=\"sse\",outcome=\"data\"}");
    assert_eq!((opened, page.text("#state").as_str()), (1, "live"));
    // The connection stays open, but nobody is there any more.
    server.signal(Signal::SIGSTOP);
    pass(now() + BORNE_MS - STEP_MS);
    page.wait_for("reconnecting", "sse");
    server.signal(Signal::SIGCONT);
    page.wait_for("live", "sse");
    server.append(&id, &all[10..]);
    page.shows(&all, "sse");
}

/// The end is said above the log, which takes room from it.
#[test]
fn the_newest_line_stays_in_sight_when_the_log_loses_room() {
    let server = serve();
    let page = Page::of(&server);
    page.look(1280, 720, "light");
    let id = server.create().id;
    server.append(&id, &texts(0..200));
    server.finish(&id, Status::Succeeded);
    let below_px = "const log = document.querySelector('#log');
        return log.scrollHeight - log.scrollTop - log.clientHeight";
    let in_sight = |when: &str| {
        wait_until(when, || page.run::<f64>(below_px, &[]) < 2.0);
        assert!(!page.is_shown("#jump"), "{when}: the log is no longer followed");
    };
    for _ in 0..3 {
        page.open(&id, "sse");
        page.wait_for("finished", "sse");
        wait_until("the end is said", || page.is_shown("#detail"));
        // Above the log it may say that earlier lines are not shown.
        assert_eq!(page.text("#detail"), "The log is finished: no more lines come.");
        wait_until("the lines are shown", || page.line_count() == 200);
        in_sight("at the end");
        for height in [500, 900] {
            page.look(1280, height, "light");
            in_sight("in a window of another height");
        }
        // Whoever reads further up stays there.
        page.run::<()>("document.querySelector('#log').scrollTop = 0", &[]);
        wait_until("it is no longer followed", || page.is_shown("#jump"));
        page.look(1280, 720, "light");
        assert_eq!(page.run::<f64>("return document.querySelector('#log').scrollTop", &[]), 0.0);
        page.overview();
    }
    page.is_quiet();
}

/// The browser waits as long as the server asked for, and the page does not know how long that is.
#[test]
fn the_wait_of_an_event_stream_is_not_cut_short() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["--store", "disk", "--data", folder.path().to_str().unwrap()];
    let server = Binary::serve("127.0.0.1:0", &arguments);
    let (bind, page) = (server.authority.clone(), Page::of(&server));
    // The time of the page's own timers runs faster on demand; the wait of an EventSource is the browser's.
    page.before_each_page(
        "window.faster = 1;
         const later = window.setTimeout.bind(window);
         window.setTimeout = (act, ms, ...more) => later(act, ms / window.faster, ...more);",
    );
    page.reload();
    let id = server.create().id;
    page.open(&id, "sse");
    page.wait_for("live", "sse");
    page.run::<()>(
        "window.said = '';
         const detail = document.querySelector('#detail');
         new MutationObserver(() => (window.said += detail.textContent)).observe(detail, { childList: true });
         window.faster = 500",
        &[],
    );
    server.kill();
    page.wait_for("reconnecting", "sse");
    let now = || page.run::<f64>("return performance.now()", &[]);
    let cut = now();
    // Some waits of the browser, 0.5 to 1.5 s each; a silence is borne for 35 s, 0.07 s of this time.
    wait_until("time has passed", || now() > cut + 4_000.0);
    let said: String = page.run("return window.said", &[]);
    assert!(said.contains("the browser reconnects by itself") && !said.contains("silent"), "{said}");
    let _server = Binary::serve(&bind, &arguments);
    // Heartbeats come every 15 s of the true time.
    page.run::<()>("window.faster = 1", &[]);
    page.wait_for("live", "sse");
}
