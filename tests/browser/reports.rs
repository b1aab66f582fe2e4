//! Results and runs on the page: read and downloaded, started, watched and cancelled; and what a person is told when
//! that is not to be had.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;
use wirelab_clients::wire::Transport;

use crate::looks;
use crate::page::{Page, wait_until, wait_within};
use crate::server::Binary;

/// A run of a second, its calibration and its server's start, on a machine that is busy with other tests.
const RUN_TIMEOUT: Duration = Duration::from_secs(120);
const HOSTILE: &str = "<img src=x onerror=alert(1)></title><script>";

/// A server with plans and results of its own.
struct Lab {
    server: Binary,
    folder: TempDir,
}

impl Lab {
    fn serve(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("data/plans")).unwrap();
        write_plan(folder.path(), "tiny", "Does it end?", "1s");
        write_plan(folder.path(), "slow", "Does it go on?", "10m");
        Self { server: serve("127.0.0.1:0", folder.path(), arguments), folder }
    }

    /// Kills the server; another one comes up in its place.
    fn restart(&mut self, arguments: &[&str]) {
        let address = self.server.authority.clone();
        self.server.signal(Signal::SIGKILL);
        wait_until("it is gone", || TcpStream::connect(&address).is_err());
        self.server = serve(&address, self.folder.path(), arguments);
    }

    fn results(&self) -> PathBuf {
        self.folder.path().join("results")
    }

    /// A folder as a run leaves it.
    fn keep_sample(&self, folder: &str) -> PathBuf {
        let kept = self.results().join(folder);
        copy("results/sample".as_ref(), &kept);
        kept
    }

    fn page(&self) -> Page {
        let page = Page::of(&self.server);
        page.before_each_page(COUNT_STREAMS);
        page.reload();
        page.reports();
        page
    }
}

fn serve(bind: &str, folder: &Path, arguments: &[&str]) -> Binary {
    let (results, data) = (folder.join("results"), folder.join("data"));
    let mut folders = vec!["--results", results.to_str().unwrap()];
    if !arguments.contains(&"--lab-data") {
        folders.extend(["--lab-data", data.to_str().unwrap()]);
    }
    Binary::serve(bind, &[&["--store", "memory"], &folders[..], arguments].concat())
}

/// Every stream that the page opens is kept in `streams`.
const COUNT_STREAMS: &str = "const Stream = window.EventSource;
    window.streams = [];
    window.EventSource = class extends Stream {
        constructor(url) { super(url); window.streams.push(this); }
    }";

fn write_plan(folder: &Path, name: &str, question: &str, duration: &str) {
    let plan = format!(
        "name = {name:?}\nquestion = {question:?}\nseed = 1\ntransports = [\"sse\"]\nsubscribers = 2\n\
         warm_up = \"100ms\"\ndrain = \"10s\"\nstore = \"memory\"\n\n\
         [lines]\nprocess = \"poisson\"\nrate_hz = 40\nduration = \"20m\"\n\n\
         [smoke]\nlines = {{ duration = {duration:?} }}\n"
    );
    fs::write(folder.join(format!("data/plans/{name}.toml")), plan).unwrap();
}

/// A folder with all that is in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let copied = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &copied),
            false => fs::copy(entry.path(), copied).map(|_| ()).unwrap(),
        }
    }
}

fn start(page: &Page, plan: &str) {
    let button = format!("[data-plan='{plan}'] button");
    wait_until("the plans are listed", || page.is_shown("#plans") && exists(page, &button));
    page.click(&button);
}

fn exists(page: &Page, css: &str) -> bool {
    page.run("return document.querySelector(arguments[0]) !== null", &[css.into()])
}

fn rows(page: &Page) -> Vec<String> {
    page.run(
        "return [...document.querySelectorAll('#results-list tr')].map((row) => row.dataset.folder)",
        &[],
    )
}

/// How many streams the page has open, and how many it opened ever.
fn streams(page: &Page) -> (u32, u32) {
    page.run(
        "return [streams.filter((stream) => stream.readyState !== EventSource.CLOSED).length, streams.length]",
        &[],
    )
}

