//! Durability of the disk store: every acknowledgement comes after the flush to disk, shown by the system calls of
//! the real binary.
//!
//! A killed process leaves the page cache alive, so `store_crash` cannot see a missing flush. `strace` can: it logs
//! when each call begins and ends. Before the bytes of an acknowledgement are sent, the lines that it promises must
//! be written. A flush of that file or folder must then have begun and ended.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use wirelab_clients::wire::{DeploymentId, Status};

use crate::http::Api;
use crate::server::Binary;

/// Calls that write, flush, rename or make names; and those that a socket is written with.
const TRACED: &str =
    "trace=write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,rename,renameat,renameat2,openat";
/// Bytes of a call's text in the trace: whole batches of records.
const TEXT_BYTES: &str = "65536";
/// Publishers that append to one log at the same time, and how often each does.
const WRITERS: usize = 8;
const APPENDS: usize = 25;

/// One system call. Positions are lines of the trace, which has them in the order in which they happened.
#[derive(Debug)]
struct Call {
    name: String,
    /// Its arguments; of a descriptor, `strace -y` tells the path.
    text: String,
    begun: usize,
    /// `None` if it failed, or never ended.
    done: Option<usize>,
}

impl Call {
    fn is_done_before(&self, position: usize) -> bool {
        self.done.is_some_and(|done| done < position)
    }

    /// The file or folder behind its first argument.
    fn path(&self) -> &str {
        let path = self.text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        path.map_or("", |(path, _)| path)
    }
}

fn parse(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (position, line) in trace.lines().enumerate() {
        let Some((thread, what)) = line.split_once(' ') else { continue };
        let what = what.trim_start();
        let ended = |text: &str| {
            let result = text.rsplit_once(" = ").map(|(_, result)| result);
            result.filter(|result| !result.starts_with(['-', '?'])).map(|_| position)
        };
        if what.starts_with("<... ") {
            if let Some(call) = unfinished.remove(thread) {
                calls[call].done = ended(what);
            }
        } else if let Some((name, text)) = what.split_once('(') {
            let done = match text.strip_suffix("<unfinished ...>") {
                Some(_) => {
                    unfinished.insert(thread, calls.len());
                    None
                }
                None => ended(text),
            };
            calls.push(Call { name: name.to_owned(), text: text.to_owned(), begun: position, done });
        }
    }
    calls
}

/// What the trace shows to be wrong, and how many promises it holds.
#[derive(Debug, Default)]
struct Verdict {
    acknowledged: HashMap<&'static str, usize>,
    violations: Vec<String>,
    /// Flushed writes that hold more than one append.
    shared_flushes: usize,
}

