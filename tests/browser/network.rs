//! Distance on the page: the panel that sets the network, the lesson about it, and what the timeline makes of it.

use std::time::Duration;

use serde_json::{Value, json};
use wirelab_clients::delay_line::CANNOT_SHOW;
use wirelab_clients::wire::DeploymentId;

use crate::http::Api;
use crate::lanes::fed;
use crate::lessons::{
    column, keep_figures, leave, measured, open, rows_of_verdicts, serve, timeline_is_on_the_screen,
    wait_to_hear,
};
use crate::looks::look;
use crate::page::{Page, number, wait_until, wait_within};
use crate::server::Binary;

/// The delay of the lesson, each way, ms.
const DELAY_MS: f64 = 100.0;
/// A key, as WebDriver writes it.
const ARROW_RIGHT: &str = "\u{e014}";

/// What the server says of the network.
fn network(server: &Api) -> Value {
    server.get("/api/lab/network").json()
}

fn is_none(server: &Api) -> bool {
    network(server) == json!({ "delay_ms": 0.0, "jitter_ms": 0.0, "link_kbit_s": null, "silence_s": 0.0 })
}

fn generated(server: &Binary) -> DeploymentId {
    fed(server, json!({"kind": "generate", "rate_hz": 5.0}))
}

/// Opens a deployment side by side, with the panel unfolded.
#[track_caller]
fn beside_with_panel(page: &Page, id: &DeploymentId) {
    page.beside(id);
    page.click("#network summary");
    wait_until("the panel is open", || page.is_shown("#network-form"));
}

#[test]
fn the_sixth_lesson_predicts_what_distance_costs_each_lane() {
    let server = serve(&[]);
    let page = Page::of(&server);
    open(&page, 6);
    for (name, value) in [("short", "600"), ("long", "135"), ("stream", "50")] {
        page.fill(&format!("#lesson-fields [name='{name}']"), value);
    }
    page.click("#lesson-run");
    wait_to_hear(&page, "Measured:");
    assert_eq!(network(&server)["delay_ms"], DELAY_MS);
    assert_eq!(page.text("#network-state"), "100 ms each way");
    timeline_is_on_the_screen(&page);
    wait_within(Duration::from_secs(180), "it ends", || page.text("#lesson-say") == "Measured.");
    look(&page, "lesson-6");
    assert!(is_none(&server), "the lesson left {}", network(&server));
    keep_figures(&page);

    assert_eq!(column(&page, "lane"), ["short-poll", "long-poll", "sse", "websocket"]);
    let asked = "return performance.getEntriesByType('resource').map(({ name }) => new URL(name))
        .filter(({ pathname }) => pathname === '/api/theory').map(({ pathname, search }) => pathname + search)";
    let asked: Vec<String> = page.run(asked, &[]);
    let near = |shown: &str, said: &Value| (number(shown) / said.as_f64().unwrap() - 1.0).abs() < 0.006;
    let rows = measured(&page);
    for row in &rows {
        let [lane, _, mean, measured, range, most] = row.as_slice() else { panic!("{row:?}") };
        let path = asked.iter().find(|path| path.contains(&format!("transport={lane}&"))).unwrap();
        assert!(path.contains("interval_s=1&") && path.contains("round_trip_ms=200"), "{path}");
        let theory: Value = server.get(path).json();
        let latency = &theory["latency_ms"];
        assert!(near(mean, &latency["mean"]), "{row:?}: {theory}");
        assert!(range.starts_with("100"), "{row:?}");
        // No line comes before its way is over, whatever else the machine does; a busy one makes them later.
        assert!(number(measured) >= 98.0 && number(most) >= 98.0, "{row:?}");
    }
    let [short, long, stream, _] = [0, 1, 2, 3].map(|lane: usize| number(&rows[lane][3]));
    assert!(short > 450.0 && long > stream, "{rows:?}");
    let long_most = rows[1][4].clone();
    assert_eq!(long_most, "100 to 300");
    // What theory says is right, however late the browser was. Right is what lies between it and the measurement, or 25 ms beside.
    let verdicts = rows_of_verdicts(&page);
    assert!(verdicts[1].starts_with("✓ right ("), "{verdicts:?}: {rows:?}");
    assert!(verdicts[2].starts_with("✗ wrong (right: "), "{verdicts:?}: {rows:?}");
    for lane in [1, 2] {
        let [theory, measured] = [2, 3].map(|column: usize| number(&rows[lane][column]));
        let (least, most) = allowed(&verdicts[lane]);
        // Both numbers are rounded on the page.
        assert!((least - (theory.min(measured) - 25.0)).abs() < 1.1, "{verdicts:?}: {rows:?}");
        assert!((most - (theory.max(measured) + 25.0)).abs() < 1.1, "{verdicts:?}: {rows:?}");
    }
    leave(&page, &server);
    page.is_quiet();
}