fn wait_for_the_end(page: &Page) {
    wait_within(RUN_TIMEOUT, "the run ends", || page.text("#run-state").starts_with("Ended: "));
}

#[test]
fn a_run_that_is_started_here_shows_its_progress_and_ends_with_its_report() {
    let lab = Lab::serve(&[]);
    let page = lab.page();
    wait_until("there is none", || page.is_shown("#results-empty"));
    assert_eq!(streams(&page), (0, 0), "nothing is to be watched");
    // By keyboard alone; the focus goes to what is to be seen next.
    page.press("[data-plan='tiny'] button", "\u{e007}");
    assert_eq!(page.run::<String>("return document.activeElement.id", &[]), "run");
    wait_within(RUN_TIMEOUT, "its run is told", || page.text("#run-state").starts_with("Run 1 of 1: sse-1"));
    assert_eq!((page.text("#run-plan").as_str(), streams(&page)), ("tiny", (1, 1)));
    assert!(!page.is_enabled("[data-plan='slow'] button"), "a second run can be started");
    let share = "return document.querySelector('#run-progress').value";
    wait_until("the bar moves", || page.run::<f64>(share, &[]) > 0.0);
    let lines = page.text("#run-lines");
    assert!(lines.contains(" of ") && lines.ends_with(" lines of this run"), "{lines}");
    wait_for_the_end(&page);
    assert_eq!(streams(&page), (0, 1), "it has ended, and the connection is kept");
    assert!(page.text("#run-state").contains("(exit code "), "{}", page.text("#run-state"));
    assert!(page.is_enabled("[data-plan='slow'] button") && !page.is_shown("#run-cancel"));
    wait_until("it is listed", || rows(&page).len() == 1);
    let [folder] = rows(&page).try_into().unwrap();
    assert!(lab.results().join(&folder).join("report.html").exists(), "{folder}");
    page.is_quiet();

    page.click("#run-report");
    page.to_the_new_tab();
    wait_until("its report is there", || page.run("return document.readyState === 'complete'", &[]));
    let headings: Vec<String> = page.run(
        "return [...document.querySelectorAll('h1, h2')].filter((h) => h.checkVisibility()).map((h) => h.textContent)",
        &[],
    );
    assert!(headings.len() > 2 && headings[0].contains("Does it end?"), "{headings:?}");
    // Its own style counts: without, the body would have the browser's margin.
    let margin: String = page.run("return getComputedStyle(document.body).paddingBottom", &[]);
    assert_ne!(margin, "0px", "the report has no style");
    // From the start, so that what it says while it loads is heard.
    page.reload();
    wait_until("its report is there again", || page.run("return document.readyState === 'complete'", &[]));
    page.is_quiet();
}

#[test]
fn files_are_downloaded_as_they_are_on_disk() {
    let lab = Lab::serve(&[]);
    let folder = "quick/2026-11-22T174950Z-80f5d4d";
    let kept = lab.keep_sample(folder);
    let page = lab.page();
    wait_until("it is listed", || rows(&page) == [folder]);
    let row = page.text("#results-list");
    assert!(row.contains("Does every transport deliver a real deployment") && row.contains("2026"), "{row}");
    let links: Vec<(String, String)> = page.run(
        "return [...document.querySelectorAll('#results-list a[download]')].map((a) => [a.textContent, a.ariaLabel])",
        &[],
    );
    let names: Vec<_> = links.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["checks.csv", "percentiles.csv", "runs.csv", "theory.csv", "timeseries.csv"]);
    assert!(links.iter().all(|(name, label)| label.starts_with(&format!("{name} of {folder}"))), "{links:?}");
    for (i, name) in names.iter().enumerate() {
        let downloads = tempfile::tempdir().unwrap();
        let allow = json!({ "behavior": "allow", "downloadPath": downloads.path() });
        page.devtools("Browser.setDownloadBehavior", allow);
        page.click(&format!("#results-list li:nth-child({}) a[download]", i + 2));
        let expected = fs::read(kept.join(name)).unwrap();
        wait_until(name, || {
            let mut files = fs::read_dir(downloads.path()).unwrap().map(|entry| entry.unwrap().path());
            files.any(|file| {
                file.extension().is_some_and(|e| e == "csv")
                    && fs::read(file).is_ok_and(|bytes| bytes == expected)
            })
        });
    }
    page.is_quiet();
}

