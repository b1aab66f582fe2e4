//! Side by side: a lane for each transport, all with the same log, each with what the server counted for it.

use std::time::Duration;

use serde_json::{Value, json};
use wirelab_clients::wire::{Deployment, DeploymentId, Outcome, Status, Transport, Waits};

use crate::browser::{Engine, in_every_browser};
use crate::page::{Page, ShownLane, number, wait_until};
use crate::server::Binary;

in_every_browser! {
    every_lane_shows_every_line_of_a_replay_once_and_in_order;
    hostile_lines_change_nothing_in_any_lane;
    a_lane_shows_what_the_server_counted_for_it;
    a_socket_publishes_pauses_and_resumes_from_its_lane;
}

fn serve() -> Binary {
    Binary::serve("127.0.0.1:0", &["--store", "memory"])
}

/// A deployment that the server feeds.
pub(crate) fn fed(server: &Binary, source: Value) -> DeploymentId {
    let new = json!({"name": "side by side", "source": source});
    server.post("/api/deployments", "application/json", new.to_string()).json::<Deployment>().id
}

fn every_lane_shows_every_line_of_a_replay_once_and_in_order(engine: Engine) {
    let server = serve();
    let page = Page::shown_by(engine, &server);
    let id = fed(&server, json!({"kind": "replay", "recording": "pip-install", "speed": 20}));
    page.beside(&id);
    let lanes: Vec<_> = page.lanes().into_iter().map(|lane| lane.transport).collect();
    let offered: Vec<_> = page.transports(&server).into_iter().map(|row| row.name).collect();
    assert_eq!(lanes, offered, "a lane for each transport");
    page.wait_for_lanes("finished");
    let recorded: Vec<_> =
        server.lines(&id, "?limit=512").lines.into_iter().map(|line| line.line.text).collect();
    assert!(recorded.len() > 200);
    page.lanes_show(&recorded);
    wait_until("the status is shown", || page.text("#lanes-status") == "succeeded");
    page.is_quiet();
}

fn hostile_lines_change_nothing_in_any_lane(engine: Engine) {
    let server = serve();
    let page = Page::shown_by(engine, &server);
    let id = server.create().id;
    page.beside(&id);
    page.wait_for_lanes("live");
    wait_until("its name is there", || page.text("#lanes-name") == "test");
    let census = "const names = {};
        for (const { localName } of document.querySelectorAll('*')) names[localName] = (names[localName] ?? 0) + 1;
        for (const row of document.querySelectorAll('.lane .rows > div')) {
            names.div -= 1;
            names.span -= row.querySelectorAll('span').length;
        }
        return names";
    let before: Value = page.run(census, &[]);
    let all = crate::words::hostile();
    // In pieces, since a lane keeps a million characters.
    let (long, short): (Vec<_>, Vec<_>) = all.into_iter().partition(|text| text.len() > 100_000);
    server.append(&id, &short);
    let shown = crate::words::hostile_as_shown();
    page.lanes_show(&shown.into_iter().filter(|text| text.len() <= 100_000).collect::<Vec<_>>());
    server.append(&id, &long);
    server.append(&id, &["behind it"]);
    for lane in page.lanes() {
        let last = || page.lane_lines(&lane).pop().map(|(_, text)| text);
        wait_until("the last line is there", || last().as_deref() == Some("behind it"));
        assert_eq!(page.of_lane(&lane, "order"), "none", "{lane:?}");
    }
    assert_eq!(page.run::<Value>(census, &[]), before, "there are new elements");
    assert_eq!(page.run::<String>("return document.title", &[]), "test · wirelab");
    page.is_quiet();
}

