//! The list of deployments, and the form that makes one.

use std::process::Command;

use nix::sys::signal::Signal;
use wirelab_clients::wire::{Deployment, Status};

use crate::page::{Page, wait_until};
use crate::server::{Binary, wirelab};

fn serve() -> Binary {
    Binary::serve("127.0.0.1:0", &["--store", "memory"])
}

/// The newest deployment of the server.
fn newest(server: &Binary) -> Option<Deployment> {
    server.get("/api/deployments?limit=1").json::<Vec<Deployment>>().pop()
}

/// Fills the form's name, chooses a source, fills one field of it, sends.
fn create(page: &Page, name: &str, source: &str, field: Option<(&str, &str)>) {
    page.overview();
    page.fill("#new-name", name);
    page.click(&format!("#create input[value='{source}']"));
    if let Some((css, value)) = field {
        page.fill(css, value);
    }
    page.click("#create button");
    wait_until("it is opened", || page.is_shown("#lanes") && page.text("#lanes-name") == name);
}

#[test]
fn a_replay_is_created_by_the_form_and_followed_to_its_end() {
    let server = serve();
    let page = Page::of(&server);
    wait_until("the recordings are listed", || page.text("#recording").contains("pip-install"));
    page.choose("#recording", "pip-install");
    create(&page, "by form", "replay", Some(("#speed", "40")));
    page.wait_for_lanes("finished");
    let created = newest(&server).unwrap();
    assert_eq!((created.name.as_str(), created.ended), ("by form", Some(Status::Succeeded)));
    let recorded: Vec<_> =
        server.lines(&created.id, "").lines.into_iter().map(|line| line.line.text).collect();
    page.lanes_show(&recorded);
    page.is_quiet();
}

#[test]
fn a_generator_is_created_by_the_form() {
    let server = serve();
    let page = Page::of(&server);
    create(&page, "numbers", "generate", Some(("#rate", "5")));
    page.wait_for_lanes("live");
    // It ends by itself: after an hour, unless the form says otherwise.
    let source = serde_json::to_value(newest(&server).unwrap().source).unwrap();
    assert_eq!(source, serde_json::json!({"kind": "generate", "rate_hz": 5.0, "for_s": 3_600.0}));
    for lane in page.lanes() {
        wait_until("lines come", || page.lane_lines(&lane).len() >= 10);
        assert_eq!(page.lane_lines(&lane)[0], (1, "generated line 1".to_owned()));
        assert_eq!(page.of_lane(&lane, "order"), "none");
    }
    // And by the slider, which the keyboard moves as well.
    page.overview();
    page.click("#create input[value='generate']");
    page.press("#rate-slider", "\u{e014}\u{e014}");
    assert_eq!(page.run::<String>("return document.querySelector('#rate').value", &[]), "7");
    page.is_quiet();
}

#[test]
fn without_a_source_the_commands_to_paste_work_as_they_stand() {
    let server = serve();
    let page = Page::of(&server);
    create(&page, "fed by hand", "none", None);
    page.wait_for_lanes("live");
    let folder = wirelab().get_program().to_owned();
    let folder = std::path::Path::new(&folder).parent().unwrap().to_owned();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let paste = |css: &str| {
        assert!(page.is_shown(css), "{css} is hidden");
        let command = page.text(css);
        let output = Command::new("sh").args(["-c", &command]).env("PATH", &path).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    };
    paste("#with-curl");
    page.lanes_show(&["hello from curl"]);
    paste("#finish-with-curl");
    page.wait_for_lanes("finished");
    wait_until("it succeeded", || page.text("#lanes-status") == "succeeded");

    create(&page, "fed by wirelab", "none", None);
    page.wait_for_lanes("live");
    paste("#with-wirelab");
    page.wait_for_lanes("finished");
    for lane in page.lanes() {
        let lines = page.lane_lines(&lane);
        assert!(lines.iter().any(|(_, text)| text.contains("etc")), "{lines:?}");
    }
    page.is_quiet();
}

#[test]
fn the_form_says_what_the_server_refused() {
    let server = serve();
    let page = Page::of(&server);
    page.click("#create input[value='replay']");
    page.run::<()>("document.querySelector('#recording').replaceChildren(new Option('no-such'))", &[]);
    page.click("#create button");
    wait_until("it is told", || page.text("#create-note").contains("no-such"));
    assert!(page.is_shown("#overview") && page.is_enabled("#create button"));
    assert!(newest(&server).is_none());
    page.says_nothing_but(|said| said.contains("status of 400"));
}