#[test]
fn verdicts_are_words() {
    let lab = Lab::serve(&[]);
    let kept = lab.keep_sample("quick/2026-11-22T174950Z-80f5d4d");
    let page = lab.page();
    wait_until("it is listed", || rows(&page).len() == 1);
    let verdicts =
        "return [...document.querySelectorAll('#results-list .badge')].map((li) => li.textContent)";
    let shown: Vec<String> = page.run(verdicts, &[]);
    let mut csv = csv::Reader::from_path(kept.join("runs.csv")).unwrap();
    let column = csv.headers().unwrap().iter().position(|name| name == "verdict").unwrap();
    let given: Vec<String> = csv.records().map(|run| run.unwrap()[column].to_owned()).collect();
    let expected: Vec<String> = ["ok", "unresolved", "invalid"]
        .map(|word| (given.iter().filter(|verdict| *verdict == word).count(), word))
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    assert_eq!(shown, expected);
    page.is_quiet();
}

#[test]
fn a_run_can_be_cancelled() {
    let lab = Lab::serve(&[]);
    let page = lab.page();
    start(&page, "slow");
    wait_within(RUN_TIMEOUT, "it runs", || page.text("#run-state").starts_with("Run 1 of 1"));
    page.click("#run-cancel");
    assert_eq!(
        page.run::<String>("return document.activeElement.id", &[]),
        "run",
        "the focus went with the button"
    );
    wait_for_the_end(&page);
    assert!(page.text("#run-state").ends_with("(exit code 130)."), "{}", page.text("#run-state"));
    assert!(page.is_enabled("[data-plan='tiny'] button") && streams(&page) == (0, 1));
    // What was measured is written, though no run was finished; its link leads somewhere.
    wait_until("it is listed", || rows(&page).len() == 1);
    assert!(
        page.text("#results-list tr").contains("no run was finished"),
        "{}",
        page.text("#results-list tr")
    );
    wait_until("its report is offered", || page.is_shown("#run-report"));
    let href: String = page.run("return document.querySelector('#run-report').pathname", &[]);
    assert_eq!(lab.server.get(&href).status, 200, "{href}");
    page.is_quiet();
}

#[test]
fn a_run_that_failed_is_told_and_links_to_nothing() {
    let lab = Lab::serve(&[]);
    let page = Page::of(&lab.server);
    let ended = json!({
        "exit": 6, "meaning": "the server or the environment failed", "problem": "the disk is full",
        "folder": "tiny/2026-11-22T174950Z-80f5d4d"
    });
    page.answer_instead("/api/lab/runs", 200, &json!([{ "plan": "tiny", "ended": ended }]));
    page.reload();
    page.reports();
    wait_for_the_end(&page);
    assert_eq!(page.text("#run-state"), "Ended: the server or the environment failed (exit code 6).");
    assert_eq!(page.text("#run-problem"), "the disk is full");
    wait_until("it is told", || page.text("#run-no-report").contains("no report in tiny/2026"));
    assert!(!page.is_shown("#run-report") && page.is_enabled("[data-plan='tiny'] button"));
    page.is_quiet();
}

