//! The guided lessons, each clicked through to its end against the real server: what was measured is what a student
//! is promised, and whoever leaves a lesson leaves nothing behind.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use wirelab_clients::wire::{Batch, Deployment, DeploymentId, Status, Transport};

use crate::browser::{Engine, in_every_browser};
use crate::figures;
use crate::http::Api;
use crate::looks::look;
use crate::page::{Page, number, wait_until, wait_within};
use crate::server::Binary;

/// The longest lesson takes 40 s on a machine that has nothing else to do.
const LESSON_TIMEOUT: Duration = Duration::from_secs(180);
/// Who was away comes back after a wait that is drawn by lot, up to half a minute.
const BACK_TIMEOUT: Duration = Duration::from_secs(90);
const STREAMS: [&str; 3] = ["sse", "ndjson", "websocket"];

// How it reconnects and how many connections it opens is the browser's own affair.
in_every_browser! {
    no_line_is_lost_when_every_connection_is_cut_or_the_server_is_killed;
    six_of_seven_streams_show_lines_and_the_seventh_when_one_is_closed;
}

pub(crate) fn serve(arguments: &[&str]) -> Binary {
    Binary::serve("127.0.0.1:0", &[&["--store", "memory"], arguments].concat())
}

/// From anywhere to lesson `number`, by the links that a person follows.
#[track_caller]
pub(crate) fn open(page: &Page, number: u32) {
    page.click("nav a[href='#/lessons']");
    wait_until("the lessons are listed", || page.is_shown("#lesson-list"));
    page.click(&format!("#lesson-list a[href='#/lessons/{number}']"));
    wait_until("the lesson asks", || page.is_shown("#lesson-run"));
    assert_eq!(page.text("#lesson-number"), format!("Lesson {number} of 6"));
    assert!(
        page.text("#lesson-result").is_empty() && !page.is_shown("#lane-list"),
        "there is something to see"
    );
    assert_eq!((page.text("#lesson-run").as_str(), page.is_enabled("#lesson-run")), ("Run it", true));
}

#[track_caller]
pub(crate) fn wait_to_hear(page: &Page, start: &str) {
    let mut said = String::new();
    wait_within(LESSON_TIMEOUT, start, || {
        said = page.text("#lesson-say");
        assert!(start.starts_with("The lesson") || !said.starts_with("The lesson stopped"), "{said}");
        said.starts_with(start)
    });
}

/// Presses the button and waits for the end.
#[track_caller]
fn run(page: &Page) {
    page.click("#lesson-run");
    wait_to_hear(page, "Measured.");
    assert_eq!((page.text("#lesson-run").as_str(), page.is_enabled("#lesson-run")), ("Run it again", true));
    keep_figures(page);
}

pub(crate) fn keep_figures(page: &Page) {
    let script =
        "return [...document.querySelectorAll('#lesson-result .conclusion p')].map((p) => p.textContent)";
    let conclusion: Vec<String> = page.run(script, &[]);
    figures::keep(&page.text("#lesson-title"), &columns(page), &measured(page), &conclusion);
}

/// Goes back to the list; the server keeps nothing of the lesson.
#[track_caller]
pub(crate) fn leave(page: &Page, server: &Api) {
    page.click("#lesson a[href='#/lessons']");
    wait_until("the list is shown", || page.is_shown("#lesson-list") && !page.is_shown("#lanes"));
    wait_until("its deployments are deleted", || deployments(server).is_empty());
    wait_until("its streams are closed", || {
        let open = |transport| server.waiters(transport);
        Transport::ALL.into_iter().map(open).sum::<i64>() == 0
    });
}

fn deployments(server: &Api) -> Vec<Deployment> {
    server.get("/api/deployments").json()
}

fn crowds(server: &Api) -> Vec<Value> {
    server.get("/api/lab/crowds").json()
}

/// The deployment that the lanes follow.
fn followed(page: &Page) -> DeploymentId {
    page.text("#lanes-id").parse().unwrap()
}

/// The rows of what was measured, each with its heading first.
pub(crate) fn measured(page: &Page) -> Vec<Vec<String>> {
    rows(page, "#lesson-result > table")
}

fn rows(page: &Page, table: &str) -> Vec<Vec<String>> {
    let script = "return [...document.querySelectorAll(`${arguments[0]} tbody tr`)].map(
        (row) => [...row.children].map((cell) => cell.textContent))";
    page.run(script, &[table.into()])
}

