//! The page fits its window, in light and dark. With `WIRELAB_SCREENSHOTS=FOLDER` every look is kept there as a
//! picture; `scripts/screenshots` takes those of the documents from it.

use std::fs;
use std::path::PathBuf;

use serde_json::json;

use crate::page::{Page, wait_until};
use crate::server::Binary;

/// Width and height of the documents' pictures, and of a narrow window.
const WINDOWS: [(u32, u32); 2] = [(1280, 720), (800, 900)];
/// A picture in a document should not weigh more than its text.
const PNG_BYTES_MAX: usize = 250_000;

/// Where pictures go, if they are wanted.
fn folder() -> Option<PathBuf> {
    std::env::var_os("WIRELAB_SCREENSHOTS").map(PathBuf::from)
}

/// Checks the page in every window and colour; photographs each.
pub(crate) fn look(page: &Page, name: &str) {
    for (width, height) in WINDOWS {
        for colours in ["light", "dark"] {
            page.look(width, height, colours);
            let of = format!("{name} at {width}×{height}, {colours}");
            let beyond = "return [...document.querySelectorAll('body *')].filter((element) => {
                const { right, width } = element.getBoundingClientRect();
                return width > 0 && right > innerWidth + 1 && !element.closest('#log');
            }).map((element) => element.outerHTML.slice(0, 100))";
            assert_eq!(page.run::<Vec<String>>(beyond, &[]), Vec::<String>::new(), "{of}: is cut off");
            let ground: String = page.run("return getComputedStyle(document.body).backgroundColor", &[]);
            let first: u32 = ground.trim_start_matches("rgb(").split(',').next().unwrap().parse().unwrap();
            assert_eq!(first < 128, colours == "dark", "{of}: {ground}");
            let png = page.photograph();
            assert!(png.starts_with(b"\x89PNG") && png.len() < PNG_BYTES_MAX, "{of}: {} bytes", png.len());
            if let Some(folder) = folder() {
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(format!("{name}-{width}-{colours}.png")), png).unwrap();
            }
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
    page.click("#publish summary");
    look(&page, "by-hand");
    server.ask("DELETE", &format!("/api/deployments/{by_hand}"), &[], b"");
    page.wait_for("deleted", "ndjson");
    look(&page, "deleted");
    page.is_quiet();
}
