//! What a person reads: lines that try to be more than text, and what is said when something is wrong.

use serde_json::json;
use wirelab_clients::wire::TransportInfo;

use crate::browser::{Engine, in_every_browser};
use crate::http::Api;
use crate::page::{Page, wait_until};
use crate::server::Binary;

in_every_browser! {
    a_page_that_is_not_quiet_is_heard;
    hostile_lines_are_text_and_nothing_else;
    a_hostile_name_is_text_too;
}

fn serve(arguments: &[&str]) -> Binary {
    Binary::serve("127.0.0.1:0", &[&["--store", "memory"], arguments].concat())
}

/// A refused request is logged by Chromium itself; nothing else may be.
#[track_caller]
fn only_refusals(page: &Page, statuses: &[&str]) {
    page.says_nothing_but(|said| statuses.iter().any(|status| said.contains(status)));
}

/// Or every test that says that a page is quiet says nothing.
fn a_page_that_is_not_quiet_is_heard(engine: Engine) {
    let server = serve(&[]);
    let page = Page::shown_by(engine, &server);
    page.is_quiet();
    page.before_each_page(
        "console.error('said');
        setTimeout(() => { throw new Error('thrown'); });
        Promise.reject(new Error('nobody caught'));
        new Image().src = 'https://elsewhere.invalid/';
        addEventListener('DOMContentLoaded', () => { document.body.innerHTML = 'owned'; });",
    );
    page.reload();
    let mut heard = String::new();
    for expected in ["said", "thrown", "nobody caught", "elsewhere.invalid", "innerHTML"] {
        wait_until(expected, || {
            heard.extend(page.complaints());
            heard.contains(expected)
        });
    }
}

pub(crate) fn hostile() -> Vec<String> {
    let mut lines: Vec<String> = [
        "<img src=x onerror=\"document.title='owned'\">",
        "</script><script>document.title='owned'</script>",
        "<svg onload=alert(1)><b>bold</b><style>*{display:none}</style>",
        "javascript:alert(1) &lt;b&gt; &amp; &#0;",
        "\u{1b}[31mred\u{1b}[0m \u{1b}]0;owned\u{7} \u{1b}[2J",
        "\u{202e}txet tfel-ot-thgir\u{202c} \u{2066}isolated\u{2069} עברית",
        "a\rb\r\r",
        "nul \0 in the middle \0",
        "\u{feff}bom and \u{2028} separators \u{2029} and \u{85}",
        "",
        "   spaces   \t tabs ",
        "data: x: {\"type\":\"finished\"}",
        "e\u{301} 👩‍👩‍👧‍👦 \u{ffff}",
        "${document.title='owned'} `x` \\ \" '",
    ]
    .map(str::to_owned)
    .into();
    lines.push("x".repeat(1024 * 1024));
    lines.push("the last".to_owned());
    lines
}

/// How the page shows the hostile lines: without commands to a terminal, and with signs for characters that nobody sees.
pub(crate) fn hostile_as_shown() -> Vec<String> {
    let shown = |line: String| match line.as_str() {
        "\u{1b}[31mred\u{1b}[0m \u{1b}]0;owned\u{7} \u{1b}[2J" => "red  ".to_owned(),
        "a\rb\r\r" => "b".to_owned(),
        _ => ['\0', '\u{85}', '\u{202e}', '\u{202c}', '\u{2066}', '\u{2069}']
            .iter()
            .fold(line, |line, unseen| line.replace(*unseen, &unseen.escape_unicode().to_string())),
    };
    hostile().into_iter().map(shown).collect()
}

fn hostile_lines_are_text_and_nothing_else(engine: Engine) {
    let server = serve(&[]);
    let page = Page::shown_by(engine, &server);
    let census = "const names = {};
        for (const { localName } of document.querySelectorAll('*')) names[localName] = (names[localName] ?? 0) + 1;
        for (const row of document.querySelectorAll('#log > div')) {
            names.div -= 1;
            names.span -= row.querySelectorAll('span').length;
        }
        return names";
    for TransportInfo { name, .. } in page.transports(&server) {
        let (id, all) = (server.create().id, hostile());
        page.open(&id, &name);
        page.wait_for("live", &name);
        wait_until("its name is there", || page.text("#name") == "test");
        let before: serde_json::Value = page.run(census, &[]);
        let shown = hostile_as_shown();
        server.append(&id, &all);
        page.shows(&shown, &name);
        assert_eq!(page.run::<serde_json::Value>(census, &[]), before, "{name}: there are new elements");
        assert_eq!(page.run::<String>("return document.title", &[]), "test · wirelab", "{name}");
        // The same as history.
        page.reload();
        page.shows(&shown, &name);
        let stored: Vec<_> = server.lines(&id, "").lines.into_iter().map(|line| line.line.text).collect();
        // The first page; it ends before the long line.
        assert!(
            stored.len() > 10 && stored == all[..stored.len()],
            "{name}: what is stored is not what came"
        );
        assert_eq!(page.run::<String>("return document.title", &[]), "test · wirelab", "{name}");
    }
    page.is_quiet();
}

