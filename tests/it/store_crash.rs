//! `kill -9` against the disk store: every acknowledged line is there, whole and without gaps.
//!
//! The test runs itself again as a child that appends as fast as it can and prints each acknowledgement. The parent
//! kills the child, opens the folder and compares. It does so round after round, so that damage would add up.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use wirelab::store::disk::DiskStore;
use wirelab::store::{AppendRequest, DeploymentLog, IdempotencyKey, LogStore, ReadLimit, StoreError};
use wirelab_clients::wire::NewLine;

const ROUNDS: usize = 50;
/// Names the store's folder to the child.
const FOLDER_VARIABLE: &str = "WIRELAB_STORE_CRASH_FOLDER";
/// Tells appends of one round from those of another.
const ROUND_VARIABLE: &str = "WIRELAB_STORE_CRASH_ROUND";
const THIS_TEST: &str = "store_crash::no_acknowledged_line_is_lost_to_kill_9";
/// Begins what the child prints, among what the test harness prints.
const ACKNOWLEDGED: &str = "acknowledged";
const WRITERS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_line_is_lost_to_kill_9() {
    if let Ok(folder) = std::env::var(FOLDER_VARIABLE) {
        append_until_killed(Path::new(&folder)).await;
    }
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    open(folder.path()).create("crash".to_owned(), None).await.expect("created");
    let mut all = Vec::new();
    let mut checked = 0;
    for round in 0..ROUNDS {
        let acknowledged = run_and_kill(folder.path(), round);
        assert!(!acknowledged.is_empty(), "round {round} was killed before it did anything");
        let store = open(folder.path());
        let log = only_log(&store).await;
        checked = check(&*log, checked, &acknowledged).await;
        if let Some(keyed) = acknowledged.iter().rev().find(|append| append.key().is_some()) {
            let again = log.append(keyed.request()).await.expect("a known key is answered").into_appended();
            assert_eq!((again.first, again.last), (keyed.first, keyed.last), "round {round}: {keyed:?}");
        }
        all.extend(acknowledged);
    }
    let log = only_log(&open(folder.path())).await;
    let last = check(&*log, 0, &all).await;
    println!("{} acknowledged appends, {last} lines", all.len());
}

/// One append of the child: everything about it follows from its name.
#[derive(Debug, Clone)]
struct Append {
    /// `round.writer.turn`
    name: String,
    first: u64,
    last: u64,
}

impl Append {
    fn new(name: String) -> Self {
        Self { name, first: 0, last: 0 }
    }

    fn turn(&self) -> usize {
        let (_, turn) = self.name.rsplit_once('.').expect("round.writer.turn");
        turn.parse().expect("a number")
    }

    fn line_count(&self) -> usize {
        [1, 1, 7, 1, 40][self.turn() % 5]
    }

    fn key(&self) -> Option<IdempotencyKey> {
        let digest = [self.turn() as u8; 32];
        (self.turn() % 3 == 2).then(|| IdempotencyKey { key: self.name.clone(), digest })
    }

    /// `name index`, padded to lengths that put records across all kinds of borders.
    fn text(&self, index: usize) -> String {
        format!("{} {index} {}", self.name, "\"\u{1f980}x".repeat((self.turn() * 31 + index * 7) % 50))
    }

    fn request(&self) -> AppendRequest {
        let lines = (0..self.line_count()).map(|index| NewLine::plain(self.text(index))).collect();
        AppendRequest::new(lines, self.key())
    }
}

async fn append_until_killed(folder: &Path) -> ! {
    let round = std::env::var(ROUND_VARIABLE).expect("set by the parent");
    let log = only_log(&open(folder)).await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (log, round) = (log.clone(), round.clone());
            tokio::spawn(async move {
                for turn in 0.. {
                    let append = Append::new(format!("{round}.{writer}.{turn}"));
                    let done = log.append(append.request()).await.expect("appended").into_appended();
                    // The handle itself, because the harness captures what `println!` writes.
                    let text = format!("{ACKNOWLEDGED} {} {} {}\n", append.name, done.first, done.last);
                    std::io::stdout().write_all(text.as_bytes()).expect("the parent reads");
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer stopped");
    }
    unreachable!("writers never end")
}

/// Lets the child append for a while, kills it, and returns what it had acknowledged.
fn run_and_kill(folder: &Path, round: usize) -> Vec<Append> {
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args([THIS_TEST, "--exact", "--nocapture"])
        .env(FOLDER_VARIABLE, folder)
        .env(ROUND_VARIABLE, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("this test runs");
    let stdout = BufReader::new(child.stdout.take().expect("piped"));
    let (begun, begin) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut acknowledged = Vec::new();
        for line in stdout.split(b'\n') {
            let line = String::from_utf8(line.expect("the pipe is readable")).expect("UTF-8");
            let words: Vec<_> = line.split(' ').collect();
            // The harness may have begun the line.
            if let [.., before, name, first, last] = words[..]
                && before.ends_with(ACKNOWLEDGED)
            {
                let (first, last) = (first.parse().expect("a seq"), last.parse().expect("a seq"));
                acknowledged.push(Append { name: name.to_owned(), first, last });
                let _ = begun.send(());
            }
        }
        acknowledged
    });
    begin.recv_timeout(Duration::from_secs(60)).expect("the child appends something");
    std::thread::sleep(Duration::from_millis(rand::random_range(20..=150)));
    child.kill().expect("SIGKILL");
    child.wait().expect("the child is gone");
    reader.join().expect("the reader ends with the pipe")
}

/// Checks all lines after `after` against what was acknowledged and returns the last seq.
async fn check(log: &dyn DeploymentLog, after: u64, acknowledged: &[Append]) -> u64 {
    let all = ReadLimit { lines: usize::MAX, bytes: usize::MAX };
    let lines = log.read_after(after, all).await.expect("readable");
    let mut found = HashMap::new();
    let mut rest = &lines[..];
    let mut due = after + 1;
    while let Some(first) = rest.first() {
        let text = first.decode().line.text;
        let name = text.split(' ').next().expect("a name");
        let append = Append { first: due, ..Append::new(name.to_owned()) };
        let count = append.line_count();
        assert!(rest.len() >= count, "{append:?} lost its last lines");
        for (index, line) in rest[..count].iter().enumerate() {
            let decoded = line.decode();
            assert_eq!((line.seq, decoded.seq), (due, due), "a gap");
            assert_eq!(decoded.line.text, append.text(index), "seq {due}");
            due += 1;
        }
        rest = &rest[count..];
        assert!(
            found.insert(append.name.clone(), (append.first, due - 1)).is_none(),
            "{append:?} came twice"
        );
    }
    for append in acknowledged {
        assert_eq!(
            found.get(&append.name),
            Some(&(append.first, append.last)),
            "{append:?} was acknowledged"
        );
    }
    assert_eq!(log.head().borrow().last, due - 1);
    due - 1
}

/// Opens the store as soon as a predecessor, in this process or killed, has let go of it.
fn open(folder: &Path) -> DiskStore {
    for _ in 0..1_000_000 {
        match DiskStore::open(folder.to_owned(), 0) {
            Err(StoreError::InUse { .. }) => std::thread::yield_now(),
            opened => return opened.expect("undamaged"),
        }
    }
    panic!("{} stays in use", folder.display());
}

async fn only_log(store: &DiskStore) -> Arc<dyn DeploymentLog> {
    store.list(1).await.expect("listed").remove(0)
}
