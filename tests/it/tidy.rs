//! The repository's own rules, checked by reading its files.
//!
//! Each test collects every offence before it fails, so that one run shows all of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use wirelab_clients::harness::plan::{Plan, Size};
use wirelab_clients::harness::rows::{CheckRow, PercentileRow, Row, RunRow, SeriesRow, TheoryRow};
use wirelab_clients::recording::Recording;
use wirelab_clients::targets::profile::{Profile, ProfileError, ServerOf};
use wirelab_clients::wire::Transport;

/// Lines of a source file. Beyond it, a file has more than one idea.
const FILE_LINES_MAX: usize = 600;
/// Files that may be longer, and why.
const LONG_FILES: &[(&str, &str)] =
    &[("clients/src/wire.rs", "the whole contract in one place is worth more than a short file")];

/// Folders of people and of their tools: traces of the machine that something was written on. Recordings say
/// `/home/user` instead. In two parts, so that this file does not hold them.
const TRACES: &[&str] = &[concat!("/ro", "ot/"), concat!("/.car", "go/"), concat!("/Us", "ers/")];
const HOMES: &str = concat!("/ho", "me/");
/// Of recordings, and of a unit test.
const MADE_UP: &[&str] = &["user/", "user`", "ada/"];

struct Source {
    /// From the repository's root, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// The code of the file: without comments, and without its tests, which come last.
    fn code(&self) -> String {
        let code = self.text.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let without_comment = |line: &str| line.split("//").next().unwrap_or_default().to_owned() + "\n";
        code.lines().map(without_comment).collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below the folders that hold our own text.
fn files() -> Vec<PathBuf> {
    let mut files: Vec<_> =
        ["Cargo.toml", "clippy.toml", "rustfmt.toml"].map(|name| root().join(name)).into();
    let mut folders: Vec<_> =
        ["src", "clients", "tests", "static", "data", "docs", "scripts", "results/sample", "benches", ".ci"]
            .map(|name| root().join(name))
            .into();
    let documents = fs::read_dir(root()).expect("the root can be read").filter_map(Result::ok);
    files.extend(
        documents.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "md")),
    );
    while let Some(folder) = folders.pop() {
        // A folder that is not there holds no offence.
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            let is_ours = path != root().join("data/deployments") && entry.file_name() != "target";
            if path.is_dir() && is_ours {
                folders.push(path);
            } else if path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<Source> {
    let rust = files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    let sources: Vec<_> = rust
        .map(|path| Source {
            text: fs::read_to_string(&path).expect("a source can be read"),
            path: path
                .strip_prefix(root())
                .expect("below the root")
                .to_str()
                .expect("UTF-8")
                .replace('\\', "/"),
        })
        .collect();
    assert!(sources.len() > 30, "the sources were not found");
    sources
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn none(offences: Vec<String>) {
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

/// Uses of any of `words` in the code of the files that `concerns` picks.
fn uses(words: &[&str], concerns: impl Fn(&str) -> bool) -> Vec<String> {
    let mut uses = Vec::new();
    for source in sources().iter().filter(|source| concerns(&source.path)) {
        let code = source.code();
        for (i, line) in code.lines().enumerate() {
            let used = words.iter().filter(|word| line.contains(**word));
            uses.extend(used.map(|word| format!("{}:{} uses {word}", source.path, i + 1)));
        }
    }
    uses
}

#[test]
fn every_transport_has_three_halves_with_one_title() {
    let title = |path: &str| {
        let text = read(path);
        let first = text.lines().next().unwrap_or_default().to_owned();
        let comment = first.strip_prefix("//! ").or_else(|| first.strip_prefix("// "));
        comment.and_then(|line| line.split(':').next()).map(str::to_owned)
    };
    for transport in Transport::ALL {
        let stem = transport.name().replace('-', "_");
        let server = format!("src/transports/{stem}.rs");
        let client = format!("clients/src/transports/{stem}.rs");
        let browser = format!("static/transports/{stem}.js");
        assert!(title(&server).is_some(), "{server} has no title");
        assert_eq!(title(&browser), title(&client), "{browser} and {client}");
        assert_eq!(title(&server), title(&client), "{server} and {client}");
    }
}

/// The document that promises are written in.
const PROTOCOL_DOCUMENT: &str = "docs/protocol.md";
/// First letters of their codes.
const PROMISE_FAMILIES: &str = "XPLSQWN";
/// No family has as many, and a percentile has a larger number.
const PROMISE_NUMBER_MAX: u32 = 19;

/// The code of a promise that a word is, such as `X9`; in lower case as names of tests have it.
fn promise(word: &str) -> Option<String> {
    let code = word.to_ascii_uppercase();
    let digits = code.strip_prefix(|family| PROMISE_FAMILIES.contains(family))?;
    let is_canonical = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    let number: u32 = digits.parse().ok().filter(|_| is_canonical)?;
    (number <= PROMISE_NUMBER_MAX).then_some(code)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c != '_' && !c.is_alphanumeric())
}

/// What stands in the comment of a line, if it has one. Stars begin a line of a comment in scripts and style sheets.
fn comment(line: &str) -> &str {
    let begins = ["//", "/*", "<!--"].iter().filter_map(|mark| line.find(mark)).min();
    let goes_on = line.trim_start().starts_with("* ").then_some(0);
    begins.or(goes_on).map_or("", |begin| &line[begin..])
}

/// The promises that the comment of a line names.
fn promises_in_comment(line: &str) -> impl Iterator<Item = String> {
    let capital = |word: &&str| word.starts_with(|c: char| c.is_ascii_uppercase());
    words(comment(line)).filter(capital).filter_map(promise)
}

/// The promises that names of functions begin with. A test that a macro makes is found by its `x`.
fn promises_in_names(line: &str) -> impl Iterator<Item = String> {
    let mut before = "";
    let names = words(line).filter(move |word| {
        let is_function = std::mem::replace(&mut before, *word) == "fn";
        is_function || word.starts_with('x')
    });
    // As many parts as have another behind them: `x1` alone is a variable.
    names.flat_map(|name| name.split('_').take(name.matches('_').count()).map_while(promise))
}

#[test]
fn only_what_is_a_code_of_a_promise_is_taken_for_one() {
    let rows: [(&str, &[&str], &[&str]); 8] = [
        ("    /// X9, P7 and L10: what clients do. That is X12's.", &["X9", "P7", "L10", "X12"], &[]),
        (" * Comes back as W13 says", &["W13"], &[]),
        ("/* S3 */ .lane {", &["S3"], &[]),
        ("async fn x3_x8_a_position_is_refused() { // N2", &["N2"], &["X3", "X8"]),
        ("    x1_notices_a_dropped_line(DropsALine, x1_a_log_is_read, 7);", &[], &["X1", "X1"]),
        ("    fn q14_a_line_may_reach_the_bound() {", &[], &["Q14"]),
        ("let (x1, l7_up_bytes, p50_us) = (X1, L7, of(n2_of));", &[], &[]),
        ("// P50, P99, S03, X, XY1, 9X, HTTP/2, base64, q1 and x1 are none", &[], &[]),
    ];
    for (line, in_comment, in_names) in rows {
        assert_eq!(promises_in_comment(line).collect::<Vec<_>>(), in_comment, "{line}");
        assert_eq!(promises_in_names(line).collect::<Vec<_>>(), in_names, "{line}");
    }
}

#[test]
fn every_promise_that_code_names_is_in_the_protocol() {
    let protocol = read(PROTOCOL_DOCUMENT);
    let rows = protocol.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next());
    let promised: Vec<_> = rows.filter(|word| promise(word).as_deref() == Some(*word)).collect();
    let headings: Vec<_> = protocol.lines().filter(|line| line.starts_with("##")).collect();
    let is_heading = |name: &str| headings.iter().any(|line| line.trim_start_matches('#').trim() == name);
    // Written so that this file names neither itself.
    let (elsewhere, heading) = (concat!("PROTO", "COL"), format!("{PROTOCOL_DOCUMENT}, \""));

    let (mut named, mut offences) = (0, Vec::new());
    let texts = sources().into_iter().map(|source| (source.path, source.text)).chain(page_files());
    for (path, text) in texts {
        for (i, line) in text.lines().enumerate() {
            let mut offend = |what: String| offences.push(format!("{path}:{} {what}", i + 1));
            let mut codes: Vec<_> = promises_in_comment(line).collect();
            if path.ends_with(".rs") {
                codes.extend(promises_in_names(line));
            }
            named += codes.len();
            for code in codes.iter().filter(|code| !promised.contains(&code.as_str())) {
                offend(format!("names {code}, which {PROTOCOL_DOCUMENT} does not promise"));
            }
            if words(line).any(|word| word == elsewhere) {
                offend(format!(
                    "names a document {elsewhere}; write {PROTOCOL_DOCUMENT} and a heading, or a code"
                ));
            }
            let referred = line.split(heading.as_str()).skip(1).filter_map(|rest| rest.split('"').next());
            for name in referred.filter(|name| !is_heading(name)) {
                offend(format!("refers to {name:?}, which is no heading of {PROTOCOL_DOCUMENT}"));
            }
        }
    }
    assert!(named > 100, "promises are named {named} times only: the pattern finds them no more");
    none(offences);
}

/// Every file of the page, with its path.
fn page_files() -> Vec<(String, String)> {
    let below = files().into_iter().filter(|path| path.starts_with(root().join("static")));
    let files: Vec<_> = below
        .map(|path| (path.display().to_string(), fs::read_to_string(&path).expect("the page is text")))
        .collect();
    assert!(files.len() > 10, "the page was not found");
    files
}

#[test]
fn the_page_turns_no_text_into_markup_or_code() {
    let forbidden = [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "setHTML",
        "document.write",
        "DOMParser",
        "createContextualFragment",
        "srcdoc",
        "eval(",
        "new Function",
        " style=",
        " onclick=",
        "<script>",
    ];
    let mut offences = Vec::new();
    for (path, text) in page_files() {
        let used = forbidden.iter().filter(|word| text.contains(**word));
        offences.extend(used.map(|word| format!("{path} uses {word}")));
    }
    none(offences);
}

#[test]
fn the_page_needs_no_other_host() {
    let mut offences = Vec::new();
    for (path, text) in page_files() {
        // The name of SVG is an address that nobody asks.
        let text = text.replace("http://www.w3.org/2000/svg", "");
        let found =
            ["http://", "https://", "ws://", "wss://"].into_iter().filter(|scheme| text.contains(scheme));
        offences.extend(found.map(|scheme| format!("{path} holds {scheme}")));
    }
    none(offences);
}

#[test]
fn every_script_of_the_page_says_what_it_is_and_can_be_read_in_one_sitting() {
    let mut offences = Vec::new();
    for (path, text) in page_files().into_iter().filter(|(path, _)| path.ends_with(".js")) {
        let first = text.lines().next().unwrap_or_default();
        if first.strip_prefix("// ").is_none_or(|rest| rest.len() <= 20) {
            offences.push(format!("{path} does not begin with what it is (`// …`)"));
        }
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            offences.push(format!("{path} has {lines} lines: split it by idea"));
        }
    }
    none(offences);
}

#[test]
fn every_file_says_what_it_is() {
    let sources = sources();
    let silent = sources.iter().filter(|source| {
        let first = source.text.lines().next().unwrap_or_default();
        first.strip_prefix("//! ").is_none_or(|rest| rest.len() <= 20)
    });
    none(silent.map(|source| format!("{} does not begin with what it is (`//! …`)", source.path)).collect());
}

#[test]
fn clients_know_nothing_of_the_server() {
    none(uses(&["actix", "wirelab::"], |path| path.starts_with("clients/src")));
    let manifest = read("clients/Cargo.toml");
    assert!(!manifest.contains("actix") && !manifest.contains("path = \"..\""), "clients/Cargo.toml");
}

#[test]
fn transports_reach_the_store_only_through_readers() {
    none(uses(&["crate::store", "super::super::store"], |path| {
        path.starts_with("src/transports") && !path.ends_with("/tests.rs")
    }));
}

#[test]
fn a_store_knows_no_http() {
    none(uses(
        &["actix", "crate::server", "crate::transports", "crate::api", "crate::exchange", "crate::context"],
        |path| path.starts_with("src/store"),
    ));
}

#[test]
fn pure_modules_read_no_clock_no_file_and_no_socket() {
    let pure = [
        "deflate",
        "gzip",
        "harness/connection_memory",
        "harness/gates",
        "harness/distributions",
        "harness/ending",
        "harness/cell",
        "harness/due_table",
        "harness/rows",
        "harness/run_result",
        "harness/plan",
        "harness/receipts",
        "harness/schedule",
        "harness/series",
        "harness/shared_record",
        "harness/staleness",
        "harness/statistics",
        "harness/theory",
        "harness/thresholds",
        "options",
        "poll_schedule",
    ]
    .map(|module| format!("clients/src/{module}"));
    let concerns = |path: &str| {
        let in_module = |module: &String| {
            path.strip_prefix(module.as_str()).is_some_and(|rest| rest.starts_with(['.', '/']))
        };
        path.starts_with("src/report/") || pure.iter().any(in_module)
    };
    assert!(sources().iter().any(|source| concerns(&source.path)), "there is nothing pure to check");
    none(uses(&["Instant::now", "SystemTime", "std::fs", "std::net", "tokio::fs", "tokio::net"], concerns));
}

/// Reasons, remarks and problems are sentences for people. A program goes by a check's name, a verdict or a column.
#[test]
fn no_program_reads_prose() {
    let prose = ["reason", "remark", "said", "problem"];
    let reading =
        [".starts_with(", ".ends_with(", ".contains(", ".strip_prefix(", ".split_once(", "str.startswith("];
    let is_program = |path: &str| path.starts_with("src/") || path.starts_with("clients/src/");
    let is_test = |path: &str| path.ends_with("tests.rs") || path.contains("/tests/");
    let mut code: Vec<(String, String)> = sources()
        .iter()
        .filter(|source| is_program(&source.path) && !is_test(&source.path))
        .map(|source| (source.path.clone(), source.code()))
        .collect();
    for script in ["scripts/read_csv.py", "scripts/check_results.py"] {
        code.push((script.to_owned(), read(script)));
    }
    let mut offences = Vec::new();
    for (path, text) in &code {
        for (i, line) in text.lines().enumerate() {
            // Texts are not programs.
            let line: String = line.split('"').step_by(2).collect();
            for call in reading {
                let Some((before, _)) = line.split_once(call) else { continue };
                let subject = before.rsplit([' ', '(', '!', '&', '|']).next().unwrap_or_default();
                if prose.iter().any(|word| subject.contains(word)) {
                    offences.push(format!("{path}:{} reads prose: {subject}{call}…)", i + 1));
                }
            }
        }
    }
    none(offences);
}

#[test]
fn unsafe_code_stays_in_one_module() {
    none(uses(&["unsafe {", "unsafe fn", "allow(unsafe_code)"], |path| {
        path.starts_with("src")
            || path.starts_with("clients/src")
                && path != "clients/src/os.rs"
                && path != "clients/src/os/tun.rs"
    }));
}

#[test]
fn no_test_is_ignored() {
    let word = concat!("#[ig", "nore");
    let ignored = sources().into_iter().filter(|source| source.text.contains(word));
    none(ignored.map(|source| format!("{} ignores a test", source.path)).collect());
}

#[test]
fn no_file_is_too_long_to_be_read_in_one_sitting() {
    let mut offences = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        let excused = LONG_FILES.iter().any(|(path, _)| *path == source.path);
        if lines > FILE_LINES_MAX && !excused {
            offences.push(format!(
                "{} has {lines} lines: split it by idea, or list it with a reason",
                source.path
            ));
        }
        if lines <= FILE_LINES_MAX && excused {
            offences.push(format!("{} has {lines} lines and needs no excuse any more", source.path));
        }
    }
    none(offences);
}