/// Checks one log's life: its creation, its appends, its end and its deletion.
fn judge(trace: &str, folder: &Path, id: &DeploymentId) -> Verdict {
    let calls = parse(trace);
    let folder = folder.to_str().expect("a plain path");
    let mut verdict = Verdict::default();
    for call in calls.iter().filter(|call| is_answer(call)) {
        for (kind, promised) in promises(&call.text, id) {
            *verdict.acknowledged.entry(kind).or_default() += 1;
            let kept = match promised {
                Promise::Created => is_created(&calls, folder, id, call.begun),
                Promise::Written(record) => is_flushed(&calls, ".ndjson>", &record, call.begun).map(|_| ()),
                Promise::Deleted => {
                    let (from, to) = (format!("{folder}/{id}"), format!("{folder}/.deleted-{id}"));
                    is_renamed(&calls, &from, &to, folder, call.begun).map(|_| ())
                }
            };
            verdict.violations.extend(kept.err().map(|why| format!("{kind}: {why}")));
        }
    }
    let records = calls.iter().filter(|call| is_write(call) && call.text.contains(".ndjson>"));
    verdict.shared_flushes = records.filter(|call| call.text.matches(r#"{\"seq\":"#).count() > 1).count();
    verdict
}

enum Promise {
    Created,
    /// A record of the segment file that holds this text.
    Written(String),
    Deleted,
}

/// What the answers in one write to a socket promise.
fn promises(text: &str, id: &DeploymentId) -> Vec<(&'static str, Promise)> {
    let mut promises = Vec::new();
    for answer in text.split("HTTP/1.1 ").skip(1) {
        if answer.starts_with("201") && answer.contains(&format!("location: /api/deployments/{id}")) {
            promises.push(("creation", Promise::Created));
        } else if let Some((_, last)) =
            answer.split_once(r#"\"last\":"#).filter(|_| answer.starts_with("201"))
        {
            let seq: String = last.chars().take_while(char::is_ascii_digit).collect();
            promises.push(("append", Promise::Written(format!(r#"{{\"seq\":{seq},"#))));
        } else if answer.starts_with("200") && answer.contains(r#"\"status\":\"succeeded\""#) {
            promises.push(("end", Promise::Written(r#"{\"finished\":"#.to_owned())));
        } else if answer.starts_with("204") {
            promises.push(("deletion", Promise::Deleted));
        }
    }
    promises
}

fn is_answer(call: &Call) -> bool {
    ["write", "writev", "sendto", "sendmsg"].contains(&call.name.as_str())
        && call.path().starts_with("socket:")
}

fn is_write(call: &Call) -> bool {
    ["write", "writev", "pwrite64", "pwritev"].contains(&call.name.as_str())
}

/// That a write of `record` into a file was over, and then a flush of that file, before `before`; when.
fn is_flushed(calls: &[Call], file: &str, record: &str, before: usize) -> Result<usize, String> {
    let written = calls.iter().find(|call| {
        is_write(call)
            && call.text.contains(file)
            && call.text.contains(record)
            && call.is_done_before(before)
    });
    let written = written.ok_or_else(|| format!("{record} was acknowledged before it was written"))?;
    is_synced(calls, written.path(), written.done.unwrap_or_default(), before)
}

/// That a flush of a file or folder began after `after` and was over before `before`; when it was.
fn is_synced(calls: &[Call], path: &str, after: usize, before: usize) -> Result<usize, String> {
    let flush = calls.iter().find(|call| {
        ["fsync", "fdatasync"].contains(&call.name.as_str())
            && call.path() == path
            && call.begun > after
            && call.is_done_before(before)
    });
    let done = flush.and_then(|flush| flush.done);
    done.ok_or_else(|| format!("no flush of {path} between its change and the acknowledgement"))
}

/// That a name was changed, and then the folder that holds it was flushed; when the change began.
fn is_renamed(calls: &[Call], from: &str, to: &str, folder: &str, before: usize) -> Result<usize, String> {
    let names = format!("\"{from}\", \"{to}\"");
    let renamed = calls.iter().find(|call| call.name.starts_with("rename") && call.text.contains(&names));
    let renamed = renamed.filter(|call| call.is_done_before(before));
    let renamed = renamed.ok_or_else(|| format!("{from} was not renamed to {to} before"))?;
    is_synced(calls, folder, renamed.done.unwrap_or_default(), before)?;
    Ok(renamed.begun)
}

/// Files first, then the folder that names them, then its own name.
fn is_created(calls: &[Call], folder: &str, id: &DeploymentId, before: usize) -> Result<(), String> {
    let making = format!("{folder}/.creating-{id}");
    let renamed = is_renamed(calls, &making, &format!("{folder}/{id}"), folder, before)?;
    let manifest = is_flushed(calls, "deployment.json>", id.as_str(), renamed)?;
    let segment = format!("{making}/00000000000000000001.ndjson");
    let opened = calls.iter().find(|call| call.name == "openat" && call.text.contains(&segment));
    let opened = opened.and_then(|call| call.done).ok_or("the first segment was not made")?;
    is_synced(calls, &segment, opened, renamed)?;
    is_synced(calls, &making, manifest.max(opened), renamed).map(|_| ())
}

/// Runs the binary under `strace` through one log's life.
fn traced(store: &str) -> (String, tempfile::TempDir, DeploymentId) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let trace = folder.path().join("trace");
    let mut command = strace();
    command.args(["-f", "-qq", "-y", "-s", TEXT_BYTES, "-e", TRACED, "-o"]).arg(&trace);
    command.arg(env!("CARGO_BIN_EXE_wirelab"));
    command.args(["serve", "--bind", "127.0.0.1:0", "--store", store, "--data"]).arg(folder.path());
    // Told to stop by its stdin: a signal would reach strace, not the server.
    let server = Binary::of(command.arg("--stop-at-stdin-end").stdin(Stdio::piped()));
    let id = server.create().id;
    append(&server, &id, "alone");
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (server, id) = (&server, &id);
            scope.spawn(move || append(server, id, &format!("writer {writer}")));
        }
    });
    server.finish(&id, Status::Succeeded);
    assert_eq!(server.ask("DELETE", &format!("/api/deployments/{id}"), &[], b"").status, 204);
    server.end_by_stdin();
    (fs::read_to_string(trace).expect("strace wrote it"), folder, id)
}

/// Several appends on one connection, each after the answer to the one before.
fn append(api: &Api, id: &DeploymentId, name: &str) {
    let mut connection = api.connection();
    let path = format!("/api/deployments/{id}/lines");
    for turn in 0..APPENDS {
        let line = format!("{name}, append {turn}\n");
        let kind = [("content-type", "text/plain")];
        let answer = connection.ask("POST", &path, &kind, line.as_bytes()).expect("it is answered");
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
}

/// `strace`, known to work here.
pub(crate) fn strace() -> Command {
    match Command::new("strace").args(["-f", "-o", "/dev/null", "true"]).output() {
        Ok(output) if output.status.success() => Command::new("strace"),
        Ok(output) => panic!(
            "strace may not trace here, so durability cannot be shown: {}a container needs --cap-add=SYS_PTRACE",
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            panic!("strace is missing: apt-get install strace, or run scripts/test, which does it")
        }
        Err(error) => panic!("strace cannot be run: {error}"),
    }
}

#[test]
fn every_acknowledgement_comes_after_the_flush_of_what_it_promises() {
    let (trace, folder, id) = traced("disk");
    let verdict = judge(&trace, folder.path(), &id);
    assert_eq!(verdict.violations, [""; 0]);
    let counted = |kind| verdict.acknowledged.get(kind).copied().unwrap_or(0);
    let kinds = ["creation", "append", "end", "deletion"];
    assert_eq!(kinds.map(counted), [1, APPENDS + WRITERS * APPENDS, 1, 1], "the trace was not understood");
    assert!(verdict.shared_flushes > 0, "no two appends were committed together, so that was not tried");

    // The same life, had it gone without flushes: each promise depends on them.
    for (flush, unkept) in [("fdatasync(", ["append", "end"]), ("fsync(", ["creation", "deletion"])] {
        let without: String = trace
            .lines()
            .filter(|line| !line.contains(flush))
            .fold(String::new(), |text, line| text + line + "\n");
        let violations = judge(&without, folder.path(), &id).violations;
        for kind in unkept {
            let found = violations.iter().filter(|why| why.starts_with(kind)).count();
            assert_eq!(found, counted(kind), "{kind} without {flush}…): {violations:?}");
        }
    }
}

#[test]
fn a_store_that_flushes_nothing_is_noticed() {
    let (trace, folder, id) = traced("memory");
    let verdict = judge(&trace, folder.path(), &id);
    let acknowledged: usize = verdict.acknowledged.values().sum();
    assert_eq!(verdict.violations.len(), acknowledged, "{:?}", verdict.violations);
    assert!(acknowledged > APPENDS, "the trace was not understood");
}

#[test]
fn a_flush_counts_only_if_it_began_after_the_write_and_ended_before_the_answer() {
    const ANSWER: &str =
        r#"2 sendto(9<socket:[1]>, "HTTP/1.1 201 Created\r\n\r\n{\"first\":1,\"last\":1}") = 9"#;
    const WRITE: &str = r#"1 pwrite64(7</d/i/1.ndjson>, "{\"seq\":1,}") = 9"#;
    const FLUSH: &str = "1 fdatasync(7</d/i/1.ndjson>) = 0";
    let id = "01k3aaaaaaaa".parse().expect("a well-formed id");
    let holds = |calls: &[&str]| {
        let verdict = judge(&calls.join("\n"), Path::new("/d"), &id);
        assert_eq!(verdict.acknowledged["append"], 1);
        verdict.violations.is_empty()
    };
    assert!(holds(&[WRITE, FLUSH, ANSWER]));
    assert!(!holds(&[WRITE, ANSWER, FLUSH]));
    assert!(!holds(&[FLUSH, WRITE, ANSWER]));
    assert!(!holds(&[WRITE, "1 fdatasync(7</d/other/1.ndjson>) = 0", ANSWER]));
    assert!(!holds(&[WRITE, "1 fdatasync(7</d/i/1.ndjson>) = -1 EIO (Input/output error)", ANSWER]));
    let (begins, ends) = ("1 fdatasync(7</d/i/1.ndjson> <unfinished ...>", "1 <... fdatasync resumed>) = 0");
    assert!(holds(&[WRITE, begins, ends, ANSWER]));
    assert!(!holds(&[WRITE, begins, ANSWER, ends]));
    let (write_begins, write_ends) =
        (r#"3 pwrite64(7</d/i/1.ndjson>, "{\"seq\":1,}" <unfinished ...>"#, "3 <... pwrite64 resumed>) = 9");
    assert!(!holds(&[write_begins, begins, write_ends, ends, ANSWER]));
    assert!(holds(&[write_begins, write_ends, begins, ends, ANSWER]));
}