/// The least and the most that a verdict of the page allows.
fn allowed(verdict: &str) -> (f64, f64) {
    let (_, range) = verdict.trim_end_matches(')').split_once('(').unwrap();
    let (least, most) = range.trim_start_matches("right: ").split_once(" to ").unwrap();
    (number(least), number(most))
}

#[test]
fn a_lesson_that_is_left_in_the_middle_takes_its_network_away() {
    let server = serve(&[]);
    let page = Page::of(&server);
    open(&page, 6);
    page.click("#lesson-run");
    wait_to_hear(&page, "Measured:");
    assert_eq!(network(&server)["delay_ms"], DELAY_MS);
    leave(&page, &server);
    wait_until("left", || is_none(&server));

    open(&page, 6);
    page.click("#lesson-run");
    wait_to_hear(&page, "Measured:");
    assert_eq!(network(&server)["delay_ms"], DELAY_MS);
    page.goto("about:blank");
    wait_until("closed", || is_none(&server));
}

#[test]
fn without_a_lab_the_sixth_lesson_and_the_panel_say_why() {
    let server = serve(&["--no-lab"]);
    let page = Page::of(&server);
    open(&page, 6);
    page.click("#lesson-run");
    wait_to_hear(&page, "The lesson stopped: this server has no lab, since it was started with --no-lab");
    leave(&page, &server);
    page.beside(&generated(&server));
    page.wait_for_lanes("live");
    page.says_nothing_but(|said| said.contains("status of 404"));
    page.click("#network summary");
    wait_until("it says why", || page.text("#network-note").contains("--no-lab"));
    for control in ["preset", "delay", "jitter", "rate", "silence", "fall-silent", "none"] {
        assert!(!page.is_enabled(&format!("#network-{control}")), "{control}");
    }
    page.says_nothing_but(|said| said.contains("status of 404"));
}

#[test]
fn the_panel_sets_the_network_and_every_page_shows_it() {
    let server = serve(&[]);
    let page = Page::of(&server);
    let id = generated(&server);
    beside_with_panel(&page, &id);
    page.wait_for_lanes("live");
    assert_eq!(page.text("#network-state"), "none");
    assert!(page.text("#network").contains(CANNOT_SHOW), "{}", page.text("#network"));
    let unnamed = "return [...document.querySelectorAll('#network-form :is(input, select, button)')]
        .filter((control) => (control.labels?.length ?? 0) === 0 && control.textContent === '')
        .map(({ id }) => id)";
    assert_eq!(page.run::<Vec<String>>(unnamed, &[]), Vec::<String>::new());

    for (preset, delay_ms, jitter_ms, link_kbit_s, said) in [
        ("same room", 0.5, 0.0, None, "0.5 ms each way"),
        ("same city", 3.0, 1.0, None, "3 ms each way, ± 1 ms"),
        ("other continent", 75.0, 3.0, None, "75 ms each way, ± 3 ms"),
        ("3G", 75.0, 25.0, Some(1_600), "75 ms each way, ± 25 ms, 1,600 kbit/s"),
    ] {
        page.choose("#network-preset", preset);
        wait_until(preset, || page.text("#network-state") == said);
        let expected = json!({ "delay_ms": delay_ms, "jitter_ms": jitter_ms, "link_kbit_s": link_kbit_s,
                               "silence_s": 0.0 });
        assert_eq!(network(&server), expected, "{preset}");
        assert!(!page.text("#network-source").is_empty(), "{preset} has no source");
    }
    // Another page shows it, too.
    page.run::<()>("window.open(arguments[0])", &[format!("/#/{id}").into()]);
    page.to_the_new_tab();
    wait_until("the other page shows it", || {
        page.text("#network-state") == "75 ms each way, ± 25 ms, 1,600 kbit/s"
    });
    page.to_the_new_tab();

    // By the keyboard.
    page.press("#network-delay", ARROW_RIGHT);
    wait_until("the slider moves it", || network(&server)["delay_ms"] == 75.5);
    assert_eq!(page.text("#network-delay-value"), "75.5 ms");
    wait_until("it is no preset", || {
        page.run::<String>("return document.querySelector('#network-preset').value", &[]) == "own values"
    });
    page.choose("#network-preset", "other continent");
    wait_until("it is set", || network(&server)["jitter_ms"] == 3.0);
    look(&page, "network");
    page.click("#network-none");
    wait_until("it is taken away", || is_none(&server) && page.text("#network-state") == "none");
    page.is_quiet();
}