#[test]
fn nothing_tells_where_it_was_written() {
    let mut offences = Vec::new();
    for path in files() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let found = TRACES.iter().filter(|trace| text.contains(**trace));
        offences.extend(found.map(|trace| format!("{} holds {trace:?}", path.display())));
        let homes =
            text.split(HOMES).skip(1).filter(|rest| !MADE_UP.iter().any(|user| rest.starts_with(user)));
        offences.extend(homes.map(|rest| format!("{} holds {HOMES}{rest:.20}", path.display())));
    }
    none(offences);
}

/// The registry's own tests see to it that a column's suffix is its unit; here no file has a column of its own.
/// A document that names a file which moved sends its reader nowhere.
#[test]
fn every_path_that_the_documents_name_is_there() {
    let mut offences = Vec::new();
    let files = files();
    let documents = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    // The changelog tells of what was.
    for document in documents.filter(|path| !path.ends_with("CHANGELOG.md")) {
        let text = fs::read_to_string(document).expect("a document can be read");
        for quoted in text.split('`').skip(1).step_by(2) {
            let is_path = ["src/", "clients/", "tests/", "static/", "scripts/", "docs/", "benches/", "data/"]
                .iter()
                .any(|folder| quoted.starts_with(folder));
            let is_pattern = quoted.contains(['{', '*', ' ']) || quoted.contains("NAME");
            // Made by a run or a server.
            let is_made = quoted.starts_with("data/deployments");
            if is_path && !is_pattern && !is_made && !root().join(quoted).exists() {
                offences.push(format!("{} names {quoted}, which is not there", document.display()));
            }
        }
    }
    none(offences);
}