fn a_hostile_name_is_text_too(engine: Engine) {
    let server = serve(&[]);
    let name = "<img src=x onerror=alert(1)></title><script>";
    let created = server.post("/api/deployments", "application/json", json!({ "name": name }).to_string());
    let id = created.json::<wirelab_clients::wire::Deployment>().id;
    let page = Page::shown_by(engine, &server);
    wait_until("it is listed", || page.text("#list").contains(name));
    page.open(&id, "sse");
    wait_until("it is shown", || page.text("#name") == name);
    assert_eq!(page.run::<u32>("return document.querySelectorAll('img').length", &[]), 0);
    page.is_quiet();
}

#[test]
fn stderr_and_levels_are_marked() {
    let server = serve(&[]);
    let id = server.create().id;
    let body = "{\"text\":\"plain\"}\n{\"text\":\"bad\",\"stream\":\"stderr\",\"level\":\"warn\"}\n";
    assert_eq!(
        server.post(&format!("/api/deployments/{id}/lines"), "application/x-ndjson", body).status,
        201
    );
    let page = Page::of(&server);
    page.open(&id, "sse");
    page.shows(&["plain", "bad"], "sse");
    let marks =
        "return [...document.querySelectorAll('#log .stream, #log .level')].map((mark) => mark.textContent)";
    let marks: Vec<String> = page.run(marks, &[]);
    assert_eq!(marks, ["", "err", "warn"]);
    page.is_quiet();
}

#[test]
fn clear_empties_the_log_and_the_counts_go_on() {
    let server = serve(&[]);
    let page = Page::of(&server);
    let id = server.create().id;
    server.append(&id, &["a", "b"]);
    page.open(&id, "sse");
    page.wait_for("live", "sse");
    server.append(&id, &["c"]);
    page.shows(&["a", "b", "c"], "sse");
    page.click("#clear");
    assert_eq!(page.line_count(), 0);
    server.append(&id, &["d"]);
    wait_until("the next line is shown", || page.lines() == [(4, "d".to_owned())]);
    assert_eq!(page.counts(), ("2".to_owned(), "2".to_owned()));
    assert_eq!(page.text("#state"), "live");
    page.is_quiet();
}

#[test]
fn a_gap_is_told_and_connect_goes_on_behind_it() {
    let server = serve(&["--retain-lines", "5"]);
    let page = Page::of(&server);
    for TransportInfo { name, .. } in page.transports(&server) {
        let id = server.create().id;
        server.append(&id, &["a", "b"]);
        page.open(&id, &name);
        page.wait_for("live", &name);
        page.shows(&["a", "b"], &name);
        page.click("#disconnect");
        page.wait_for("disconnected", &name);
        server.append(&id, &(3..=20).map(|i| i.to_string()).collect::<Vec<_>>());
        page.click("#connect");
        page.wait_for("gap", &name);
        let epoch = server.show(&id).next.epoch;
        for cursor in [format!("{epoch}.2"), format!("{epoch}.15")] {
            assert!(page.text("#detail").contains(&cursor), "{name}: {}", page.text("#detail"));
        }
        page.click("#connect");
        page.wait_for("live", &name);
        wait_until("what is left is shown", || page.line_count() == 7);
        let numbers: Vec<_> = page.lines().into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(numbers, [1, 2, 16, 17, 18, 19, 20], "{name}");
        let notes = page.notes();
        assert!(notes.contains(&"lines 3 to 15 are gone".to_owned()), "{name}: {notes:?}");
        assert_eq!(page.text("#order"), "each once, in order", "{name}");
    }
    only_refusals(&page, &["status of 410", "Unexpected response code: 410"]);
}