#[test]
fn a_second_tab_is_told_of_the_run_under_way() {
    let lab = Lab::serve(&[]);
    let (page, second) = (lab.page(), lab.page());
    wait_until("the plans are listed", || exists(&second, "[data-plan='tiny'] button"));
    // The second one does not see it coming.
    let blind = "const ask = window.fetch;
        window.fetch = (url, options) => url === '/api/lab/runs' && options.method === 'GET'
            ? Promise.resolve(new Response('[]'))
            : ask(url, options)";
    second.run::<()>(blind, &[]);
    start(&page, "slow");
    wait_within(RUN_TIMEOUT, "it runs", || page.text("#run-state").starts_with("Run 1 of 1"));
    start(&second, "tiny");
    wait_until("it is told", || !second.text("#run-problem").is_empty());
    wait_until("what runs is shown", || second.text("#run-plan") == "slow");
    assert_eq!((streams(&page), streams(&second)), ((1, 1), (1, 1)));
    // What one cancels ends in both; a third finds it ended, without a connection.
    second.click("#run-cancel");
    wait_for_the_end(&page);
    wait_for_the_end(&second);
    let third = lab.page();
    wait_for_the_end(&third);
    assert_eq!((third.text("#run-plan"), streams(&third)), ("slow".to_owned(), (0, 0)));
    page.is_quiet();
    let others: Vec<_> =
        second.complaints().into_iter().filter(|said| !said.contains("status of 409")).collect();
    assert_eq!(others, Vec::<String>::new());
}

#[test]
fn who_leaves_holds_no_connection_and_finds_the_run_again() {
    let lab = Lab::serve(&[]);
    let page = lab.page();
    start(&page, "slow");
    wait_within(RUN_TIMEOUT, "it runs", || page.text("#run-state").starts_with("Run 1 of 1"));
    page.click(".brand");
    wait_until("it is left", || page.is_shown("#overview") && streams(&page) == (0, 1));
    page.click("nav a[href='#/reports']");
    wait_until("it is found again", || page.text("#run-state").starts_with("Run 1 of 1"));
    assert_eq!((page.text("#run-plan"), streams(&page)), ("slow".to_owned(), (1, 2)));
    page.click("#run-cancel");
    wait_for_the_end(&page);
    page.is_quiet();
}

#[test]
fn a_run_is_watched_once_other_tabs_leave_a_connection() {
    let lab = Lab::serve(&[]);
    let page = lab.page();
    let id = lab.server.create().id;
    let held = || Transport::ALL.into_iter().map(|transport| lab.server.waiters(transport)).sum::<i64>();
    // Three requests are held for the first; the second stops before the sixth. Sockets are not among them.
    page.run::<()>("window.lanes = window.open(arguments[0])", &[format!("/#/{id}").into()]);
    wait_until("a tab holds three and a socket", || held() == 4);
    page.run::<()>("window.more = window.open(arguments[0])", &[format!("/#/{id}").into()]);
    wait_until("another holds two more and a socket", || held() == 7);
    // A hidden tab asks for no list.
    page.devtools("Page.bringToFront", json!({}));
    let waits = || wait_until("the run is under way", || page.text("#run-state").contains("other tabs"));
    start(&page, "tiny");
    waits();
    // Its end is in the list all the same.
    wait_for_the_end(&page);
    start(&page, "slow");
    waits();
    assert_eq!(streams(&page), (0, 0));
    page.run::<()>("window.more.close()", &[]);
    wait_within(RUN_TIMEOUT, "it is watched", || page.text("#run-state").starts_with("Run 1 of 1"));
    assert_eq!(streams(&page), (1, 1));
    page.click("#run-cancel");
    wait_for_the_end(&page);
    assert_eq!(streams(&page), (0, 1));
    page.is_quiet();
}

#[test]
fn a_server_that_went_down_took_its_run_with_it() {
    let mut lab = Lab::serve(&[]);
    let page = lab.page();
    start(&page, "slow");
    wait_within(RUN_TIMEOUT, "it runs", || page.text("#run-state").starts_with("Run 1 of 1"));
    lab.restart(&[]);
    wait_within(RUN_TIMEOUT, "it is told", || {
        page.text("#run-state").contains("does not know this run any more")
    });
    assert_eq!((page.is_shown("#run-cancel"), streams(&page).0), (false, 0));
    wait_until("the list is fresh", || page.text("#results-note").is_empty());
    assert!(page.is_enabled("[data-plan='tiny'] button"));
    // Nor does it leave buttons that lead nowhere when the server comes back without a lab.
    lab.restart(&["--no-lab"]);
    wait_until("it is told", || page.text("#reports-refusal").contains("--no-lab"));
    assert_eq!(shown_controls(&page), 0);
}