/// The columns of what was measured.
fn columns(page: &Page) -> Vec<String> {
    let script = "return [...document.querySelectorAll('#lesson-result > table thead th')].map(
        (cell) => cell.textContent)";
    page.run(script, &[])
}

/// What stands in the column of that name, row by row.
#[track_caller]
pub(crate) fn column(page: &Page, name: &str) -> Vec<String> {
    let names = columns(page);
    let at = names.iter().position(|given| given == name);
    let at = at.unwrap_or_else(|| panic!("{name:?} is none of {names:?}"));
    measured(page).into_iter().map(|mut row| row.swap_remove(at)).collect()
}

/// What the page says of each prediction.
pub(crate) fn rows_of_verdicts(page: &Page) -> Vec<String> {
    rows(page, "#lesson-result .conclusion table").into_iter().map(|mut row| row.swap_remove(3)).collect()
}

/// On a projector the whole timeline is seen without scrolling.
#[track_caller]
pub(crate) fn timeline_is_on_the_screen(page: &Page) {
    page.look(1280, 720, "light");
    page.run::<()>("scrollTo(0, 0); document.querySelector('#lanes').scrollTo(0, 0)", &[]);
    let bottom: f64 = page.run(
        "return document.querySelector('#timeline canvas[role=img]').getBoundingClientRect().bottom",
        &[],
    );
    assert!(bottom <= 720.0, "the timeline ends at {bottom}");
}

/// What a student predicted and what came of it, by question.
pub(crate) fn compared(page: &Page) -> Vec<(String, String)> {
    let rows = rows(page, "#lesson-result .conclusion table");
    rows.into_iter().map(|row| (row[1].clone(), row[2].clone())).collect()
}

fn all_are(texts: &[String], expected: &str) -> bool {
    !texts.is_empty() && texts.iter().all(|text| text == expected)
}

/// What a part of each lane says.
fn lanes(page: &Page, part: &str) -> Vec<String> {
    let script = "return [...document.querySelectorAll(`.lane [data-part=${arguments[0]}]`)].map(
        (part) => part.textContent)";
    page.run(script, &[part.into()])
}

/// Every lane is at the end of the log, and shows its lines without a hole to the last.
#[track_caller]
fn every_lane_shows_the_end_of(page: &Page, server: &Api, id: &DeploymentId) {
    let mut texts = BTreeMap::new();
    let mut query = "?limit=512".to_owned();
    loop {
        let Batch { lines, next, more, .. } = server.lines(id, &query);
        texts.extend(lines.into_iter().map(|line| (line.seq, line.line.text)));
        if !more {
            break;
        }
        query = format!("?limit=512&from={next}");
    }
    let script = "return [...document.querySelectorAll('.lane')].map((lane) =>
        [...lane.querySelectorAll('.line')].map((row) => [Number(row.dataset.seq), row.querySelector('.text').textContent]))";
    let shown: Vec<Vec<(u64, String)>> = page.run(script, &[]);
    for (lane, shown) in shown.iter().enumerate() {
        assert!(shown.len() > 1, "lane {} shows {shown:?}", lane + 1);
        let first = shown[0].0;
        let expected: Vec<_> =
            texts.iter().filter(|(seq, _)| **seq >= first).map(|(seq, text)| (*seq, text.clone())).collect();
        assert!(*shown == expected, "lane {} shows {shown:?}, the server has {expected:?}", lane + 1);
    }
    let next = server.show(id).next.to_string();
    assert!(all_are(&lanes(page, "cursor"), &next), "{:?} are not {next}", lanes(page, "cursor"));
    assert!(all_are(&lanes(page, "order"), "none"), "{:?}", lanes(page, "order"));
}

