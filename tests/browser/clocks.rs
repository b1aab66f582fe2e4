//! Clocks that jump: no latency is negative or an hour long, nothing is recorded that was not measured, and the page
//! recovers by itself.

use std::time::Duration;

use serde_json::Value;
use wirelab_clients::wire::DeploymentId;

use crate::browser::{Engine, in_every_browser};
use crate::page::{Page, number, wait_until, wait_within};
use crate::server::Binary;

in_every_browser! {
    figures_stay_possible_when_the_browsers_clock_is_set;
    figures_stay_possible_when_the_computer_sleeps;
    figures_stay_possible_when_the_servers_clock_is_set;
}

/// Longest latency that is possible here, ms. A jump is an hour.
const LATENCY_MS_MAX: f64 = 60_000.0;
/// Lines that are appended after each jump, one after the other: enough for a p50.
const LINES: usize = 12;

/// Longest time until the page knows how far the server's clock is ahead. It asks until an answer was quick enough to tell,
/// and on a busy machine most of them are not.
const CLOCK_KNOWN_MAX: Duration = Duration::from_secs(120);

/// Lets a test set the browser's clock, ms: the time of day, the clock that never runs backwards, and the clock of the
/// server in all that it says.
const SETTABLE: &str = "
    window.day_ms = window.slept_ms = window.server_ms = 0;
    const [day, now, parse] = [Date.now.bind(Date), performance.now.bind(performance), JSON.parse];
    Date.now = () => day() + window.day_ms;
    performance.now = () => now() - window.slept_ms;
    const shift = (told) => {
        if (typeof told?.at_us === 'number') told.at_us += window.server_ms * 1_000;
        told?.lines?.forEach?.(shift);
        return told;
    };
    JSON.parse = (...given) => shift(parse(...given));
    const json = Response.prototype.json;
    Response.prototype.json = async function () { return shift(await json.call(this)); };
";

/// A page whose lanes follow a deployment.
struct Followed {
    server: Binary,
    page: Page,
    id: DeploymentId,
}

impl Followed {
    fn start(engine: Engine) -> Self {
        let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
        let page = Page::shown_by(engine, &server);
        let id = server.create().id;
        page.before_each_page(SETTABLE);
        page.reload();
        page.beside(&id);
        page.wait_for_lanes("live");
        page.slide("interval", 0.1);
        let followed = Self { server, page, id };
        followed.measures("Delivery latency");
        followed
    }

    /// Sets a clock ahead, ms; 0 is the true time.
    fn set(&self, clock: &str, ms: i64) {
        self.page.run::<()>("window[arguments[0]] = arguments[1]", &[clock.into(), ms.into()]);
    }

    /// What all lanes show of their latencies.
    fn figures(&self) -> Vec<(String, String)> {
        let script = "return [...document.querySelectorAll('#lane-list .lane')].flatMap((lane) =>
            ['now', 'p50', 'p99', 'most', 'connected'].map((part) => {
                const shown = lane.querySelector(`[data-part=${part}]`).textContent;
                return [`${lane.dataset.transport} ${part}`, shown];
            }))";
        self.page.run(script, &[])
    }

    #[track_caller]
    fn is_possible(&self) {
        for (what, shown) in self.figures() {
            let is_possible = match what.ends_with("connected") {
                true => !shown.contains('-'),
                false => shown == "–" || (0.0..LATENCY_MS_MAX).contains(&number(&shown)),
            };
            assert!(is_possible, "{what}: {shown}; {}", self.page.text("#clock-note"));
        }
    }

    /// Appends lines until every lane measures on this scale; no figure is impossible at any time.
    #[track_caller]
    fn measures(&self, scale: &str) {
        let lanes = self.page.lanes();
        let is_on_scale = || lanes.iter().all(|lane| self.page.of_lane(lane, "scale").starts_with(scale));
        wait_within(CLOCK_KNOWN_MAX, &format!("the scale is {scale:?}"), || {
            self.server.append(&self.id, &["between"]);
            self.is_possible();
            is_on_scale()
        });
        for n in 0..LINES {
            self.server.append(&self.id, &[format!("line {n}")]);
            self.is_possible();
        }
        wait_until("every lane has a p50", || {
            self.server.append(&self.id, &["one more"]);
            self.is_possible();
            lanes.iter().all(|lane| self.page.of_lane(lane, "p50") != "–")
        });
        assert!(is_on_scale(), "the scale is no longer {scale:?}: {}", self.page.text("#clock-note"));
    }
}

const HOUR_MS: i64 = 3_600_000;

fn figures_stay_possible_when_the_browsers_clock_is_set(engine: Engine) {
    let followed = Followed::start(engine);
    for ahead_ms in [HOUR_MS, 0, -HOUR_MS, 0] {
        followed.set("day_ms", ahead_ms);
        let scale = if ahead_ms == 0 { "Delivery latency" } else { "Behind the fastest" };
        followed.measures(scale);
    }
    followed.page.is_quiet();
}