/// Buttons and links of the view that a person could press.
fn shown_controls(page: &Page) -> u32 {
    page.run(
        "return [...document.querySelectorAll('#reports :is(button, a)')].filter((e) => e.checkVisibility()).length",
        &[],
    )
}

#[test]
fn where_there_is_no_lab_the_server_says_so_and_no_button_is_dead() {
    let lab = Lab::serve(&["--no-lab"]);
    let page = lab.page();
    wait_until("it is told", || page.text("#reports-refusal").contains("--no-lab"));
    assert!(page.is_shown("#refused") && shown_controls(&page) == 0);
    let others: Vec<_> =
        page.complaints().into_iter().filter(|said| !said.contains("status of 404")).collect();
    assert_eq!(others, Vec::<String>::new());
}

#[test]
fn through_a_proxy_the_server_says_so_and_no_button_is_dead() {
    let lab = Lab::serve(&[]);
    let page = Page::of(&lab.server);
    page.devtools("Network.enable", json!({}));
    let marked = json!({ "headers": { "X-Forwarded-For": "192.0.2.1" } });
    page.devtools("Network.setExtraHTTPHeaders", marked);
    page.reports();
    wait_until("it is told", || page.text("#reports-refusal").contains("x-forwarded-for"));
    assert!(page.is_shown("#refused") && shown_controls(&page) == 0);
    let others: Vec<_> =
        page.complaints().into_iter().filter(|said| !said.contains("status of 403")).collect();
    assert_eq!(others, Vec::<String>::new());
}

#[test]
fn the_list_keeps_up_with_the_folder() {
    let lab = Lab::serve(&[]);
    let page = lab.page();
    wait_until("it is empty", || page.is_shown("#results-empty"));
    lab.keep_sample("quick/2026-11-22T174950Z-80f5d4d");
    wait_until("it is listed", || rows(&page) == ["quick/2026-11-22T174950Z-80f5d4d"]);
    // Who is at a link of it stays there, though the list is asked for again.
    let link = "document.querySelector('#results-list a')";
    page.run::<()>(&format!("{link}.focus(); window.before = {link}"), &[]);
    lab.keep_sample("quick/2026-11-23T174950Z-80f5d4d");
    wait_until("the second is listed", || rows(&page).len() == 2);
    assert!(page.run::<bool>("return window.before.isConnected", &[]), "the row was made anew");
    fs::remove_dir_all(lab.results().join("quick")).unwrap();
    wait_until("it is empty again", || rows(&page).is_empty() && page.is_shown("#results-empty"));
    page.is_quiet();
}

#[test]
fn hostile_plans_and_questions_are_text() {
    let lab = Lab::serve(&[]);
    let kept = lab.keep_sample("quick/2026-11-22T174950Z-80f5d4d");
    let plan = fs::read_to_string(kept.join("plan.toml")).unwrap();
    let hostile =
        plan.replace("Does every transport", HOSTILE).replace("\"quick\"", &json!(HOSTILE).to_string());
    fs::write(kept.join("plan.toml"), hostile).unwrap();
    write_plan(lab.folder.path(), "hostile", HOSTILE, "1s");
    let page = lab.page();
    wait_until("it can be started", || page.text("#plans-list").contains(HOSTILE));
    wait_until("it is listed", || rows(&page).len() == 1);
    let row = page.text("#results-list td");
    assert_eq!(row.matches(HOSTILE).count(), 2, "{row}");
    has_no_foreign_element(&page);
    page.is_quiet();
}

