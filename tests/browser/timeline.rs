//! The who-waits timeline: what it makes of wire events, that it stays bounded, and what its picture shows.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::page::{Page, wait_until};
use crate::server::Binary;

fn page() -> (Binary, Page) {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    (server, page)
}

/// One or more seconds of a lane as its wire tells them.
struct Wire(Vec<Value>);

impl Wire {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn asked(self, id: u32, at: u32) -> Self {
        self.event(json!({"kind": "asked", "id": id, "at": at}))
    }

    fn answered(self, id: u32, at: u32, outcome: &str) -> Self {
        let lines = u32::from(outcome == "data");
        self.event(json!({"kind": "answered", "id": id, "at": at, "outcome": outcome, "lines": lines}))
    }

    fn opened(self, id: u32, at: u32) -> Self {
        self.event(json!({"kind": "opened", "id": id, "at": at}))
    }

    fn pushed(self, at: u32) -> Self {
        self.event(json!({"kind": "pushed", "at": at, "lines": 1}))
    }

    fn said(self, at: u32) -> Self {
        self.event(json!({"kind": "said", "at": at, "what": "ping"}))
    }

    fn cut(self, id: u32, at: u32) -> Self {
        self.event(json!({"kind": "cut", "id": id, "at": at}))
    }

    fn left(self, at: u32) -> Self {
        self.event(json!({"kind": "left", "at": at}))
    }

    fn event(mut self, event: Value) -> Self {
        self.0.push(event);
        self
    }

    /// Asks every second, is answered at once.
    fn short_poll() -> Self {
        (0..10).fold(Self::new(), |wire, i| {
            let outcome = if i % 3 == 0 { "data" } else { "empty" };
            wire.asked(i, i * 1_000).answered(i, i * 1_000 + 2, outcome)
        })
    }

    /// Is answered when a line comes, or after three seconds without one; asks again at once.
    fn long_poll() -> Self {
        let answers =
            [(1_500, "data"), (2_500, "data"), (5_500, "timeout"), (7_000, "data"), (9_900, "data")];
        let mut asked = 0;
        let answered = (1..).zip(answers).fold(Self::new(), |wire, (id, (at, outcome))| {
            let wire = wire.asked(id, asked).answered(id, at, outcome);
            asked = at + 2;
            wire
        });
        answered.asked(9, asked)
    }

    fn stream() -> Self {
        [1_500, 2_500, 7_000, 9_900].into_iter().fold(Self::new().asked(1, 0).opened(1, 3), Self::pushed)
    }

    fn socket() -> Self {
        Self::stream().said(9_950)
    }
}

/// What a strip makes of a lane's events.
#[derive(Debug, Deserialize, PartialEq)]
struct Marks {
    requests: u32,
    held: u32,
    slept: u32,
    streams: u32,
    both_ways: u32,
    pushed: u32,
    said: u32,
    /// From and to; still broken without the latter.
    breaks: Vec<(f64, Option<f64>)>,
    ends: Vec<String>,
    words: String,
}

#[track_caller]
fn marks(page: &Page, Wire(events): Wire) -> Marks {
    let script = r"const [events] = arguments;
        return Promise.all([import('/lanes/strip.js'), import('/lanes/strip_words.js')]).then(
          ([{ Strip, isHeld }, { describe }]) => {
            const strip = new Strip();
            for (const event of events) strip.wire(event);
            const list = (ring) => Array.from({ length: ring.length }, (_, i) => ring.at(i));
            const requests = [...list(strip.requests), ...strip.open.values()];
            const sum = (dots) => list(dots).reduce((sum, { count }) => sum + count, 0);
            return {
              requests: requests.reduce((sum, { count }) => sum + count, 0),
              held: requests.filter((request) => isHeld(request, 10000)).length,
              slept: strip.sleeps.length,
              streams: requests.filter(({ opened }) => opened !== null).length,
              both_ways: requests.filter(({ duplex }) => duplex).length,
              pushed: sum(strip.pushed),
              said: sum(strip.said),
              breaks: list(strip.breaks).map(({ from, to }) => [from, to]),
              ends: requests.map(({ end }) => end ?? 'open'),
              words: describe(strip, 0, 10000),
            };
          });";
    page.run(script, &[json!(events)])
}