#[test]
fn the_panel_is_there_while_the_network_is_silent_and_lanes_come_back_without_a_loss() {
    let server = serve(&[]);
    let page = Page::of(&server);
    beside_with_panel(&page, &generated(&server));
    page.slide("interval", 0.5);
    page.wait_for_lanes("live");
    page.choose("#network-preset", "tunnel");
    wait_until("it is in the tunnel", || page.text("#network-state").contains("silent for"));
    page.click("#network-none");
    wait_until("it is out of the tunnel", || is_none(&server));
    page.wait_for_lanes("live");
    page.choose("#network-preset", "same city");
    wait_until("it is set", || network(&server)["delay_ms"] == 3.0);
    // Longer than what follows takes on a busy machine.
    page.fill("#network-silence", "30");
    page.click("#network-fall-silent");
    wait_until("it is silent", || page.text("#network-state").contains("silent for"));
    let lines = || page.lanes().iter().map(|lane| number(&page.of_lane(lane, "lines"))).sum::<f64>();
    let mut before = f64::NAN;
    wait_until("nothing arrives", || {
        std::thread::sleep(Duration::from_millis(700));
        let now = lines();
        std::mem::replace(&mut before, now) == now
    });
    assert!(network(&server)["silence_s"].as_f64().unwrap() > 0.0);
    // The panel works meanwhile.
    page.press("#network-delay", ARROW_RIGHT);
    wait_until("it can be changed", || network(&server)["delay_ms"] == 3.5);
    assert!(network(&server)["silence_s"].as_f64().unwrap() > 0.0, "the change ended the silence");
    wait_within(Duration::from_secs(120), "lines come again", || lines() > before + 25.0);
    page.click("#network-none");
    page.wait_for_lanes("live");
    let orders: Vec<_> = page.lanes().iter().map(|lane| page.of_lane(lane, "order")).collect();
    assert!(orders.iter().all(|order| order == "none"), "{orders:?}");
    page.says_nothing_but(|said| page.is_about_a_lost_connection(said));
}

#[test]
fn slants_are_as_wide_as_the_delay_and_a_round_trip_is_not_a_hold() {
    let server = serve(&[]);
    let page = Page::of(&server);
    // A poll whose answer comes after its round trip, one that is held for 300 ms, a stream with one line.
    let script = r"return Promise.all([import('/lanes/strip.js'), import('/lanes/paint.js')]).then(
      ([{ Strip, isHeld }, { View, linesOf, paintStrip, paletteOf }]) => {
        const drawn = (delay_ms) => {
          const strip = new Strip();
          strip.distance({ delay_ms, jitter_ms: 0 });
          strip.wire({ kind: 'asked', id: 1, at: 1000 });
          strip.wire({ kind: 'answered', id: 1, at: 1205, outcome: 'empty' });
          strip.wire({ kind: 'asked', id: 2, at: 2000 });
          strip.wire({ kind: 'answered', id: 2, at: 2500, outcome: 'data', lines: 1 });
          strip.wire({ kind: 'asked', id: 3, at: 3000 });
          strip.wire({ kind: 'opened', id: 3, at: 3200 });
          strip.wire({ kind: 'pushed', at: 4000, lines: 1 });
          strip.wire({ kind: 'said', at: 4500, what: 'ping' });
          const context = document.createElement('canvas').getContext('2d');
          const slants = [];
          let from = null;
          const { moveTo, lineTo, fillRect } = context;
          const bars = [];
          context.moveTo = function (x, y) { from = [x, y]; moveTo.call(this, x, y); };
          context.lineTo = function (x, y) { slants.push([...from, x, y]); lineTo.call(this, x, y); };
          context.fillRect = function (...box) { bars.push(box); fillRect.call(this, ...box); };
          const view = new View({ now: 5000, scale: 0.2, offset: 0, left: 0, right: 1000, settled: true });
          const lines = linesOf(0, 90);
          paintStrip(context, paletteOf(document.body), view, lines, strip);
          const across = slants.filter(([, y, , to]) => (y === lines.client && to === lines.server) || (y === lines.server && to === lines.client));
          return {
            held: [strip.requests.at(0), strip.requests.at(1)].map((request) => isHeld(request, 5000)),
            slants: across.map(([x, , to]) => [x, to]),
            bars: bars.map(([x, , width]) => [x, x + width]),
          };
        };
        return [drawn(100), drawn(0)];
      })";
    #[derive(Debug, serde::Deserialize)]
    struct Drawn {
        held: [bool; 2],
        slants: Vec<[f64; 2]>,
        bars: Vec<[f64; 2]>,
    }
    let [far, near]: [Drawn; 2] = page.run(script, &[]);
    assert_eq!((far.held, near.held), ([false, true], [true, true]));
    let rounded = |slants: &[[f64; 2]]| {
        let mut slants: Vec<_> = slants.iter().map(|slant| slant.map(|x| x.round() as i64)).collect();
        slants.sort_unstable();
        slants
    };
    // 5 ms are a pixel: 20 pixels for a way of 100 ms, and the whole of the trip is drawn.
    let questions_and_answers =
        [[200, 220], [221, 241], [400, 420], [480, 500], [600, 620], [620, 640], [780, 800], [900, 920]];
    assert_eq!(rounded(&far.slants), questions_and_answers, "{far:?}");
    // The server waits from the arrival of the question until its answer leaves.
    assert!(rounded(&far.bars).contains(&[420, 480]), "{far:?}");
    assert!(rounded(&near.slants).contains(&[792, 800]), "{near:?}");
    page.is_quiet();
}