#[test]
fn a_deployment_that_is_deleted_or_unknown_is_told() {
    let server = serve(&[]);
    let page = Page::of(&server);
    for TransportInfo { name, .. } in page.transports(&server) {
        let id = server.create().id;
        server.append(&id, &["a"]);
        page.open(&id, &name);
        page.wait_for("live", &name);
        page.shows(&["a"], &name);
        assert_eq!(server.ask("DELETE", &format!("/api/deployments/{id}"), &[], b"").status, 204);
        page.wait_for("deleted", &name);
        assert!(
            page.text("#detail").len() > 10 && page.is_shown("#detail"),
            "{name}: {}",
            page.text("#detail")
        );
        // What was read stays; to connect again is to be told again, by every transport.
        page.shows(&["a"], &name);
        page.click("#connect");
        wait_until("it is told again", || page.text("#detail").contains(id.as_str()));
        page.wait_for("deleted", &name);
        wait_until("it can be tried again", || page.is_enabled("#connect"));
    }
    let unknown = "01k3aaaaaaaa".parse().unwrap();
    page.open(&unknown, "sse");
    page.wait_for("missing", "one that never was");
    assert!(page.text("#detail").contains("01k3aaaaaaaa"), "{}", page.text("#detail"));
    only_refusals(&page, &["status of 404", "Unexpected response code: 404"]);
}

/// As a proxy with its own mind may answer, in front of the server.
#[test]
fn a_refusal_is_told_and_overload_passes() {
    let server = serve(&[]);
    let page = Page::of(&server);
    let (open, refused, overloaded) = (server.create().id, server.create().id, server.create().id);
    let path = |id| format!("/api/deployments/{id}");
    let problem = |detail: &str| json!({ "title": "No", "status": 403, "detail": detail });
    page.answer_instead(&path(&refused), 403, &problem("ask the owner of this log"));
    page.answer_instead(&path(&overloaded), 503, &problem("too many are here"));
    page.reload();
    page.open(&open, "sse");
    wait_until("its commands are offered", || page.is_shown("#publish"));
    page.open(&refused, "sse");
    page.wait_for("refused", "403");
    assert!(!page.is_shown("#publish"), "the commands of the deployment before are still there");
    assert_eq!(page.text("#detail"), "ask the owner of this log");
    assert!(page.is_enabled("#connect") && !page.is_enabled("#disconnect"));
    page.open(&overloaded, "sse");
    page.wait_for("reconnecting", "503");
    // Not before the server wants to be asked again, and within as long again.
    let detail = page.text("#detail");
    let wait_s =
        detail.strip_prefix("too many are here; next try in ").and_then(|rest| rest.strip_suffix(" s"));
    let wait_s: f64 = wait_s.unwrap_or_else(|| panic!("{detail}")).parse().unwrap();
    assert!((7.1..=14.0).contains(&wait_s), "{detail}");
    page.click("#disconnect");
    page.wait_for("disconnected", "503");
    page.is_quiet();
}

#[test]
fn pages_that_are_advised_the_same_time_come_back_apart() {
    const PAGES: u32 = 100;
    let server = serve(&[]);
    let page = Page::of(&server);
    let script = "const [pages, advised_ms] = arguments;
        return import('/backoff.js').then(({ Backoff }) =>
            Array.from({ length: pages }, () => new Backoff(500).failed(advised_ms)))";
    for (advised_ms, spread_ms) in [(0.0, 500.0), (5_000.0, 5_000.0)] {
        let waits_ms: Vec<f64> = page.run(script, &[json!(PAGES), json!(advised_ms)]);
        let waited_ms = advised_ms + 100.0..=advised_ms + spread_ms;
        assert!(waits_ms.iter().all(|wait_ms| waited_ms.contains(wait_ms)), "{waits_ms:?}");
        let middle_ms = (waited_ms.start() + waited_ms.end()) / 2.0;
        let (early, late): (Vec<f64>, Vec<f64>) =
            waits_ms.into_iter().partition(|wait_ms| *wait_ms < middle_ms);
        assert!(!early.is_empty() && !late.is_empty(), "after {advised_ms} ms all come together");
    }
    page.is_quiet();
}

