//! The lecturer's guide: the sliders that it says to move have the effect that it promises. Its lessons are those of
//! `lessons`.

use std::thread;
use std::time::Duration;

use serde_json::json;
use wirelab_clients::wire::{DeploymentId, Transport};

use crate::figures;
use crate::lanes::fed;
use crate::page::{Page, number, wait_until};
use crate::server::Binary;

/// What is kept of a lane in a step: parts of the lane.
const PARTS: [&str; 4] = ["requests", "empty", "lines", "p50"];

/// Seconds of the guide. A fraction of them shows the same, if not the same figures.
fn seconds(of_guide: f64) -> f64 {
    if figures::are_wanted() { of_guide } else { of_guide / 2.5 }
}

/// Time is what is measured here: there is no condition to wait for.
fn wait(seconds: f64) {
    thread::sleep(Duration::from_secs_f64(seconds));
}

fn generated(server: &Binary, rate_hz: f64) -> DeploymentId {
    fed(server, json!({"kind": "generate", "rate_hz": rate_hz}))
}

/// What a lane shows at the end of a step.
#[derive(Debug)]
struct Shown {
    requests: f64,
    empty: f64,
    lines: f64,
    p50_ms: f64,
}

/// *Clear all*, then so many seconds; what the lanes of both polls show then.
fn step(page: &Page, name: &str, seconds: f64) -> [Shown; 2] {
    page.click("#clear-all");
    wait(seconds);
    let lanes = page.lanes();
    let row = |lane| {
        let cells = PARTS.iter().map(|part| page.of_lane(lane, part));
        [lane.transport.clone()].into_iter().chain(cells).collect::<Vec<_>>()
    };
    let rows: Vec<_> = lanes.iter().map(row).collect();
    let columns: Vec<_> = ["lane"].iter().chain(&PARTS).map(|&name| name.to_owned()).collect();
    let following: Vec<_> = rows.iter().filter(|row| number(&row[3]) > 0.0).cloned().collect();
    figures::keep(name, &columns, &following, &[]);
    [Transport::ShortPoll, Transport::LongPoll].map(|transport| {
        let row = rows.iter().find(|row| row[0] == transport.name()).unwrap();
        let [requests, empty, lines, p50_ms] = [1, 2, 3, 4].map(|i| number(&row[i]));
        Shown { requests, empty, lines, p50_ms }
    })
}

#[test]
fn a_short_interval_costs_requests_a_long_one_time_and_a_long_hold_neither() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    // Slow enough that a page beside busy browsers, whose timers come late, still asks more often than lines come.
    page.beside(&generated(&server, 1.0));
    page.wait_for_lanes("live");

    page.slide("interval", 0.1);
    let [often, held] = step(&page, "interval 0.1 s", seconds(20.0));
    assert!(often.requests > 2.0 * often.lines, "{often:?}");
    // The server's count is told ten times a second: an answer may stand on one side of the clearing and its line on the
    // other.
    assert!(often.empty + 1.0 >= often.requests - often.lines, "{often:?}");
    assert!(held.lines > 0.0 && held.requests <= held.lines + 1.0, "{held:?}");

    let interval_s = seconds(10.0);
    page.slide("interval", interval_s);
    page.slide("hold", seconds(50.0));
    // The poll that sleeps and the one that is held come to their ends as they were.
    wait(interval_s);
    let [seldom, held] = step(&page, "interval 10 s, hold 50 s", seconds(30.0));
    assert!((2.0..=4.0).contains(&seldom.requests), "{seldom:?}");
    assert!(seldom.p50_ms > 1_000.0 && held.p50_ms < seldom.p50_ms / 2.0, "{seldom:?}, {held:?}");
    assert!(held.empty == 0.0 && held.requests > 2.0 * seldom.requests, "{held:?}");
    page.is_quiet();
}

#[test]
fn a_short_hold_costs_empty_answers_and_no_line_comes_earlier_for_it() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    page.beside(&generated(&server, 1.0 / seconds(5.0)));
    page.wait_for_lanes("live");
    page.click("#disconnect-all");
    page.click(".lane[data-transport=long-poll] [data-part=connect]");
    let follows = || server.waiters(Transport::LongPoll) == 1;

    page.slide("hold", 1.0);
    wait_until("it follows", follows);
    // Until then the server holds as long as it was asked to.
    let lines = || number(&page.text(".lane[data-transport=long-poll] [data-part=lines]"));
    let before = lines();
    wait_until("a line has come", || lines() > before);
    let [_, short] = step(&page, "hold 1 s", seconds(30.0));
    page.slide("hold", 25.0);
    wait(1.0);
    let [_, long] = step(&page, "hold 25 s", seconds(30.0));
    assert!(short.requests > 1.5 * long.requests && long.empty <= 1.0, "{short:?}, {long:?}");
    assert!(long.lines > 2.0 && long.requests <= long.lines + 2.0, "{long:?}");
    page.is_quiet();
}