#[test]
fn each_strategy_leaves_marks_that_no_other_leaves() {
    let (_server, page) = page();
    let of = |wire| marks(&page, wire);
    let short = of(Wire::short_poll());
    assert_eq!((short.requests, short.held, short.slept, short.streams), (10, 0, 9, 0), "{short:?}");
    let long = of(Wire::long_poll());
    assert_eq!((long.requests, long.held, long.slept, long.streams), (6, 6, 0, 0), "{long:?}");
    let stream = of(Wire::stream());
    assert_eq!((stream.requests, stream.held, stream.slept, stream.streams), (1, 0, 0, 1), "{stream:?}");
    assert_eq!((stream.pushed, stream.both_ways), (4, 0), "{stream:?}");
    let socket = of(Wire::socket());
    assert_eq!((socket.streams, socket.pushed, socket.both_ways, socket.said), (1, 4, 1, 1), "{socket:?}");
    assert_eq!(
        short.words,
        "10 requests, 4 answered with lines, 6 answered empty, the client slept 100 % of the time"
    );
    assert_eq!(
        long.words,
        "6 requests, 4 answered with lines, 1 answered empty, held by the server 100 % of the time"
    );
    assert_eq!(
        socket.words,
        "1 request, a stream open 100 % of the time, 4 lines pushed, 1 message from the client"
    );
    page.is_quiet();
}

#[test]
fn a_break_lasts_from_the_cut_to_the_question_that_is_answered_again() {
    let (_server, page) = page();
    let lost = || Wire::new().asked(1, 0).opened(1, 5).cut(1, 2_000).asked(2, 2_500).cut(2, 2_502);
    let broken = marks(&page, lost());
    assert_eq!(broken.breaks, [(2_000.0, None)]);
    let back = marks(&page, lost().asked(3, 4_000).opened(3, 4_010));
    assert_eq!(back.breaks, [(2_000.0, Some(4_000.0))]);
    assert_eq!(back.ends, ["cut", "cut", "open"]);
    // An answer that refuses is no way back; one that has nothing is.
    let polls = marks(
        &page,
        Wire::new()
            .asked(1, 0)
            .cut(1, 100)
            .asked(2, 600)
            .answered(2, 604, "refused")
            .asked(3, 1_600)
            .answered(3, 1_603, "empty"),
    );
    assert_eq!(polls.breaks, [(100.0, Some(1_600.0))]);
    // Whoever leaves waits for nothing, nor do we for them.
    let left = marks(&page, lost().left(3_000));
    assert_eq!(left.breaks, [(2_000.0, Some(3_000.0))]);
    let slept = marks(&page, Wire::new().asked(1, 0).answered(1, 2, "empty").left(502));
    assert_eq!(slept.slept, 1);
    assert!(slept.words.ends_with("the client slept 5 % of the time"), "{}", slept.words);
    page.is_quiet();
}

#[test]
fn a_client_that_leaves_in_its_sleep_is_told_to_the_timeline_once() {
    let (_server, page) = page();
    let script = "return import('/wire.js').then(({ Wire }) => {
        const kinds = [];
        const wire = new Wire(({ kind }) => kinds.push(kind));
        wire.left();
        wire.asked().ended('empty');
        wire.left();
        wire.left();
        return kinds;
    })";
    assert_eq!(page.run::<Vec<String>>(script, &[]), ["asked", "answered", "left"]);
}