#[test]
fn every_csv_column_is_in_the_registry() {
    let known: Vec<_> = RunRow::COLUMNS
        .iter()
        .map(|column| column.name)
        .chain(
            [PercentileRow::COLUMNS, SeriesRow::COLUMNS, CheckRow::COLUMNS, TheoryRow::COLUMNS]
                .into_iter()
                .flatten()
                .map(|column| column.name),
        )
        .collect();
    let mut offences = Vec::new();
    for path in files().iter().filter(|path| path.extension().is_some_and(|e| e == "csv")) {
        let text = fs::read_to_string(path).expect("a CSV file can be read");
        let header = text.lines().next().unwrap_or_default().split(',');
        let unknown = header.filter(|name| !known.contains(name));
        offences.extend(unknown.map(|name| format!("{}: nobody explains column {name:?}", path.display())));
    }
    none(offences);
}

#[test]
fn every_plan_parses() {
    for path in files_in("data/plans", "toml") {
        let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_owned();
        let text = fs::read_to_string(&path).expect("a plan can be read");
        for size in [Size::Full, Size::Smoke] {
            // Only experiments have a short size; what is short already, or needs other servers, has none.
            if size == Size::Smoke && !text.contains("[smoke]") {
                continue;
            }
            if let Err(error) = Plan::parse_with(&name, &text, size, profile) {
                panic!("{error}");
            }
        }
    }
}