fn figures_stay_possible_when_the_computer_sleeps(engine: Engine) {
    let followed = Followed::start(engine);
    // The clock that counts from the start of the page stood still for an hour, or did not, unlike the time of day.
    for slept_ms in [HOUR_MS, 0] {
        followed.set("slept_ms", slept_ms);
        followed.measures("Delivery latency");
    }
    followed.page.is_quiet();
}

fn figures_stay_possible_when_the_servers_clock_is_set(engine: Engine) {
    let followed = Followed::start(engine);
    for ahead_ms in [HOUR_MS, 0, -HOUR_MS, 0] {
        followed.set("server_ms", ahead_ms);
        let scale = if ahead_ms == 0 { "Delivery latency" } else { "Behind the fastest" };
        followed.measures(scale);
    }
    followed.page.is_quiet();
}

#[test]
fn a_lesson_during_which_the_clock_jumps_measures_nothing() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    page.before_each_page(SETTABLE);
    page.reload();
    page.run::<()>("location.hash = '#/lessons/1'", &[]);
    wait_until("the lesson can be run", || page.is_shown("#lesson-run") && page.is_enabled("#lesson-run"));
    page.click("#lesson-run");
    wait_until("it measures", || page.text("#lesson-say").starts_with("Measured:"));
    page.run::<()>("window.day_ms = 3_600_000", &[]);
    let stopped = "The lesson stopped: this browser's clock was set, or the computer slept";
    wait_until("it stops", || page.text("#lesson-say").starts_with(stopped));
    assert!(page.is_enabled("#lesson-run") && page.text("#lesson-result").is_empty());
    // It can be run again by the new clock.
    page.click("#lesson-run");
    wait_until("it measures again", || page.text("#lesson-say").starts_with("Measured:"));
    page.is_quiet();
}

#[test]
fn a_deployment_from_the_future_is_not_said_to_be_new() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    server.create();
    let made = || page.run::<String>("return document.querySelector('#list time')?.textContent ?? ''", &[]);
    page.before_each_page(SETTABLE);
    page.reload();
    wait_until("it is new", || made().ends_with("ago"));
    page.run::<()>("window.day_ms = -3_600_000", &[]);
    wait_until("the clocks disagree", || made() == "ahead of this clock");
    page.is_quiet();
}

#[test]
fn a_receipt_that_is_no_longer_known_makes_no_lane_the_fastest() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    let script = "return import('/lanes/latency.js').then(({ Firsts }) => {
        const firsts = new Firsts();
        const seen = [firsts.behind('a.k', 1, 10), firsts.behind('a.k', 1, 12), firsts.behind('a.other', 1, 13)];
        firsts.forget();
        seen.push(firsts.behind('a.k', 1, 3_600_000), firsts.behind('a.k', 2, 20), firsts.behind('a.k', 2, 21));
        // A lane that is far behind the others.
        for (let seq = 3; seq < 30_000; seq++) firsts.behind('a.k', seq, 30);
        seen.push(firsts.behind('a.k', 3, 90), firsts.behind('a.k', 29_999, 90));
        return seen;
    })";
    let seen: Vec<Value> = page.run(script, &[]);
    let wanted = [Some(0), Some(2), Some(0), None, Some(0), Some(1), None, Some(60)];
    assert_eq!(seen, wanted.map(|ms| ms.map_or(Value::Null, Value::from)));
    page.is_quiet();
}

#[test]
fn a_line_from_the_future_has_no_latency_and_is_counted() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    // By a clock that is 3 ± 1 ms ahead, then by one that is 0.5 ± 1 ms ahead, which may be none.
    let script = "return import('/lanes/clocks.js').then(({ Clocks }) => {
        const clocks = new Clocks();
        const late = (appended_ms, known) => {
            clocks.known = known;
            return clocks.latency_ms(appended_ms * 1_000, 1_000);
        };
        const [ahead, agrees] = [{ offset_ms: 3, error_ms: 1 }, { offset_ms: 0.5, error_ms: 1 }];
        const seen = [late(990, ahead), late(1_002, ahead), late(1_004, ahead), late(1_006, ahead)];
        seen.push(late(990, agrees), late(1_001, agrees), late(1_003, agrees), late(990, { offset_ms: 5, error_ms: 1 }));
        return [seen, clocks.unfit];
    })";
    let (seen, unfit): (Vec<Option<f64>>, u32) = page.run(script, &[]);
    let wanted = [Some(13.0), Some(1.0), Some(0.0), None, Some(10.0), Some(0.0), None, None];
    assert_eq!((seen, unfit), (wanted.to_vec(), 2));
    page.is_quiet();
}

