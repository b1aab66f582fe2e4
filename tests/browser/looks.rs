//! The page fits its window, in light and dark. With `WIRELAB_SCREENSHOTS=FOLDER` every look is kept there as a
//! picture; `scripts/screenshots` takes those of the documents from it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use crate::page::{Page, wait_until, wait_within};
use crate::reports::copy;
use crate::server::Binary;

/// Width and height of a projector, of a narrow window, and of a phone.
const WINDOWS: [(u32, u32); 3] = [(1280, 720), (800, 900), (390, 844)];
/// Of a picture that shows the lanes below the timeline as well, and of one that shows a lesson with its timeline.
const LANES: (u32, u32) = (1280, 1080);
const LESSON: (u32, u32) = (1280, 920);
/// A picture in a document should not weigh more than its text.
const PNG_BYTES_MAX: usize = 250_000;

/// Where pictures go, if they are wanted.
fn folder() -> Option<PathBuf> {
    std::env::var_os("WIRELAB_SCREENSHOTS").map(PathBuf::from)
}

/// Keeps what is seen, if pictures are wanted.
fn photograph(page: &Page, file: &str) {
    let png = page.photograph();
    assert!(png.starts_with(b"\x89PNG") && png.len() < PNG_BYTES_MAX, "{file}: {} bytes", png.len());
    if let Some(folder) = folder() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{file}.png")), png).unwrap();
    }
}

/// Checks the page in every window and colour; photographs each.
pub(crate) fn look(page: &Page, name: &str) {
    for (width, height) in WINDOWS {
        for colours in ["light", "dark"] {
            page.look(width, height, colours);
            let of = format!("{name} at {width}×{height}, {colours}");
            let beyond = "return [...document.querySelectorAll('body *')].filter((element) => {
                const { right, width } = element.getBoundingClientRect();
                // What is folded away keeps the place that it had in another window.
                const isSeen = width > 0 && element.checkVisibility();
                return isSeen && right > innerWidth + 1 && !element.closest('[role=log]');
            }).map((element) => element.outerHTML.slice(0, 100))";
            assert_eq!(page.run::<Vec<String>>(beyond, &[]), Vec::<String>::new(), "{of}: is cut off");
            let ground: String = page.run("return getComputedStyle(document.body).backgroundColor", &[]);
            let first: u32 = ground.trim_start_matches("rgb(").split(',').next().unwrap().parse().unwrap();
            assert_eq!(first < 128, colours == "dark", "{of}: {ground}");
            photograph(page, &format!("{name}-{width}-{colours}"));
        }
    }
    page.look(WINDOWS[0].0, WINDOWS[0].1, "light");
}

#[test]
fn the_page_fits_its_window_in_light_and_dark() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let create = |name: &str, source: Option<serde_json::Value>| {
        let mut new = json!({ "name": name });
        if let Some(source) = source {
            new["source"] = source;
        }
        let created = server.post("/api/deployments", "application/json", new.to_string());
        created.json::<wirelab_clients::wire::Deployment>().id
    };
    let replay =
        |recording: &str, speed: f64| Some(json!({"kind": "replay", "recording": recording, "speed": speed}));
    create("web frontend", replay("pip-install", 1000.0));
    let failed = create("billing worker", None);
    server.append(&failed, &["migrating", "error: the table is locked"]);
    server.finish(&failed, wirelab_clients::wire::Status::Failed);
    create("nightly import with a name that is rather long, as names sometimes are", None);
    create("heartbeat", Some(json!({"kind": "generate", "rate_hz": 2.0})));
    let shown = create("release build", None);
    // The recording itself, in two pieces: what was there before, and what comes live.
    let recording = fs::read_to_string("data/recordings/cargo-build.ndjson").unwrap();
    let recorded: Vec<_> = recording.lines().take(58).collect();
    let publish = |lines: &[&str]| {
        for line in lines {
            let path = format!("/api/deployments/{shown}/lines");
            assert_eq!(server.post(&path, "application/x-ndjson", line).status, 201);
        }
    };
    publish(&recorded[..45]);

    let page = Page::of(&server);
    wait_until("the list is there", || {
        page.text("#list").contains("succeeded") && page.text("#list").contains("billing")
    });
    wait_until("the recordings are listed", || page.text("#recording").contains("pip-install"));
    look(&page, "overview");
    page.open(&shown, "websocket");
    page.wait_for("live", "websocket");
    publish(&recorded[45..]);
    wait_until("the live lines are shown", || page.counts() == ("45".to_owned(), "13".to_owned()));
    page.click("#ping");
    wait_until("the pong is shown", || page.text("#round-trip").ends_with("ms"));
    look(&page, "deployment");

    // The commands unfolded, a problem in words, a line too long for the window.
    let by_hand = create("fed by hand", None);
    server.append(&by_hand, &["one", &"a long line ".repeat(60), "\u{1b}[31mred\u{1b}[0m"]);
    page.open(&by_hand, "ndjson");
    page.wait_for("live", "ndjson");
    wait_until("the commands stand open", || page.is_shown("#publish-commands"));
    look(&page, "by-hand");
    server.ask("DELETE", &format!("/api/deployments/{by_hand}"), &[], b"");
    page.wait_for("deleted", "ndjson");
    look(&page, "deleted");
    page.is_quiet();
}