#[test]
fn every_transport_shows_every_line_and_only_polls_ask_again() {
    /// For so long the lesson measures.
    const MEASURED_S: f64 = 20.0;
    let server = serve(&[]);
    let page = Page::of(&server);
    let offered: Vec<_> = page.transports(&server).into_iter().map(|row| row.name).collect();
    open(&page, 1);
    page.fill("#lesson-fields [name='requests']", "20");
    page.choose("#lesson-fields [name='slowest']", "sse");
    run(&page);
    look(&page, "lesson-1");
    assert_eq!(column(&page, "lane"), offered);
    assert!(all_are(&column(&page, "lost, twice"), "0, 0"), "{:?}", measured(&page));
    let interval_s: f64 = page.run("return document.querySelector('#interval').valueAsNumber", &[]);
    let rows = offered.iter().zip(column(&page, "requests")).zip(column(&page, "live"));
    assert!(column(&page, "from history").iter().all(|lines| number(lines) >= 12.0), "{:?}", measured(&page));
    let history = "return [...document.querySelectorAll('.lane')].every(
        (lane) => lane.querySelectorAll('.line.history').length >= 12)";
    assert!(page.run::<bool>(history, &[]), "each lane shows its history");
    let verdicts: Vec<_> = rows_of_verdicts(&page);
    assert_eq!(verdicts[1..], ["–", "✗ wrong"], "{verdicts:?}");
    timeline_is_on_the_screen(&page);
    for ((name, requests), lines) in rows {
        let (requests, lines) = (number(&requests), number(&lines));
        assert!(lines > MEASURED_S / 2.0, "{name} shows {lines} lines");
        match name.as_str() {
            // Half of them when the machine is busy; twice as many would be another interval.
            "short-poll" => {
                let expected = MEASURED_S / interval_s;
                assert!(requests > expected / 2.0 && requests < expected * 1.5, "{requests} polls");
            }
            // Once per answer, and each brings a line or more; some are under way when it begins and ends.
            "long-poll" => assert!(requests > 1.0 && requests <= lines + 3.0, "{requests} for {lines} lines"),
            stream => {
                assert!(STREAMS.contains(&stream), "{stream} is unknown to this test");
                assert!(requests == 0.0, "{stream} asked {requests} times");
            }
        }
    }
    let [polls, stream, slowest] = compared(&page).try_into().unwrap();
    assert_eq!(polls, ("20".to_owned(), column(&page, "requests")[0].clone()));
    assert_eq!(stream, ("–".to_owned(), "0".to_owned()));
    assert!(slowest.0 == "sse" && slowest.1.starts_with("short-poll, "), "{slowest:?}");

    // It goes on, to the last line.
    let id = followed(&page);
    server.finish(&id, Status::Succeeded);
    wait_until("every lane is at the end", || all_are(&lanes(&page, "state"), "finished"));
    every_lane_shows_the_end_of(&page, &server, &id);
    leave(&page, &server);
    page.is_quiet();
}

#[test]
fn two_rooms_hear_nothing_of_each_other_while_a_crowd_of_a_hundred_loses_nothing() {
    let server = serve(&[]);
    let page = Page::of(&server);
    open(&page, 2);
    page.fill("#lesson-fields [name='strays']", "3");
    run(&page);
    look(&page, "lesson-2");
    assert_eq!(column(&page, "room"), ["A", "A", "A", "B", "B"]);
    assert!(all_are(&column(&page, "lines of the other room"), "0"), "{:?}", measured(&page));
    // Twenty lines in each room before the crowd came, and twenty after.
    assert!(all_are(&column(&page, "lines"), "40"), "{:?}", measured(&page));
    assert!(all_are(&column(&page, "lost, twice"), "0, 0"), "{:?}", measured(&page));
    for name in ["p50 alone (ms)", "p50 with 100 more (ms)"] {
        assert!(column(&page, name).iter().all(|ms| number(ms) > 0.0), "{name}: {:?}", measured(&page));
    }
    assert_eq!(compared(&page)[0], ("3".to_owned(), "0".to_owned()));
    let said = page.text("#lesson-result .conclusion");
    for figure in ["100 subscribers connected", "2,000 lines received", "0 lost, 0 twice"] {
        assert!(said.contains(figure), "{figure}: {said}");
    }
    let [crowd] = crowds(&server).try_into().unwrap();
    assert_eq!((&crowd["connected"], &crowd["lines"]), (&json!(100), &json!(2_000)));
    leave(&page, &server);
    wait_until("the crowd is gone", || crowds(&server).is_empty());
    page.is_quiet();
}

#[test]
fn a_crowd_that_starts_while_its_lesson_is_left_is_ended_too() {
    let server = serve(&[]);
    let page = Page::of(&server);
    open(&page, 2);
    // The server starts it, and its answer is on the way until it is released.
    let hold_back = "const ask = window.fetch;
        const released = new Promise((release) => (window.release = release));
        window.fetch = async (url, options) => {
            const answer = await ask(url, options);
            if (url === '/api/lab/crowds' && options.method === 'POST') await released;
            return answer;
        }";
    page.run::<()>(hold_back, &[]);
    page.click("#lesson-run");
    wait_within(LESSON_TIMEOUT, "the crowd is started", || !crowds(&server).is_empty());
    leave(&page, &server);
    page.run::<()>("window.release()", &[]);
    wait_until("the crowd is gone", || crowds(&server).is_empty());
    page.is_quiet();
}