#[test]
fn a_page_that_is_stopped_between_two_readings_sees_no_jump() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    // The page stands still before or after `Date.now()` is read, as on a busy computer.
    page.before_each_page(
        "const day = Date.now.bind(Date);
         const stop = (ms) => { for (const end = performance.now() + ms; performance.now() < end; ); };
         window.stops = [];
         Date.now = () => {
             const [before, after] = window.stops.shift() ?? [0, 0];
             stop(before);
             const read = day();
             stop(after);
             return read;
         };",
    );
    page.reload();
    let script = "return import('/clock.js').then(({ look, onJump, wall_ms }) => {
        let jumps = 0;
        onJump(() => (jumps += 1));
        const seen = [];
        for (const stops of [[[400, 0]], [[0, 400]], Array(9).fill([0, 400]), Array(9).fill([400, 0])]) {
            look();
            window.stops = stops;
            look();
            window.stops = [];
            seen.push(Math.abs(wall_ms() - Date.now()) < 10);
        }
        return [jumps, seen];
    })";
    let (jumps, seen): (u32, Vec<bool>) = page.run(script, &[]);
    assert_eq!((jumps, seen), (0, vec![true; 4]), "(jumps, whether the time is right)");
    page.is_quiet();
}

#[test]
fn clocks_that_drift_apart_do_not_jump_and_the_page_follows() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    page.before_each_page(SETTABLE);
    page.reload();
    let script = "return import('/clock.js').then(({ look, onJump, wall_ms }) => {
        let jumps = 0;
        onJump(() => (jumps += 1));
        for (let look_at = 0; look_at < 100; look_at++) {
            window.day_ms += 10;
            look();
        }
        const off_ms = Math.abs(wall_ms() - Date.now());
        window.day_ms += 1_000;
        look();
        return [jumps, off_ms];
    })";
    let (jumps, off_ms): (u32, f64) = page.run(script, &[]);
    assert_eq!(jumps, 1, "only the second at once is a jump");
    assert!(off_ms < 10.0, "the page is {off_ms} ms off");
    page.is_quiet();
}

#[test]
fn lines_wait_until_the_clocks_can_be_compared() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    // A look that took long, a better one, one that differs for certain.
    let script = "return import('/lanes/clocks.js').then(({ Clocks }) => {
        const clocks = new Clocks();
        const looks = [null, { offset_ms: 8, error_ms: 9 }, { offset_ms: 0.1, error_ms: 0.7 }, { offset_ms: -8, error_ms: 1 }];
        return looks.map((known) => {
            clocks.known = known;
            return [clocks.isDecided, clocks.isAbsolute];
        });
    })";
    let seen: Vec<(bool, bool)> = page.run(script, &[]);
    assert_eq!(seen, [(false, false), (false, false), (true, true), (true, false)]);
    page.is_quiet();
}

#[test]
fn lines_that_came_before_the_clocks_could_be_compared_have_a_latency_afterwards() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    let id = server.create().id;
    // Until the test says so, each question about the server's clock takes long on its way back, as on a busy computer.
    page.before_each_page(
        "window.delay_ms = 40;
         const { addEventListener } = WebSocket.prototype;
         WebSocket.prototype.addEventListener = function (type, listener, ...more) {
             const late = (event) => {
                 const isClock = typeof event.data === 'string' && event.data.includes('\"clock\"');
                 isClock && window.delay_ms > 0 ? setTimeout(() => listener(event), window.delay_ms) : listener(event);
             };
             return addEventListener.call(this, type, type === 'message' ? late : listener, ...more);
         };",
    );
    page.reload();
    page.beside(&id);
    page.wait_for_lanes("live");
    wait_until("the clocks cannot be compared", || page.text("#clock-note").contains("not known yet"));
    // A p50 needs six lines.
    for n in 0..6 {
        server.append(&id, &[format!("line {n}")]);
    }
    let lanes = page.lanes();
    let all = |shown: &dyn Fn(&crate::page::ShownLane) -> bool| lanes.iter().all(shown);
    wait_until("every lane has a p50", || all(&|lane| page.of_lane(lane, "p50") != "–"));
    assert!(all(&|lane| page.of_lane(lane, "scale").starts_with("Behind the fastest")));
    page.run::<()>("window.delay_ms = 0", &[]);
    wait_until("the clocks agree", || page.text("#clock-note").contains("receipt − append"));
    wait_until("every lane has an absolute p50", || {
        all(&|lane| {
            page.of_lane(lane, "scale").starts_with("Delivery latency") && page.of_lane(lane, "p50") != "–"
        })
    });
    page.is_quiet();
}

#[test]
fn a_clock_that_is_far_off_is_told_in_a_unit_that_people_read() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    let script = "return import('/lanes/clocks.js').then(({ Clocks }) => arguments[0].map((offset_ms) => {
        const clocks = new Clocks();
        clocks.known = { offset_ms, error_ms: 0.7 };
        return clocks.describe().replace('Clock of the server: ', '').split(' (')[0];
    }))";
    let offsets =
        [0.065, -42.0, 9_999.0, -10_000.0, 90_000.0, -3_600_000.0, 5_400_000.0, 86_400_000.0 * 365.0];
    let said: Vec<String> = page.run(script, &[offsets.to_vec().into()]);
    let wanted = [
        "0.065 ms ahead",
        "42.0 ms behind",
        "9,999 ms ahead",
        "10 s behind",
        "1.5 min ahead",
        "1 h behind",
        "1.5 h ahead",
        "8,760 h ahead",
    ];
    assert_eq!(said, wanted);
    page.is_quiet();
}