#[test]
fn a_million_pushes_and_as_many_polls_leave_no_more_marks_than_pixels() {
    let (_server, page) = page();
    // 200 lines a second for 5000 s; what is still shown must all be there.
    let script = r"return import('/lanes/strip.js').then(({ MARKS_MAX, SPAN_MS_MAX, Strip }) => {
        const [pushes, polls] = [new Strip(), new Strip()];
        for (let i = 0; i < 1e6; i++) {
          const at = i * 5;
          pushes.wire({ kind: 'pushed', at, lines: 1 });
          polls.wire({ kind: 'asked', at, id: i });
          polls.wire({ kind: 'answered', at: at + 3, id: i, outcome: 'data', lines: 1 });
        }
        // Questions that nobody ends.
        for (let i = 0; i < 1e4; i++) pushes.wire({ kind: 'asked', at: 5e6, id: i });
        const shown = (ring, time) => {
          let count = 0;
          for (let i = 0; i < ring.length; i++) if (ring.at(i)[time] >= 5e6 - SPAN_MS_MAX) count += ring.at(i).count;
          return count;
        };
        const kept = (strip) =>
          ['requests', 'sleeps', 'breaks', 'pushed', 'said', 'heard'].map((ring) => strip[ring].length);
        return {
          marks_max: MARKS_MAX,
          kept: Math.max(...kept(pushes), ...kept(polls), pushes.open.size, polls.open.size),
          pushed: shown(pushes.pushed, 'at'),
          polled: shown(polls.requests, 'from'),
        };
    })";
    let counts: Value = page.run(script, &[]);
    let [marks_max, kept, pushed, polled] =
        ["marks_max", "kept", "pushed", "polled"].map(|name| counts[name].as_u64().unwrap());
    assert!(kept <= marks_max && marks_max < 2_000, "{counts}");
    assert_eq!((pushed, polled), (6_000, 6_000), "30 s of 200 a second");
    page.is_quiet();
}

/// Puts a timeline of its own on the page, `window.timeline` in `#picture`, and counts its pictures in
/// `window.pictures`. Each lane's ten seconds end now.
#[track_caller]
fn draw(page: &Page, lanes: &[Wire]) {
    let script = r"const [lanes] = arguments;
        return import('/lanes/timeline.js').then(({ Timeline }) => {
          const element = document.createElement('div');
          element.id = 'picture';
          document.body.prepend(element);
          window.pictures = [];
          const clear = CanvasRenderingContext2D.prototype.clearRect;
          CanvasRenderingContext2D.prototype.clearRect = function (...box) {
            window.pictures.push(performance.now());
            clear.apply(this, box);
          };
          window.timeline = new Timeline(element);
          const begin = performance.now() - 10000;
          lanes.forEach((events, lane) => {
            window.timeline.addStrip(lane, { name: `lane ${lane}`, waits: '?' });
            for (const event of events) window.timeline.wire(lane, { ...event, at: begin + event.at });
          });
        });";
    let lanes: Vec<_> = lanes.iter().map(|Wire(events)| events).collect();
    page.run::<Value>(script, &[json!(lanes)]);
    wait_until("a picture is drawn", || pictures(page) > 0);
}

fn pictures(page: &Page) -> usize {
    page.run("return window.pictures.length", &[])
}

/// A strip of the picture. Ink is whatever is not the ground.
#[derive(Debug, Deserialize)]
struct Ink {
    /// How much of the width is inked just above the client's line, just above the server's, and between them.
    client: f64,
    server: f64,
    between: f64,
    /// Where the first ink is just above the client's line and just above the server's, device pixels.
    first: [i32; 2],
    /// How often the bar on the server's line ends.
    gaps: u32,
    /// The newest ink above the server's line: red, green, blue.
    colour: Vec<u32>,
}