/// Lines that came live, of each lane.
fn live_lines(page: &Page) -> Vec<u32> {
    let script = "return [...document.querySelectorAll('.lane')].map((lane) => {
        const count = (part) => Number(lane.querySelector(`[data-part=${part}]`).textContent);
        return count('lines') - count('history');
    })";
    page.run(script, &[])
}

/// A tall picture of the page from its top.
fn photograph_tall(page: &Page, name: &str, (width, height): (u32, u32)) {
    page.look(width, height, "light");
    page.run::<()>("scrollTo(0, 0)", &[]);
    photograph(page, &format!("{name}-tall-light"));
}

#[test]
fn the_lanes_fit_their_window_in_light_and_dark() {
    // In a picture the twelve seconds of the timeline are to be full.
    let (lines, interval_s) = if folder().is_some() { (15, 0.6) } else { (2, 0.2) };
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let new = json!({"name": "release build", "source": {"kind": "generate", "rate_hz": 1.2}});
    let created = server.post("/api/deployments", "application/json", new.to_string());
    let id = created.json::<wirelab_clients::wire::Deployment>().id;
    let page = Page::of(&server);
    page.goto(&format!("http://{}/#/{id}", server.authority));
    let transports = server.get("/api/transports").json::<Vec<Value>>().len();
    wait_until("there is a lane for each transport", || live_lines(&page).len() == transports);
    page.slide("interval", interval_s);
    wait_within(Duration::from_secs(60), "every lane shows lines", || {
        live_lines(&page).iter().all(|shown| *shown >= lines)
    });
    page.click(".lane[data-transport=websocket] [data-part=ping]");
    let pong = ".lane[data-transport=websocket] [data-part=answer]";
    wait_until("the pong is shown", || page.text(pong).starts_with("pong"));
    look(&page, "lanes");
    photograph_tall(&page, "lanes", LANES);
    page.is_quiet();
}

/// The longest lesson, on a machine that is busy with other tests.
const LESSON_TIMEOUT: Duration = Duration::from_secs(150);

#[test]
fn the_lessons_fit_their_window_in_light_and_dark() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let page = Page::of(&server);
    page.goto(&format!("http://{}/#/lessons", server.authority));
    wait_until("the lessons are listed", || page.is_shown("#lessons"));
    look(&page, "lessons");
    let count: u32 = page.run("return document.querySelectorAll('#lesson-list li').length", &[]);
    for number in 1..=count {
        page.goto(&format!("http://{}/#/lessons/{number}", server.authority));
        let title = format!("Lesson {number} of {count}");
        wait_until("the lesson asks", || {
            page.text("#lesson-number") == title && page.is_shown("#lesson-form")
        });
        look(&page, &format!("lesson-{number}-question"));
        // What each comes to is another test's; all of them take some minutes.
        if folder().is_none() {
            continue;
        }
        page.click("#lesson-run");
        let mut said = String::new();
        wait_within(LESSON_TIMEOUT, &title, || {
            said = page.text("#lesson-say");
            said == "Measured." || said.starts_with("The lesson stopped")
        });
        assert_eq!(said, "Measured.", "{title}");
        // The whole of the lesson is in the longest time that the timeline shows.
        page.click(".timeline-spans button:last-child");
        page.run::<()>("scrollTo(0, 0)", &[]);
        photograph_tall(&page, &format!("lesson-{number}"), LESSON);
        look(&page, &format!("lesson-{number}"));
    }
}

#[test]
fn the_reports_fit_their_window_in_light_and_dark() {
    let results = tempfile::tempdir().unwrap();
    copy(Path::new("results/sample"), &results.path().join("quick/20261122T174950Z-80f5d4d"));
    let arguments = ["--store", "memory", "--results", results.path().to_str().unwrap()];
    let server = Binary::serve("127.0.0.1:0", &arguments);
    let page = Page::of(&server);
    page.reports();
    wait_until("results and plans are listed", || page.is_shown("#results-table") && page.is_shown("#plans"));
    look(&page, "reports");
    page.is_quiet();
}