fn no_line_is_lost_when_every_connection_is_cut_or_the_server_is_killed(engine: Engine) {
    let folder = TempDir::new().unwrap();
    let arguments = ["--store", "disk", "--data", folder.path().to_str().unwrap()];
    let server = Binary::serve("127.0.0.1:0", &arguments);
    let bind = server.authority.clone();
    let page = Page::shown_by(engine, &server);
    let offered: Vec<_> = page.transports(&server).into_iter().map(|row| row.name).collect();
    open(&page, 3);
    page.fill("#lesson-fields [name='lost']", "12");
    run(&page);
    if engine == Engine::Chromium {
        look(&page, "lesson-3");
    }
    let lost_nothing = || {
        assert_eq!(column(&page, "lane"), offered);
        for name in ["lost", "twice"] {
            assert!(all_are(&column(&page, name), "0"), "{name}: {:?}", measured(&page));
        }
    };
    lost_nothing();
    assert!(all_are(&column(&page, "state"), "live"), "{:?}", measured(&page));
    // The server refused for 4 s: whoever was connected all the time cannot be back earlier.
    for (name, away) in offered.iter().zip(column(&page, "away, since it noticed (s)")) {
        assert!(!STREAMS.contains(&name.as_str()) || number(&away) > 3.0, "{name} was away for {away} s");
    }
    assert_eq!(compared(&page)[0], ("12".to_owned(), "0".to_owned()));

    let id = followed(&page);
    server.kill();
    wait_until("every lane notices", || all_are(&lanes(&page, "state"), "reconnecting"));
    let server = Binary::serve(&bind, &arguments);
    wait_within(BACK_TIMEOUT, "every lane comes to the end", || {
        all_are(&column(&page, "state"), "finished") && all_are(&lanes(&page, "state"), "finished")
    });
    wait_until("how it ended is shown", || page.text("#lanes-status") == "cancelled");
    lost_nothing();
    every_lane_shows_the_end_of(&page, &server, &id);
    leave(&page, &server);
    page.says_nothing_but(|said| page.is_about_a_lost_connection(said));
}

fn six_of_seven_streams_show_lines_and_the_seventh_when_one_is_closed(engine: Engine) {
    let server = serve(&[]);
    let page = Page::shown_by(engine, &server);
    open(&page, 4);
    page.fill("#lesson-fields [name='streams']", "7");
    page.choose("#lesson-fields [name='socket']", "waits too");
    page.click("#lesson-run");
    wait_to_hear(&page, "Six streams are open");
    // Whoever leaves now has six connections to give back, and finds the lesson as it was.
    leave(&page, &server);
    open(&page, 4);
    page.fill("#lesson-fields [name='streams']", "7");
    page.choose("#lesson-fields [name='socket']", "waits too");
    page.click("#lesson-run");
    wait_to_hear(&page, "Six streams are open");
    let held = || (server.waiters(Transport::Sse), server.waiters(Transport::Ndjson));
    assert_eq!(held(), (6, 0), "the server sees six");
    wait_to_hear(&page, "Measured.");
    keep_figures(&page);
    if engine == Engine::Chromium {
        look(&page, "lesson-4");
    }
    assert_eq!(held(), (5, 1), "one was closed, the seventh is open");
    let lines: Vec<_> = column(&page, "lines after 6 s").iter().map(|lines| number(lines)).collect();
    let names: Vec<_> =
        column(&page, "lane").iter().map(|name| name.split(' ').next_back().unwrap().to_owned()).collect();
    assert_eq!(names, ["websocket", "sse", "sse", "sse", "sse", "sse", "sse", "ndjson"]);
    assert!(lines[..7].iter().all(|lines| *lines > 0.0) && lines[7] == 0.0, "{lines:?}");
    assert_eq!(column(&page, "state then")[7], "connecting");
    let now = column(&page, "state now");
    assert_eq!((now[1].as_str(), now[7].as_str()), ("disconnected", "live"));
    assert!(number(&column(&page, "lines now")[7]) > 0.0, "{:?}", measured(&page));
    let expected = [("7", "6"), ("waits too", "shows lines"), ("–", "waits too")];
    assert_eq!(compared(&page), expected.map(|(said, was)| (said.to_owned(), was.to_owned())));
    // Counted from the beginning of this lesson, not of the one that was left.
    assert_eq!(lanes(&page, "requests")[1..7], ["1"; 6]);
    leave(&page, &server);
    page.is_quiet();
}