fn ink(page: &Page) -> Vec<Ink> {
    let script = r"return import('/lanes/paint.js').then(({ linesOf }) => {
        const canvas = document.querySelector('#picture canvas[role=img]');
        const { width, height } = canvas;
        const copy = new OffscreenCanvas(width, height).getContext('2d', { willReadFrequently: true });
        copy.drawImage(canvas, 0, 0);
        const names = [...document.querySelectorAll('#picture .timeline-name')];
        const strip_px = names[0].offsetHeight;
        return names.map((_, strip) => {
          const { client, server } = linesOf(strip * strip_px, strip_px);
          // Ten of twelve seconds have events, and at the right edge a sign may be on its way.
          const row = (y) => [...copy.getImageData(width * 0.2, y, width * 0.75, 1).data];
          const inked = (pixels) => pixels.filter((_, i) => i % 4 === 3).map((alpha) => alpha > 20);
          const share = (row) => row.filter(Boolean).length / row.length;
          const [above, bar] = [inked(row(client - 3)), inked(row(server - 3))];
          const newest = bar.lastIndexOf(true) * 4;
          return {
            client: share(above),
            server: share(bar),
            between: share(inked(row(Math.round((client + server) / 2)))),
            first: [above.indexOf(true), bar.indexOf(true)],
            gaps: bar.filter((here, x) => x > 0 && !here && bar[x - 1]).length,
            colour: row(server - 3).slice(newest, newest + 3),
          };
        });
    })";
    page.run(script, &[])
}

#[test]
fn the_picture_tells_the_strategies_apart_without_names_and_colours() {
    let (_server, page) = page();
    draw(&page, &[Wire::short_poll(), Wire::long_poll(), Wire::stream(), Wire::socket()]);
    let mut bars = Vec::new();
    for colours in ["light", "dark"] {
        page.look(1280, 720, colours);
        let before = pictures(&page);
        wait_until("it is drawn in these colours", || pictures(&page) > before + 1);
        let drawn = ink(&page);
        let of = format!("{colours}: {drawn:#?}");
        let [short, long, stream, socket] = &drawn[..] else { panic!("four strips, {of}") };
        // Ticks above; nothing below but the tips of questions.
        assert!(short.client > 0.3 && short.server < 0.15 && short.between < 0.15, "short poll, {of}");
        // A bar below that every answer ends.
        assert!(
            long.client < 0.15 && long.server > 0.7 && long.between < 0.15 && long.gaps >= 3,
            "long, {of}"
        );
        // A bar without end; and all of the space between the lines.
        assert!(stream.client < 0.15 && stream.server > 0.95 && stream.between < 0.15, "stream, {of}");
        assert!(socket.server > 0.95 && socket.between > 0.9, "socket, {of}");
        assert_eq!((stream.gaps, socket.gaps), (0, 0), "{of}");
        bars.push(stream.colour.clone());
    }
    let brightness = |colour: &Vec<u32>| colour.iter().sum::<u32>();
    assert!(
        brightness(&bars[1]) > brightness(&bars[0]) + 50,
        "on a dark ground the bar is brighter: {bars:?}"
    );
    page.is_quiet();
}

#[test]
fn a_line_that_comes_with_the_opening_is_drawn_after_it() {
    let (_server, page) = page();
    draw(&page, &[Wire::new().asked(1, 5_000).opened(1, 5_001).pushed(5_002)]);
    let [ink] = &ink(&page)[..] else { panic!("one strip") };
    let [dot, bar] = ink.first;
    assert!(0 < bar && bar < dot, "the dot begins at {dot}, the bar of its stream at {bar}");
    page.is_quiet();
}