fn a_lane_shows_what_the_server_counted_for_it(engine: Engine) {
    let server = serve();
    let page = Page::shown_by(engine, &server);
    let id = server.create().id;
    page.beside(&id);
    page.wait_for_lanes("live");
    for i in 0..5 {
        server.append(&id, &[format!("line {i}")]);
        let shown = |lane: &ShownLane| page.lane_lines(lane).len() == i + 1;
        wait_until("every lane has it", || page.lanes().iter().all(shown));
    }
    server.finish(&id, Status::Succeeded);
    page.wait_for_lanes("finished");
    for lane in page.lanes() {
        let ShownLane { transport, .. } = &lane;
        let requests = |outcome: Outcome| {
            let labels = format!("transport=\"{transport}\",outcome=\"{}\"", outcome.name());
            server.metric(&format!("wirelab_requests_total{{{labels}}}")) as u64
        };
        let all = || Outcome::ALL.into_iter().map(requests).sum::<u64>();
        wait_until("the lane's requests are the server's", || {
            number(&page.of_lane(&lane, "requests")) == all() as f64
        });
        let empty = requests(Outcome::Empty) + requests(Outcome::Timeout);
        assert_eq!(number(&page.of_lane(&lane, "empty")), empty as f64, "{lane:?}");
        let bytes = |direction| {
            server.metric(&format!(
                "wirelab_bytes_total{{transport=\"{transport}\",direction=\"{direction}\"}}"
            ))
        };
        for (part, direction) in [("up", "up"), ("down", "down")] {
            let counted = || bytes(direction) as f64;
            wait_until("the lane's bytes are the server's, to three digits", || {
                let shown = page.of_lane(&lane, part);
                let (value, unit) = shown.split_once(' ').unwrap_or_default();
                let unit = if unit == "kB" { 1_000.0 } else { 1.0 };
                value.parse::<f64>().is_ok_and(|value| (value * unit / counted() - 1.0).abs() < 0.01)
            });
        }
        assert_eq!(page.of_lane(&lane, "lines"), "5");
        let cursor = server.show(&id).next.to_string();
        assert_eq!(page.of_lane(&lane, "cursor"), cursor);
    }
    page.is_quiet();
}

fn a_socket_publishes_pauses_and_resumes_from_its_lane(engine: Engine) {
    let server = serve();
    let page = Page::shown_by(engine, &server);
    let id = server.create().id;
    page.beside(&id);
    page.wait_for_lanes("live");
    let (sockets, others): (Vec<_>, Vec<_>) =
        page.lanes().into_iter().partition(|lane| lane.transport.starts_with("websocket"));
    assert!(!sockets.is_empty() && !others.is_empty());
    for lane in others {
        assert!(!page.is_shown(&lane.css("commands")), "{lane:?} has one direction only");
    }
    let mut texts = Vec::new();
    for lane in sockets {
        let text = format!("said by {}", lane.transport);
        page.fill(&format!("{} input", lane.css("publish")), &text);
        page.click(&lane.css("send"));
        texts.push(text);
        page.lanes_show(&texts);
        assert_eq!(page.of_lane(&lane, "answer"), "published");
        page.click(&lane.css("ping"));
        wait_until("the pong is told", || page.of_lane(&lane, "answer").starts_with("pong after"));

        page.click(&lane.css("pause"));
        wait_until("it pauses", || page.of_lane(&lane, "state") == "paused");
        // No line follows the pong to a ping that was sent after the pause.
        page.click(&lane.css("ping"));
        wait_until("the pong is told", || page.of_lane(&lane, "answer").starts_with("pong after"));
        let before = texts.len();
        texts.push(format!("while {} pauses", lane.transport));
        server.append(&id, &texts[before..]);
        let another = page.lanes().into_iter().find(|other| *other != lane).unwrap();
        wait_until("others have it", || page.lane_lines(&another).len() == texts.len());
        assert_eq!(page.lane_lines(&lane).len(), before, "{lane:?} pauses");
        page.click(&lane.css("pause"));
        page.lanes_show(&texts);
    }
    page.is_quiet();
}

#[test]
fn the_page_stops_before_the_last_connection_and_goes_on_when_one_is_free() {
    let server = serve();
    let page = Page::of(&server);
    let id = server.create().id;
    page.beside(&id);
    page.wait_for_lanes("live");
    assert_eq!((page.text("#held").as_str(), page.text("#held-note").as_str()), ("3 of 6", ""));
    let add = || {
        page.choose("#add-transport", "sse");
        page.click("#add-lane");
        page.lanes().pop().unwrap()
    };
    let fourth = add();
    wait_until("it warns", || {
        page.text("#held") == "4 of 6" && page.text("#held-note").contains("six connections")
    });
    add();
    let sixth = add();
    wait_until("the sixth waits", || page.of_lane(&sixth, "state") == "queued");
    // Buttons are answered all the same. The visitor feeds this deployment, so they stand open.
    server.append(&id, &["a"]);
    page.click("#finish");
    wait_until("it is finished", || page.text("#lanes-status") == "succeeded");
    // Its log is over, so nothing is held any more, and who waited has it too.
    page.wait_for_lanes("finished");
    page.lanes_show(&["a"]);
    wait_until("nothing is held", || page.text("#held") == "0 of 6");
    page.click(&fourth.css("remove"));
    wait_until("it is gone", || !page.lanes().contains(&fourth));
    page.is_quiet();
}