#[test]
fn six_connections_are_not_shown_while_another_tab_holds_some() {
    let server = serve(&[]);
    let page = Page::of(&server);
    let id = server.create().id;
    page.run::<()>("window.open(arguments[0])", &[format!("/#/{id}").into()]);
    page.to_the_new_tab();
    wait_until("the other tab follows", || server.waiters(Transport::Sse) == 1);
    page.to_the_new_tab();
    wait_until("it is told", || page.text("#held").contains("by other tabs"));
    open(&page, 4);
    page.click("#lesson-run");
    wait_to_hear(&page, "The lesson stopped: other tabs hold some of the six");
    assert_eq!(deployments(&server).len(), 1, "it has begun all the same");
    page.to_the_new_tab();
    page.click(".brand");
    wait_until("the other tab follows nothing", || server.waiters(Transport::Sse) == 0);
    page.to_the_new_tab();
    wait_until("it is told", || page.text("#held") == "0 of 6");
    page.click("#lesson-run");
    wait_to_hear(&page, "Six streams are open");
    page.is_quiet();
}

#[test]
fn a_prediction_stands_beside_theory_and_what_was_measured() {
    const MEASURED_S: f64 = 30.0;
    const INTERVAL_S: f64 = 3.0;
    let server = serve(&[]);
    let page = Page::of(&server);
    open(&page, 5);
    for (name, value) in [("interval", "3"), ("requests", "11"), ("latency", "777")] {
        page.fill(&format!("#lesson-fields [name='{name}']"), value);
    }
    run(&page);
    look(&page, "lesson-5");
    let asked = "return performance.getEntriesByType('resource').map(({ name }) => new URL(name))
        .filter(({ pathname }) => pathname === '/api/theory').map(({ pathname, search }) => pathname + search)";
    let asked: Vec<String> = page.run(asked, &[]);
    let rows = measured(&page);
    assert_eq!(column(&page, "lane"), ["short-poll", "long-poll", "sse"]);
    assert_eq!(asked.len(), rows.len());
    let near = |shown: &str, said: &Value| (number(shown) / said.as_f64().unwrap() - 1.0).abs() < 0.006;
    for row in &rows {
        let [lane, _, requests, _, _, mean, measured] = row.as_slice() else { panic!("{row:?}") };
        let path = asked.iter().find(|path| path.contains(&format!("transport={lane}&"))).unwrap();
        for said in [format!("interval_s={INTERVAL_S}&"), format!("duration_s={MEASURED_S}&")] {
            assert!(path.contains(&said), "{path} says another {said}");
        }
        let theory: Value = server.get(path).json();
        // Over the others no line waits, so there is nothing to predict.
        match lane.as_str() {
            "short-poll" => assert!(near(mean, &theory["latency_ms"]["mean"]), "{row:?}: {theory}"),
            _ => assert_eq!(mean, "–", "{row:?}"),
        }
        match lane.as_str() {
            "sse" => {
                assert_eq!((&row[2], &row[3]), (&"0".to_owned(), &"0".to_owned()), "nothing is asked again")
            }
            _ => assert!(near(requests, &theory["requests"]), "{row:?}: {theory}"),
        }
        assert!(number(measured) > 0.0, "{row:?}");
    }
    let [_, yours, theory, polls, latency, _, mean, ..] = rows[0].as_slice() else { panic!("{rows:?}") };
    assert_eq!((yours.as_str(), theory.as_str(), latency.as_str()), ("11", "10.0", "777"));
    // Bounds that another interval would not keep.
    let expected = MEASURED_S / INTERVAL_S;
    assert!(number(polls) > expected / 2.0 && number(polls) < expected * 1.5, "{polls} polls");
    let (short, stream) = (number(mean), number(&rows[2][6]));
    assert!(short > 500.0 && short < 3_500.0 && stream < short / 2.0, "{short} ms, and {stream} ms");
    assert_eq!(compared(&page), [("11".to_owned(), polls.clone()), ("777".to_owned(), mean.clone())]);
    leave(&page, &server);
    page.is_quiet();
}

