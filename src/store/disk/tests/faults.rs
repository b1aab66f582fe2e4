//! Tests that a log equals a `Vec` of lines whatever its writes come to: real limits of the process make them fail.
//!
//! A limit of the file size tears a write at any byte, and a limit of open files refuses every file. Limits hold for a
//! whole process, so the test runs itself again as a child.

use std::process::Command;

use futures_util::future::join_all;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use proptest::prelude::*;

use super::*;

/// Tells the child that it is one.
const CHILD_VARIABLE: &str = "WIRELAB_STORE_FAULTS";
const THIS_TEST: &str = "store::disk::tests::faults::a_log_is_a_vec_whatever_its_writes_come_to";

#[derive(Debug, Clone)]
enum Step {
    /// Appends at the same time; each has so many lines, and perhaps a key.
    Appends(Vec<(usize, Option<u8>)>),
    /// Lets files grow to this size only.
    FileBytes(u64),
    /// Lets no file be opened.
    NoDescriptor,
    Lift,
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let append = (prop_oneof![4 => 1..4_usize, 1 => 60..200_usize], prop::option::weighted(0.4, 0..9_u8));
    prop_oneof![
        6 => prop::collection::vec(append, 1..5).prop_map(Step::Appends),
        3 => (0..40_000_u64).prop_map(Step::FileBytes),
        1 => Just(Step::NoDescriptor),
        3 => Just(Step::Lift),
        1 => Just(Step::Reopen),
    ]
}

fn limit(resource: Resource, soft: u64) {
    let (_, hard) = getrlimit(resource).unwrap();
    setrlimit(resource, soft.min(hard), hard).unwrap();
}

fn lift() {
    limit(Resource::RLIMIT_FSIZE, u64::MAX);
    limit(Resource::RLIMIT_NOFILE, 1_024);
}

#[test]
fn a_log_is_a_vec_whatever_its_writes_come_to() {
    if std::env::var_os(CHILD_VARIABLE).is_none() {
        // The signal of the file size would kill the child; what is ignored stays ignored.
        let mut child = Command::new("sh");
        child.args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#]).arg(std::env::current_exe().unwrap());
        let run =
            child.args([THIS_TEST, "--exact", "--nocapture"]).env(CHILD_VARIABLE, "1").output().unwrap();
        let output = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success() && output.contains("1 passed"), "{output}");
        return;
    }
    let steps = prop::collection::vec(step(), 1..30);
    let segment_bytes = prop_oneof![1..20_000_u64, Just(LARGE)];
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 64,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let failures = std::cell::Cell::new(0);
    let ran = runner.run(&(steps, segment_bytes), |(steps, segment_bytes)| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let compared = runtime.block_on(compare(&steps, segment_bytes));
        lift();
        compared.map(|failed| failures.set(failures.get() + failed))
    });
    ran.unwrap();
    assert!(failures.get() > 50, "only {} appends failed, so that was not tried", failures.get());
}

/// Carries the steps out. Returns how many appends failed.
async fn compare(steps: &[Step], segment_bytes: u64) -> Result<usize, TestCaseError> {
    let data = folder();
    let mut store = reopen(data.path(), 0, segment_bytes).unwrap();
    let mut log = store.create("test".to_owned(), None).await.unwrap();
    let id = log.info().id;
    let mut model: Vec<String> = Vec::new();
    let mut keys = std::collections::HashMap::new();
    let (mut number, mut failed) = (0, 0);
    for step in steps.iter().chain([&Step::Lift, &Step::Appends(vec![(1, None)]), &Step::Reopen]) {
        match step {
            Step::Appends(appends) => {
                let given = appends.iter().map(|(lines, key)| {
                    number += 1;
                    // A key is used for one body only.
                    let name = key.map_or(number.to_string(), |key| format!("key {key}"));
                    let lines = key.map_or(*lines, |key| usize::from(key) * 9 + 1);
                    let texts: Vec<_> =
                        (0..lines).map(|i| format!("{name}, line {i}, {:>90}", number)).collect();
                    (*key, texts)
                });
                let given: Vec<_> = given.collect();
                let appending = given.iter().map(|(key, texts)| {
                    log.append(request(texts, key.map(|key| key.to_string()).as_deref()))
                });
                let mut stored = Vec::new();
                for (outcome, (key, texts)) in join_all(appending).await.into_iter().zip(&given) {
                    match outcome {
                        Ok(Stored::Fresh(appended)) => stored.push((appended, *key, texts)),
                        // Its first use may be one of these.
                        Ok(Stored::Repeated(appended)) => {
                            let before = keys.entry(*key).or_insert((appended.first, appended.last));
                            prop_assert_eq!(*before, (appended.first, appended.last));
                        }
                        Err(error) => {
                            prop_assert!(error.passes(), "{error}");
                            failed += 1;
                        }
                    }
                }
                stored.sort_by_key(|(appended, ..)| appended.first);
                for (appended, key, texts) in stored {
                    prop_assert_eq!(appended.first, model.len() as u64 + 1);
                    model.extend_from_slice(texts);
                    prop_assert_eq!(appended.last, model.len() as u64);
                    if key.is_some() {
                        let seqs = (appended.first, appended.last);
                        prop_assert_eq!(*keys.entry(key).or_insert(seqs), seqs, "a key appended twice");
                    }
                }
            }
            Step::FileBytes(bytes) => limit(Resource::RLIMIT_FSIZE, *bytes),
            Step::NoDescriptor => limit(Resource::RLIMIT_NOFILE, 0),
            Step::Lift => lift(),
            Step::Reopen => {
                lift();
                drop((log, store));
                store = reopen(data.path(), 0, segment_bytes).unwrap();
                log = store.open(&id).await.unwrap();
                prop_assert_eq!(&texts(&*log, 0, ALL).await, &model);
            }
        }
        prop_assert_eq!(log.head().borrow().last, model.len() as u64);
    }
    Ok(failed)
}