#[test]
fn held_requests_of_another_tab_count() {
    let server = serve();
    let page = Page::of(&server);
    let id = server.create().id;
    page.beside(&id);
    page.wait_for_lanes("live");
    page.run::<()>("window.other = window.open(location.href + '/sse')", &[]);
    wait_until("another tab's stream is counted", || page.text("#held") == "4 of 6 (1 by other tabs)");
    page.run::<()>("window.lanes = window.open(location.href)", &[]);
    wait_until("it leaves the last one free", || page.text("#held") == "5 of 6 (2 by other tabs)");
    page.run::<()>("window.lanes.close(); window.other.close()", &[]);
    wait_until("a closed tab's are not", || page.text("#held") == "3 of 6");
}

#[test]
fn latency_is_absolute_only_while_the_clocks_agree() {
    let server = serve();
    let page = Page::of(&server);
    let id = server.create().id;
    let follow = || {
        page.beside(&id);
        page.wait_for_lanes("live");
        // A p50 needs six lines.
        for text in ["a", "b", "c", "d", "e", "f"] {
            server.append(&id, &[text]);
        }
        let lanes = page.lanes();
        wait_until("every lane has a latency", || lanes.iter().all(|lane| page.of_lane(lane, "p50") != "–"));
        lanes
    };
    let milliseconds =
        |lane: &ShownLane, part: &str| -> f64 { page.of_lane(lane, part).replace(',', "").parse().unwrap() };
    for lane in follow() {
        wait_until("it is absolute", || page.of_lane(&lane, "scale").starts_with("Delivery latency"));
        assert!(milliseconds(&lane, "p50") < 60_000.0, "{lane:?}");
        assert_eq!(page.of_lane(&lane, "p99"), "–", "six lines have no p99");
        assert!(milliseconds(&lane, "most") >= milliseconds(&lane, "p50"), "{lane:?}");
    }
    assert!(page.text("#clock-note").contains("receipt − append"), "{}", page.text("#clock-note"));
    // A clock that is a minute ahead.
    page.before_each_page(
        "Object.defineProperty(performance, 'timeOrigin', { value: performance.timeOrigin + 60_000 });
         const day = Date.now.bind(Date);
         Date.now = () => day() + 60_000;",
    );
    page.reload();
    let lanes = follow();
    for lane in &lanes {
        wait_until("it is relative", || page.of_lane(lane, "scale").starts_with("Behind the fastest"));
        assert!(milliseconds(lane, "p50") < 30_000.0, "{lane:?} would be a minute late");
    }
    assert!(page.text("#clock-note").contains("behind"), "{}", page.text("#clock-note"));
    let least = lanes.iter().map(|lane| milliseconds(lane, "now")).fold(f64::INFINITY, f64::min);
    assert!(least < 0.1, "one lane was the first: {least}");
    page.is_quiet();
}

#[test]
fn sliders_change_what_polls_do_at_once() {
    let server = serve();
    let page = Page::of(&server);
    let id = server.create().id;
    page.beside(&id);
    page.wait_for_lanes("live");
    page.slide("interval", 0.1);
    page.slide("hold", 1.0);
    let lanes = page.lanes();
    let of = |name: &str| lanes.iter().find(|lane| lane.transport == name).unwrap();
    wait_until("short polls come quickly", || number(&page.of_lane(of("short-poll"), "requests")) > 20.0);
    // The hold that had begun lasts 25 s; a line ends it, and the next ones are short.
    server.append(&id, &["a"]);
    wait_until("holds expire", || number(&page.of_lane(of("long-poll"), "empty")) > 2.0);
    page.is_quiet();
}

#[test]
fn who_leaves_leaves_nothing_open() {
    let server = serve();
    let page = Page::of(&server);
    let id = server.create().id;
    page.before_each_page(
        "window.sockets = [];
         window.WebSocket = class extends WebSocket {
             constructor(...given) { super(...given); window.sockets.push(this); }
         }",
    );
    page.reload();
    page.beside(&id);
    page.wait_for_lanes("live");
    let waiters = || -> i64 {
        let of = |name: &str| server.metric(&format!("wirelab_waiters{{transport=\"{name}\"}}"));
        page.transports(&server).iter().map(|row| of(&row.name)).sum()
    };
    let waiting = Transport::ALL.iter().filter(|transport| transport.waits() != Waits::Client).count();
    wait_until("all wait for which the server waits", || waiters() == waiting as i64);
    page.click("#disconnect-all");
    page.wait_for_lanes("disconnected");
    wait_until("nobody waits", || waiters() == 0);
    server.append(&id, &["a", "b"]);
    page.click("#connect-all");
    page.wait_for_lanes("live");
    page.lanes_show(&["a", "b"]);
    page.click("#clear-all");
    assert!(page.lanes().iter().all(|lane| page.lane_lines(lane).is_empty()));
    page.overview();
    wait_until("nobody waits", || waiters() == 0);
    let open = "return window.sockets.filter(({ readyState }) => readyState === WebSocket.OPEN).length";
    wait_until("no socket is open, the ledgers' neither", || page.run::<u32>(open, &[]) == 0);
    page.is_quiet();
}