#[test]
fn it_draws_only_while_somebody_can_see_it_move() {
    /// Pictures while the browser draws thirty frames.
    const MEANWHILE: &str = "return new Promise((resolve) => {
        const before = window.pictures.length;
        let frames = 30;
        const next = () => (--frames > 0 ? requestAnimationFrame(next) : resolve(window.pictures.length - before));
        next();
    })";
    let (_server, page) = page();
    draw(&page, &[Wire::short_poll()]);
    let drawn = || page.run::<usize>(MEANWHILE, &[]);
    wait_until("it moves", || drawn() > 5);

    page.press("#picture canvas[role=img]", "p");
    assert_eq!(page.text("#picture .timeline-state"), "paused; the lanes go on");
    wait_until("paused, it stands still", || drawn() == 0);
    page.click("#picture .timeline-bar > button");
    assert_eq!(page.text("#picture .timeline-state"), "");
    wait_until("resumed, it moves", || drawn() > 5);

    page.run::<Value>("document.querySelector('#picture').hidden = true", &[]);
    wait_until("hidden, it draws nothing", || drawn() == 0);
    page.run::<Value>("document.querySelector('#picture').hidden = false", &[]);
    wait_until("shown, it moves", || drawn() > 5);

    // Less motion: a picture every half second.
    let still = json!([{"name": "prefers-reduced-motion", "value": "reduce"}]);
    page.devtools("Emulation.setEmulatedMedia", json!({ "features": still }));
    wait_until("it draws twice a second", || {
        page.run(
            "const three = window.pictures.slice(-3);
                  return three.length === 3 && three[1] - three[0] > 450 && three[2] - three[1] > 450",
            &[],
        )
    });
    page.run::<Value>("window.timeline.close()", &[]);
    wait_until("closed, it draws nothing", || drawn() == 0);
    page.is_quiet();
}

#[test]
fn what_each_strip_shows_is_said_in_words() {
    let (_server, page) = page();
    draw(&page, &[Wire::short_poll(), Wire::socket()]);
    let words = || -> String {
        page.run("return document.querySelector('#picture canvas[role=img]').getAttribute('aria-label')", &[])
    };
    wait_until("the first words are there", || words().contains("lane 1"));
    let said = words();
    assert!(said.starts_with("Timeline: the last 12 seconds. lane 0: 10 requests, "), "{said}");
    assert!(said.contains("lane 1: 1 request, a stream open"), "{said}");
    // Every sign of the legend has its words; the sign itself is for the eye.
    let signs = "return [...document.querySelectorAll('#picture .timeline-legend li')].every(
        (sign) => sign.textContent.length > 10 && (sign.querySelector('canvas')?.ariaHidden ?? 'true') === 'true')";
    assert!(page.run::<bool>(signs, &[]));
    page.is_quiet();
}

#[test]
fn where_lines_are_dense_the_strips_still_show_who_waits() {
    let (_server, page) = page();
    // Five lines a second, as in lesson 3: a question after every answer.
    let dense =
        (1..50).fold(Wire::new(), |wire, i| wire.asked(i, i * 200).answered(i, i * 200 + 198, "data"));
    draw(&page, &[dense]);
    for (width, height) in [(1280, 720), (390, 844)] {
        page.look(width, height, "light");
        page.run::<()>("window.timeline.show(30)", &[]);
        let before = pictures(&page);
        wait_until("it is drawn", || pictures(&page) > before + 1);
        // Of the newest seconds; on a narrow screen a name stands above the strip.
        let bar = "return import('/lanes/paint.js').then(({ linesOf }) => {
            const canvas = document.querySelector('#picture canvas[role=img]');
            const name = matchMedia('(max-width: 600px)').matches ? 18 : 0;
            const { server } = linesOf(name, document.querySelector('#picture .timeline-name').offsetHeight - name);
            const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
            copy.drawImage(canvas, 0, 0);
            const { data } = copy.getImageData(canvas.width * 0.75, server + 3, canvas.width * 0.15, 1);
            const pixels = [...data].filter((_, i) => i % 4 === 3);
            return pixels.filter((alpha) => alpha > 60).length / pixels.length;
        })";
        let share: f64 = page.run(bar, &[]);
        assert!(share > 0.6, "at {width} the bar covers {share}");
    }
    page.is_quiet();
}