#[test]
fn a_lesson_that_the_servers_transports_do_not_allow_says_so_before_it_begins() {
    let server = serve(&["--transports", "short-poll,sse"]);
    let page = Page::of(&server);
    page.click("nav a[href='#/lessons']");
    page.click("#lesson-list a[href='#/lessons/4']");
    wait_until("the lesson is shown", || page.is_shown("#lesson-run"));
    let said = "This lesson needs ndjson and websocket: start the server without --transports, or load \
                the page again.";
    assert_eq!((page.text("#lesson-say").as_str(), page.is_enabled("#lesson-run")), (said, false));
    open(&page, 1);
    let choices = "return [...document.querySelectorAll('[name=slowest] option')].map(({ value }) => value)";
    assert_eq!(page.run::<Vec<String>>(choices, &[]), ["", "short-poll", "sse"]);
    page.is_quiet();
}

#[test]
fn a_lesson_whose_lanes_are_disconnected_measures_nothing() {
    let server = serve(&[]);
    let page = Page::of(&server);
    open(&page, 1);
    page.click("#lesson-run");
    wait_to_hear(&page, "Measured:");
    timeline_is_on_the_screen(&page);
    page.click("#lanes-controls summary");
    page.click("#disconnect-all");
    wait_to_hear(&page, "The lesson stopped: short-poll was disconnected while it was measured");
    assert!(page.is_enabled("#lesson-run") && page.text("#lesson-result").is_empty());
    leave(&page, &server);
    page.is_quiet();
}

#[test]
fn without_a_lab_no_outage_is_begun_and_the_server_says_why() {
    let server = serve(&["--no-lab"]);
    let page = Page::of(&server);
    open(&page, 3);
    page.click("#lesson-run");
    wait_to_hear(&page, "The lesson stopped: this server has no lab, since it was started with --no-lab");
    assert!(page.is_enabled("#lesson-run") && deployments(&server).is_empty());
    leave(&page, &server);
    page.says_nothing_but(|said| said.contains("status of 404"));
}

#[test]
fn without_a_lab_the_rooms_are_shown_and_why_there_is_no_crowd() {
    let server = serve(&["--no-lab"]);
    let page = Page::of(&server);
    open(&page, 2);
    run(&page);
    assert!(all_are(&column(&page, "lines of the other room"), "0"), "{:?}", measured(&page));
    assert!(all_are(&column(&page, "lines"), "20"), "{:?}", measured(&page));
    assert!(all_are(&column(&page, "p50 with 100 more (ms)"), "–"), "{:?}", measured(&page));
    let said = page.text("#lesson-result .conclusion");
    assert!(said.contains("There was no crowd: this server has no lab"), "{said}");
    leave(&page, &server);
    page.says_nothing_but(|said| said.contains("status of 404"));
}

#[test]
fn a_page_that_is_loaded_again_leaves_nothing_of_its_lesson() {
    let server = serve(&[]);
    let page = Page::of(&server);
    open(&page, 1);
    page.click("#lesson-run");
    wait_until("it has begun", || !deployments(&server).is_empty());
    page.reload();
    wait_until("its deployments are deleted", || deployments(&server).is_empty());
    wait_until("the lesson asks", || page.is_shown("#lesson-run"));
    page.is_quiet();
}

#[test]
fn an_outage_does_not_end_a_lesson_and_a_crowd_in_the_way_has_a_button() {
    let server = serve(&[]);
    let page = Page::of(&server);
    // Another page's crowds take all places.
    let id = server.create().id;
    for _ in 0..4 {
        let crowd = json!({"deployment": id, "transport": "sse", "subscribers": 1});
        assert_eq!(server.post("/api/lab/crowds", "application/json", crowd.to_string()).status, 201);
    }
    open(&page, 2);
    page.click("#lesson-run");
    wait_to_hear(&page, "Alone:");
    let outage = server.post("/api/lab/outage", "application/json", json!({"refuse_s": 2}).to_string());
    assert_eq!(outage.status, 202);
    wait_until("it says so", || page.text("#lesson-away").starts_with("The server is away"));
    wait_to_hear(&page, "Measured.");
    assert!(all_are(&column(&page, "lines of the other room"), "0"), "{:?}", measured(&page));
    let said = page.text("#lesson-result .conclusion");
    assert!(said.contains("4 crowds run already") && said.contains("The server was away"), "{said}");
    page.click("#lesson-result .conclusion button");
    wait_until("it is ended", || page.text("#lesson-result .conclusion").contains("has ended"));
    assert_eq!(crowds(&server).len(), 3);
    page.says_nothing_but(|said| page.is_about_a_lost_connection(said) || said.contains("status of 409"));
}