#[test]
fn who_leaves_at_once_leaves_no_complaint() {
    let server = serve();
    let page = Page::of(&server);
    let id = server.create().id;
    for frames in 0..8 {
        let there_and_back = "let [hash, frames] = arguments;
            location.hash = hash;
            return new Promise((resolve) => {
                const next = () => (frames-- > 0 ? requestAnimationFrame(next) : resolve((location.hash = '#/')));
                setTimeout(next);
            });";
        page.run::<Value>(there_and_back, &[format!("#/{id}").into(), frames.into()]);
        wait_until("the list is back", || page.is_shown("#overview"));
    }
    wait_until("nothing is held", || page.text("#held") == "0 of 6");
    page.is_quiet();
}

#[test]
fn without_a_connection_too_the_page_shows_what_its_buttons_did() {
    let server = serve();
    let page = Page::of(&server);
    for transport in ["", "/sse"] {
        let (status, disconnect) = match transport {
            "" => ("#lanes-status", "#disconnect-all"),
            _ => ("#status", "#disconnect"),
        };
        let id = server.create().id;
        page.goto(&format!("http://{}/#/{id}{transport}", server.authority));
        wait_until("it is described", || page.text(status) == "running" && page.is_enabled(disconnect));
        page.click(disconnect);
        page.click("#finish");
        wait_until("it is finished", || page.text(status) == "succeeded" && !page.is_shown("#finish"));
        page.click("#delete");
        page.click("#delete");
        wait_until("it is gone", || !page.is_shown("#publish") && !page.is_shown(status));
    }
    page.says_nothing_but(|said| said.contains("status of 404"));
}

#[test]
fn a_deployment_is_deleted_from_the_page_when_it_is_meant() {
    let server = serve();
    let page = Page::of(&server);
    let id = server.create().id;
    page.beside(&id);
    page.wait_for_lanes("live");
    wait_until("the commands stand open", || page.is_shown("#delete"));
    page.click("#delete");
    assert_eq!(page.text("#delete"), "Delete for ever?");
    assert_eq!(server.show(&id).lines, 0, "it is still there");
    page.click("#delete");
    page.wait_for_lanes("deleted");
    page.click("#disconnect-all");
    page.wait_for_lanes("deleted");
    wait_until("nothing can be done to it", || !page.is_shown("#publish"));
    assert_eq!(page.text("#lanes-note"), format!("The server has no deployment {id} any more."));
    let unknown = "01k3aaaaaaaa".parse().unwrap();
    page.beside(&unknown);
    page.wait_for_lanes("missing");
    assert_eq!(page.text("#lanes-note"), "The server has no deployment 01k3aaaaaaaa.");
    page.says_nothing_but(|said| said.contains("status of 404"));
}

#[test]
fn an_hour_of_lines_in_minutes_keeps_the_memory_bounded() {
    /// As many as a log of one line per second has in an hour, over each of six lanes.
    const LINES: u64 = 3_600;
    /// What six lanes may take, MB, of the hundred that one may.
    const HEAP_MB_MAX: f64 = 100.0;
    let server = serve();
    let page = Page::of(&server);
    let id = fed(&server, json!({"kind": "generate", "rate_hz": 200}));
    page.beside(&id);
    let heap = || -> f64 {
        page.devtools("HeapProfiler.collectGarbage", json!({}));
        let used = page.devtools("Runtime.getHeapUsage", json!({}))["usedSize"].as_f64().unwrap();
        used / 1e6
    };
    let elements = || page.run::<u64>("return document.querySelectorAll('*').length", &[]);
    let reached = |lines: u64| {
        let lanes = page.lanes();
        wait_long("every lane is that far", || {
            lanes.iter().all(|lane| number(&page.of_lane(lane, "lines")) >= lines as f64)
        });
    };
    reached(LINES / 2);
    let (half_mb, half_elements) = (heap(), elements());
    reached(LINES);
    let (whole_mb, whole_elements) = (heap(), elements());
    assert!(whole_mb < HEAP_MB_MAX, "{whole_mb} MB");
    assert!(whole_mb < half_mb + 3.0, "it grows: {half_mb} MB, then {whole_mb} MB");
    // Rows come and go with their parts; their number does not.
    assert!(whole_elements < half_elements + 100, "{half_elements} elements, then {whole_elements}");
    for lane in page.lanes() {
        assert_eq!(page.lane_lines(&lane).len(), 300, "{lane:?}");
        assert_eq!(page.of_lane(&lane, "order"), "none", "{lane:?}");
    }
    page.is_quiet();
}