#[test]
fn the_list_keeps_up_with_the_server() {
    let server = serve();
    let page = Page::of(&server);
    wait_until("it is empty", || page.is_shown("#list-empty"));
    let deployment = server.create();
    let row = format!("#list tr[data-id='{}']", deployment.id);
    let cell = |n: u32| page.text(&format!("{row} td:nth-child({n})")).trim().to_owned();
    let exists =
        |css: &str| page.run::<bool>("return document.querySelector(arguments[0]) !== null", &[css.into()]);
    wait_until("it is listed", || exists(&row));
    assert_eq!((cell(2).as_str(), cell(3).as_str()), ("running", "0"));
    assert!(cell(4).ends_with("ago"), "{}", cell(4));
    server.append(&deployment.id, &["a", "b"]);
    server.finish(&deployment.id, Status::Cancelled);
    wait_until("the row is refreshed", || cell(2) == "cancelled" && cell(3) == "2");
    // A link with its own address, which works again after a reload and by the browser's back.
    page.click(&format!("{row} a"));
    page.wait_for_lanes("finished");
    page.lanes_show(&["a", "b"]);
    page.reload();
    page.lanes_show(&["a", "b"]);
    page.run::<()>("history.back()", &[]);
    wait_until("the list is back", || page.is_shown("#overview"));
    server.ask("DELETE", &format!("/api/deployments/{}", deployment.id), &[], b"");
    wait_until("it is gone", || !exists(&row));
    page.is_quiet();
}

#[test]
fn a_server_that_hangs_is_asked_for_the_list_once_at_a_time() {
    let server = serve();
    let page = Page::of(&server);
    wait_until("the list is there", || page.is_shown("#list-empty"));
    let watch = "const ask = window.fetch;
        window.asking = window.asking_max = 0;
        window.fetch = (url, options) => {
            if (!url.startsWith('/api/deployments?')) return ask(url, options);
            window.asking_max = Math.max(window.asking_max, ++window.asking);
            const note = (error) => { window.failed_by = error.name; throw error; };
            return ask(url, options).catch(note).finally(() => window.asking--);
        }";
    page.run::<()>(watch, &[]);
    server.signal(Signal::SIGSTOP);
    wait_until("it is given up", || page.text("#list-note").contains("not fresh"));
    assert_eq!(page.run::<u32>("return window.asking_max", &[]), 1);
    server.signal(Signal::SIGCONT);
    let deployment = server.create();
    wait_until("the list goes on", || page.text("#list").contains(deployment.id.as_str()));
    assert_eq!(page.text("#list-note"), "");
    // Who goes elsewhere leaves no question behind, and is not told that it failed.
    server.signal(Signal::SIGSTOP);
    page.run::<()>("window.failed_by = null", &[]);
    wait_until("it is asked again", || page.run::<u32>("return window.asking", &[]) == 1);
    page.open(&deployment.id, "sse");
    let failed_by = || page.run::<Option<String>>("return window.failed_by", &[]);
    wait_until("the question is over", || failed_by().is_some());
    assert_eq!(failed_by().as_deref(), Some("AbortError"));
    assert_eq!(page.text("#list-note"), "");
    server.signal(Signal::SIGCONT);
}

#[test]
fn the_list_shows_older_deployments_when_asked() {
    let server = serve();
    let oldest = server.create();
    for _ in 0..129 {
        server.create();
    }
    let page = Page::of(&server);
    let rows = || page.run::<u32>("return document.querySelectorAll('#list tr').length", &[]);
    let last = || page.run::<String>("return document.querySelector('#list tr:last-child').dataset.id", &[]);
    wait_until("the newest are listed", || rows() == 100);
    assert!(page.is_shown("#list-older"));
    page.click("#list-older");
    wait_until("all are listed", || rows() == 130);
    assert_eq!(last(), oldest.id.as_str());
    assert!(!page.is_shown("#list-older"), "there is no older one");
    // Refreshed as a whole: an old one that is gone leaves the list, and a new one comes first.
    server.ask("DELETE", &format!("/api/deployments/{}", oldest.id), &[], b"");
    let new = server.create();
    wait_until("the list is fresh", || rows() == 130 && last() != oldest.id.as_str());
    let first = page.run::<String>("return document.querySelector('#list tr').dataset.id", &[]);
    assert_eq!(first, new.id.as_str());
    page.is_quiet();
}