/// The table is that of the Rust clients, so both languages have one rule.
#[test]
fn the_rule_of_waiting_is_that_of_the_rust_clients_case_by_case() {
    let server = serve(&[]);
    let page = Page::of(&server);
    let cases = include_str!("../../clients/src/backoff/cases.json");
    let cases: Vec<serde_json::Value> = serde_json::from_str(cases).unwrap();
    let script = "const [cases] = arguments;
        return import('/backoff.js').then(({ waitOf_ms }) => cases.map((c) =>
            waitOf_ms(c.first_ceiling_ms, c.step, c.advised_ms ?? undefined, c.drawn)))";
    let waits_ms: Vec<f64> = page.run(script, &[json!(cases)]);
    assert_eq!(waits_ms.len(), cases.len());
    for (case, wait_ms) in cases.iter().zip(waits_ms) {
        assert_eq!(Some(wait_ms), case["wait_ms"].as_f64(), "{case}");
    }
    page.is_quiet();
}

#[test]
fn a_page_reads_advice_as_a_number_or_a_date_and_knows_what_passes() {
    let server = serve(&[]);
    let page = Page::of(&server);
    let script = "const [answers] = arguments;
        return import('/refusal.js').then(({ refusalOf }) => Promise.all(answers.map(([status, advice]) =>
            refusalOf(new Response('{}', { status, headers: {
                date: 'Sun, 06 Nov 1994 08:49:37 GMT', ...(advice === null ? {} : { 'retry-after': advice }) } }))
                .then(({ state, advised_ms }) => [state, advised_ms ?? null]))))";
    let later = |advised_ms: Option<f64>| ("later".to_owned(), advised_ms);
    let refused = ("refused".to_owned(), None);
    let cases = [
        ((503, Some("7")), later(Some(7_000.0))),
        ((503, Some("0")), later(Some(0.0))),
        ((503, Some("Sun, 06 Nov 1994 08:49:47 GMT")), later(Some(10_000.0))),
        ((503, Some("Sun, 06 Nov 1994 08:49:00 GMT")), later(Some(0.0))),
        ((503, Some("1.5")), later(None)),
        ((503, Some("-1")), later(None)),
        ((503, None), later(None)),
        ((408, None), later(None)),
        ((429, None), later(None)),
        ((500, None), later(None)),
        ((502, None), later(None)),
        ((504, None), later(None)),
        ((507, None), later(None)),
        ((501, None), refused.clone()),
        ((505, None), refused.clone()),
        ((400, None), refused),
    ];
    let answers: Vec<_> = cases.iter().map(|(answer, _)| answer).collect();
    let states: Vec<(String, Option<f64>)> = page.run(script, &[json!(answers)]);
    for ((answer, expected), state) in cases.iter().zip(&states) {
        assert_eq!(state, expected, "{answer:?}");
    }
    page.is_quiet();
}

#[test]
fn a_transport_without_a_browser_half_is_shown_as_such() {
    let server = serve(&[]);
    let page = Page::of(&server);
    let mut rows: Vec<serde_json::Value> = server.get("/api/transports").json();
    let id = server.create().id;
    rows.push(json!({
        "name": "pigeon", "wire": "pigeon", "path": "/api/deployments/{id}/pigeon",
        "waits": "nobody", "summary": "Unknown here."
    }));
    page.answer_instead("/api/transports", 200, &json!(rows));
    page.reload();
    page.open(&id, "sse");
    page.wait_for("live", "sse");
    let options =
        "return [...document.querySelectorAll('#transport option')].map((o) => [o.text, o.disabled])";
    let options: Vec<(String, bool)> = page.run(options, &[]);
    assert_eq!(options.last(), Some(&("pigeon (no browser half)".to_owned(), true)));
    assert_eq!(options.iter().filter(|(_, disabled)| *disabled).count(), 1);
    only_refusals(&page, &["/transports/pigeon.js"]);
}

/// The page shows the newest lines of a long log and says how many are above.
#[test]
fn a_long_log_does_not_fill_the_page() {
    const SHOWN_MAX: usize = 5_000;
    let server = serve(&[]);
    let page = Page::of(&server);
    let id = server.create().id;
    append_numbered(&server, &id, 1, 6_000);
    page.open(&id, "ndjson");
    page.wait_for("live", "ndjson");
    wait_until("the newest are shown", || page.lines().last().is_some_and(|(seq, _)| *seq == 6_000));
    append_numbered(&server, &id, 6_001, 9_000);
    wait_until("the newest are shown", || page.lines().last().is_some_and(|(seq, _)| *seq == 9_000));
    let rows: usize = page.run("return document.querySelectorAll('#log > *').length", &[]);
    assert_eq!(rows, SHOWN_MAX);
    let above: String = page.run("return document.querySelector('#above output').value", &[]);
    assert_eq!(above.replace(',', "").parse::<usize>().unwrap(), 9_000 - page.line_count());
    assert_eq!(page.counts(), ("5,000".to_owned(), "3,000".to_owned()));
    assert_eq!(page.text("#order"), "each once, in order");
    page.is_quiet();
}