/// For what takes half a minute by itself.
#[track_caller]
fn wait_long(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(std::time::Instant::now() < deadline, "{what}: not within two minutes");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn nothing_moves_when_lines_come() {
    let server = serve();
    let page = Page::of(&server);
    let id = server.create().id;
    page.beside(&id);
    page.wait_for_lanes("live");
    server.append(&id, &["first"]);
    page.lanes_show(&["first"]);
    let watch = "window.shifts = 0;
        new PerformanceObserver((list) => list.getEntries().forEach((entry) => (window.shifts += entry.value)))
            .observe({ type: 'layout-shift' })";
    page.run::<()>(watch, &[]);
    let lines: Vec<_> = (0..2_000).map(|i| format!("line {i} {}", "x".repeat(i % 90))).collect();
    for piece in lines.chunks(100) {
        server.append(&id, piece);
    }
    for lane in page.lanes() {
        wait_until("all came", || number(&page.of_lane(&lane, "lines")) == 2_001.0);
    }
    let shifts: f64 = page.run("return window.shifts", &[]);
    assert!(shifts < 0.02, "the layout moved: {shifts}");
    page.is_quiet();
}

#[test]
fn a_lane_never_cuts_a_figure_and_offers_to_publish_only_where_it_can_work() {
    let server = serve();
    let page = Page::of(&server);
    let by_hand = server.create().id;
    page.beside(&by_hand);
    page.wait_for_lanes("live");
    let publish = ".lane[data-transport=websocket] [data-part=publish]";
    wait_until("it takes lines", || page.is_shown(publish));
    let open_above = "const feed = document.querySelector('#publish');
        return feed.open && feed.getBoundingClientRect().bottom <= document.querySelector('#timeline').getBoundingClientRect().top";
    assert!(page.run::<bool>(open_above, &[]), "the commands stand open at the top");
    let cut = "return [...document.querySelectorAll('.lane dd')].filter((figure) => {
        const before = figure.textContent;
        (figure.querySelector('code') ?? figure).textContent = '123,456,789 lost, 123,456,789 twice';
        const { overflowX, textOverflow } = getComputedStyle(figure);
        const isCut = figure.scrollWidth > figure.clientWidth + 1 || textOverflow === 'ellipsis';
        (figure.querySelector('code') ?? figure).textContent = before;
        return isCut && overflowX !== null;
    }).length";
    for (width, height) in [(1280, 720), (390, 844)] {
        page.look(width, height, "light");
        assert_eq!(page.run::<u32>(cut, &[]), 0, "figures are cut at {width}");
    }
    page.look(1280, 720, "light");
    server.finish(&by_hand, Status::Succeeded);
    wait_until("a finished log takes none", || !page.is_shown(publish));
    page.beside(&fed(&server, json!({"kind": "generate", "rate_hz": 2})));
    page.wait_for_lanes("live");
    wait_until("it is described", || page.text("#lanes-status") == "running");
    assert!(!page.is_shown(publish), "its source feeds it");
    assert!(page.is_shown("#publish") && !page.is_shown("#publish-commands"));
    let elsewhere = "return [...document.querySelectorAll('a')].filter((link) =>
        /^\\/(api|metrics)/.test(link.getAttribute('href') ?? '') && link.target !== '_blank').length";
    assert_eq!(page.run::<u32>(elsewhere, &[]), 0, "links to data open elsewhere");
    page.is_quiet();
}

#[test]
fn a_generator_ends_with_the_page_that_started_it_and_not_when_the_page_is_loaded_again() {
    let server = serve();
    let page = Page::of(&server);
    page.click("#create [value=generate]");
    page.click("#create button");
    wait_until("it is shown", || page.is_shown("#lanes"));
    page.wait_for_lanes("live");
    let id: DeploymentId = page.text("#lanes-id").parse().unwrap();
    page.reload();
    page.wait_for_lanes("live");
    // Longer than a page that was closed has.
    std::thread::sleep(Duration::from_secs(12));
    assert_eq!(server.show(&id).ended, None, "it was loaded again");
    page.goto("about:blank");
    wait_long("its generator ends", || server.show(&id).ended == Some(Status::Cancelled));
}
