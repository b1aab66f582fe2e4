//! Appends that wait for a slow disk cost publishers time or a repetition, and the server bounded memory.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::durability::strace;
use crate::http::{Connection, Headers};
use crate::server::Binary;

/// Publishers that append at once. Each sends 200 KB, which are some 9 MB once parsed and 40 MB once queued.
const PUBLISHERS: usize = 200;
/// Lines of each append: as many as a body may have.
const LINES: usize = 100_000;
/// Memory that the server may gain: what its queue and its waiting bodies may hold, twice for the allocator and for what
/// is being parsed.
const GAIN_MIB_MAX: u64 = 2 * (64 + 32) + 64;

/// Most memory that a process has had, MiB.
fn peak_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

#[test]
fn appends_that_wait_for_the_disk_are_bounded_as_they_are_held() {
    let data = TempDir::new().unwrap();
    let mut command = strace();
    // The disk takes half a minute for the first append, and the others find it busy.
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync"]);
    command.args(["-e", "inject=fdatasync:delay_exit=30000000", env!("CARGO_BIN_EXE_wirelab")]);
    command.args(["serve", "--bind", "127.0.0.1:0", "--stop-at-stdin-end", "--data"]).arg(data.path());
    let server = Binary::of(command.stdin(Stdio::piped()));
    let children = format!("/proc/{0}/task/{0}/children", server.pid());
    let pid = fs::read_to_string(children).unwrap().split_whitespace().next().unwrap().parse().unwrap();
    let (slow, other) = (server.create().id, server.create().id);
    let before = peak_mib(pid);

    let body = "x\n".repeat(LINES);
    let path = format!("/api/deployments/{slow}/lines");
    let kind: Headers = &[("content-type", "text/plain")];
    let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|_| {
                scope.spawn(|| {
                    let mut connection =
                        Connection::open(&server.authority, Duration::from_secs(10)).unwrap();
                    connection.ask("POST", &path, kind, body.as_bytes()).ok()
                })
            })
            .collect();
        for publisher in publishers {
            // Those that wait for the disk are given up by their publishers.
            let Some(answer) = publisher.join().unwrap() else { continue };
            *answers.entry(answer.status).or_default() += 1;
            assert_eq!(answer.header("retry-after"), Some("1"), "{}", answer.text());
        }
    });
    assert_eq!(answers.keys().collect::<Vec<_>>(), [&503], "{answers:?}");
    let gain = peak_mib(pid) - before;
    assert!(gain <= GAIN_MIB_MAX, "{PUBLISHERS} appends cost {gain} MiB");
    assert_eq!(server.show(&other).lines, 0, "others are served");
    server.kill();
}