fn append_numbered(server: &Api, id: &wirelab_clients::wire::DeploymentId, first: u32, last: u32) {
    server.append(id, &(first..=last).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[test]
fn the_log_scrolls_along_only_for_who_is_at_its_end() {
    let server = serve(&[]);
    let page = Page::of(&server);
    let id = server.create().id;
    append_numbered(&server, &id, 1, 300);
    page.open(&id, "sse");
    page.wait_for("live", "sse");
    let below = "const { scrollHeight, scrollTop, clientHeight } = document.querySelector('#log');
        return Math.round(scrollHeight - scrollTop - clientHeight)";
    wait_until("the end is shown", || page.line_count() == 300 && page.run::<i64>(below, &[]) == 0);
    append_numbered(&server, &id, 301, 320);
    wait_until("it scrolls along", || page.line_count() == 320 && page.run::<i64>(below, &[]) == 0);
    assert!(!page.is_shown("#jump"));
    // By keyboard: the log takes the focus.
    page.press("#log", "\u{e010}\u{e011}");
    wait_until("the start is shown", || {
        page.run::<i64>("return document.querySelector('#log').scrollTop", &[]) == 0
    });
    append_numbered(&server, &id, 321, 340);
    wait_until("the lines are there", || page.line_count() == 340);
    assert_eq!(page.run::<i64>("return document.querySelector('#log').scrollTop", &[]), 0);
    page.click("#jump");
    wait_until("the end is shown again", || page.run::<i64>(below, &[]) == 0 && !page.is_shown("#jump"));
    page.is_quiet();
}

#[test]
fn a_selection_stays_while_lines_come_and_a_copy_keeps_empty_lines() {
    let server = serve(&[]);
    let page = Page::of(&server);
    let id = server.create().id;
    server.append(&id, &["first", "", "third"]);
    page.beside(&id);
    page.wait_for_lanes("live");
    let log = ".lane[data-transport=sse] [data-part=log]";
    let select = "const rows = [...document.querySelectorAll(`${arguments[0]} .text`)];
        getSelection().setBaseAndExtent(rows[0], 0, rows[2], 1);
        // What the browser sends when the visitor copies.
        const event = new ClipboardEvent('copy', { clipboardData: new DataTransfer(), bubbles: true, cancelable: true });
        rows[0].dispatchEvent(event);
        return event.clipboardData.getData('text/plain')";
    wait_until("the lines are there", || {
        page.run::<usize>("return document.querySelectorAll(`${arguments[0]} .line`).length", &[log.into()])
            == 3
    });
    assert_eq!(page.run::<String>(select, &[log.into()]), "first\n\nthird");
    let many: Vec<_> = (0..400).map(|i| format!("line {i}")).collect();
    server.append(&id, &many[..100]);
    // In another lane the visitor reads above the newest line.
    let reading = ".lane[data-transport=ndjson] [data-part=log]";
    let rows = |log: &str| {
        page.run::<usize>("return document.querySelectorAll(`${arguments[0]} .line`).length", &[log.into()])
    };
    wait_until("the reader has lines to scroll", || rows(reading) == 103);
    page.run::<()>("document.querySelector(arguments[0]).scrollTop = 0", &[reading.into()]);
    wait_until("the lane offers the way back", || {
        page.is_shown(".lane[data-transport=ndjson] [data-part=jump]")
    });
    for piece in many[100..].chunks(100) {
        server.append(&id, piece);
    }
    let another = page.lanes().into_iter().find(|lane| lane.transport == "websocket").unwrap();
    wait_until("another lane is trimmed", || {
        page.lane_lines(&another).first().is_some_and(|(seq, _)| *seq > 3)
    });
    assert!(
        page.run::<String>("return getSelection().toString()", &[]).starts_with("first"),
        "the selection stays"
    );
    wait_until("the reader's lines are there", || rows(reading) == 403);
    assert_eq!(
        page.run::<i64>("return document.querySelector(arguments[0]).scrollTop", &[reading.into()]),
        0
    );
    page.is_quiet();
}