/// This server lists plain names only; the page relies on nobody.
#[test]
fn hostile_folders_are_text_and_their_links_stay_on_the_server() {
    let lab = Lab::serve(&[]);
    let page = Page::of(&lab.server);
    let folder = format!("{HOSTILE}/\u{202e}?x#y%2e");
    let listed = json!([{
        "folder": folder, "plan": HOSTILE, "question": HOSTILE, "started": HOSTILE, "runs": 1,
        "verdicts": { HOSTILE: 1 }, "files": ["report.html", "javascript:alert(1).csv"], "problem": HOSTILE
    }]);
    page.answer_instead("/api/lab/results", 200, &listed);
    page.reload();
    page.reports();
    wait_until("it is listed", || rows(&page) == [folder.as_str()]);
    has_no_foreign_element(&page);
    let links = "return [...document.querySelectorAll('#results-list a')].map(
        (a) => [a.origin === location.origin && a.search + a.hash === '', a.pathname])";
    for (stays, path) in page.run::<Vec<(bool, String)>>(links, &[]) {
        assert!(stays && path.starts_with("/api/lab/results/%3Cimg"), "{path}");
    }
    page.is_quiet();
}

#[track_caller]
fn has_no_foreign_element(page: &Page) {
    let elements = "return document.querySelectorAll('img, #reports script').length";
    assert_eq!(page.run::<u32>(elements, &[]), 0);
    assert_eq!(page.run::<String>("return document.title", &[]), "Reports · wirelab");
}

#[test]
fn a_folder_that_cannot_be_read_is_told_among_the_others() {
    let lab = Lab::serve(&[]);
    lab.keep_sample("quick/2026-11-22T174950Z-80f5d4d");
    let kept = lab.keep_sample("quick/2026-11-23T174950Z-80f5d4d");
    fs::write(kept.join("runs.csv"), "schema_version,plan\n1,\"").unwrap();
    let page = lab.page();
    wait_until("both are listed", || rows(&page).len() == 2);
    let broken = page.text("#results-list tr:first-child td");
    assert!(
        broken.starts_with("quick/2026-11-23T174950Z-80f5d4d") && broken.contains("runs.csv"),
        "{broken}"
    );
    assert!(page.is_shown("#results-list tr:first-child .problem"));
    assert_eq!(page.text("#results-list tr:nth-child(2) .problem"), "");
    page.is_quiet();
}

#[test]
fn results_and_runs_fit_their_window_in_light_and_dark() {
    let lab = Lab::serve(&["--lab-data", "data"]);
    for day in 20..24 {
        lab.keep_sample(&format!("quick/2026-11-{day}T174950Z-80f5d4d"));
    }
    fs::write(lab.results().join("quick/2026-11-21T174950Z-80f5d4d/manifest.json"), "{").unwrap();
    let page = lab.page();
    wait_until("they are listed", || rows(&page).len() == 4);
    wait_until("the plans are there", || exists(&page, "[data-plan='e05-hold'] button"));
    looks::look(&page, "reports");
    start(&page, "e05-hold");
    wait_within(RUN_TIMEOUT, "it runs", || page.text("#run-state").starts_with("Run 1 of "));
    looks::look(&page, "reports-running");
    page.click("#run-cancel");
    wait_for_the_end(&page);
    wait_until("whether there is a report is told", || {
        page.is_shown("#run-report") || !page.text("#run-no-report").is_empty()
    });
    looks::look(&page, "reports-cancelled");
    page.is_quiet();
}

#[test]
fn a_results_folder_that_cannot_be_read_is_told() {
    let lab = Lab::serve(&[]);
    fs::create_dir_all(lab.folder.path()).unwrap();
    let _ = fs::remove_dir_all(lab.results());
    fs::write(lab.results(), "this is no folder").unwrap();
    let page = lab.page();
    wait_until("it is told", || page.text("#results-note").contains("results"));
    // The rest of the page goes on, and so does the list when the folder is there again.
    wait_until("the plans are there", || page.is_enabled("[data-plan='tiny'] button"));
    fs::remove_file(lab.results()).unwrap();
    lab.keep_sample("quick/2026-11-22T174950Z-80f5d4d");
    wait_until("it is listed", || rows(&page).len() == 1 && page.text("#results-note").is_empty());
    let others: Vec<_> = page.complaints().into_iter().filter(|said| !said.contains("status of 5")).collect();
    assert_eq!(others, Vec::<String>::new());
}