/// With its start script, which must be there.
fn profile(name: &str) -> Result<Profile, ProfileError> {
    Profile::find(&root().join("data/targets"), name)?.startable(root())
}

#[test]
fn every_profile_parses_and_its_start_script_can_be_run() {
    let names = Profile::names(&root().join("data/targets")).expect("the folder can be read");
    assert!(names.len() >= 6, "{names:?}");
    for name in names {
        let found = profile(&name).unwrap_or_else(|error| panic!("{error}"));
        let ServerOf::Start(script) = &found.server else { panic!("{name} is started by nobody") };
        let mode = fs::metadata(script).expect("it was found").permissions().mode();
        assert!(mode & 0o111 != 0, "{} cannot be executed", script.display());
    }
}

#[test]
fn the_profile_that_is_explained_is_the_one_that_is_shipped() {
    let page = read("docs/targets.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    let explained = Profile::parse("socketio", example.expect("the page shows one")).expect("it parses");
    let shipped = Profile::parse("socketio", &read("data/targets/socketio.toml")).expect("it parses");
    assert_eq!(explained, shipped);
}

/// What the peers are made of comes with exact versions, and from no host of this machine's.
#[test]
fn peers_are_pinned() {
    let requirements = read("scripts/peers/requirements.txt");
    let loose: Vec<_> = requirements.lines().filter(|line| !line.contains("==")).collect();
    assert!(loose.is_empty(), "{loose:?}");
    for folder in ["scripts", "scripts/peers"] {
        packages_are_pinned(folder);
    }
}

fn packages_are_pinned(folder: &str) {
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_str(&read(&format!("{folder}/{name}"))).expect("it is JSON")
    };
    let lock = json("package-lock.json");
    let packages = lock["packages"].as_object().expect("a lock file has packages");
    let offences = packages.iter().filter_map(|(name, package)| {
        let resolved = package["resolved"].as_str()?;
        let elsewhere = !resolved.starts_with("https://registry.npmjs.org/");
        elsewhere.then(|| format!("{name} comes from {resolved}"))
    });
    none(offences.collect());
    let package = json("package.json");
    let wanted = package["dependencies"].as_object().expect("it has dependencies");
    let exact = |version: &serde_json::Value| {
        version.as_str().is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
    };
    none(
        wanted
            .iter()
            .filter(|(_, version)| !exact(version))
            .map(|(name, _)| format!("{name} is not pinned"))
            .collect(),
    );
}

#[test]
fn every_recording_parses() {
    for path in files_in("data/recordings", "ndjson") {
        let recording = Recording::read(&path).unwrap_or_else(|error| panic!("{error}"));
        assert!(!recording.lines.is_empty(), "{} has no line", path.display());
    }
}

/// Files of one kind in a folder, which may not be there yet.
fn files_in(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = root().join(folder);
    let below = files().into_iter().filter(|path| path.parent() == Some(&folder));
    below.filter(|path| path.extension().is_some_and(|e| e == extension)).collect()
}
