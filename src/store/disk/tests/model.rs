//! Tests that a log equals a `Vec` of lines after any sequence of appends, reads and restarts.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append { sizes: Vec<usize>, key: Option<u8> },
    Read { after: usize, lines: usize, bytes: usize },
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    let size = prop_oneof![4 => 0..200_usize, 1 => 0..20_000_usize];
    let sizes = prop_oneof![3 => prop::collection::vec(size.clone(), 1..5), 1 => prop::collection::vec(size, 70..100)];
    prop_oneof![
        5 => (sizes, prop::option::weighted(0.3, 0..20_u8)).prop_map(|(sizes, key)| Step::Append { sizes, key }),
        5 => (0..200_usize, 1..150_usize, 1..100_000_usize)
            .prop_map(|(after, lines, bytes)| Step::Read { after, lines, bytes }),
        2 => Just(Step::Reopen),
    ]
}

/// A simple model of what a log must hold.
#[derive(Default)]
struct Model {
    lines: Vec<String>,
    /// Sizes of lines that each key was used with, and the first and last seq that it got.
    keys: HashMap<u8, (Vec<usize>, u64, u64)>,
}

impl Model {
    /// Appends to the model. Returns the first and last seq, or `None` if the key was used for another body.
    fn append(&mut self, sizes: &[usize], key: Option<u8>) -> Option<(u64, u64)> {
        if let Some((before, first, last)) = key.and_then(|key| self.keys.get(&key)) {
            return (before == sizes).then_some((*first, *last));
        }
        let first = self.lines.len() as u64 + 1;
        self.lines.extend(sizes.iter().map(|size| text(*size)));
        let last = self.lines.len() as u64;
        self.keys.extend(key.map(|key| (key, (sizes.to_vec(), first, last))));
        Some((first, last))
    }
}

fn text(size: usize) -> String {
    "\"x\\\n\u{1f980}".chars().cycle().take(size).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn a_log_is_a_vec_whatever_happens(
        steps in prop::collection::vec(step(), 1..25),
        segment_bytes in prop_oneof![1..50_000_u64, Just(LARGE)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare(&steps, segment_bytes))?;
    }
}

async fn compare(steps: &[Step], segment_bytes: u64) -> Result<(), TestCaseError> {
    let data = folder();
    let mut store = reopen(data.path(), 0, segment_bytes).unwrap();
    let mut log = store.create("test".to_owned(), None).await.unwrap();
    let id = log.info().id;
    let mut model = Model::default();
    for step in steps {
        match step {
            Step::Append { sizes, key } => {
                let lines = sizes.iter().map(|size| NewLine::plain(text(*size))).collect();
                let mut digest = [0; 32];
                digest[..8].copy_from_slice(
                    &(crc32fast::hash(format!("{sizes:?}").as_bytes()) as u64).to_le_bytes(),
                );
                let key_given = key.map(|key| IdempotencyKey { key: key.to_string(), digest });
                match (log.append(AppendRequest::new(lines, key_given)).await, model.append(sizes, *key)) {
                    (Ok(given), Some(expected)) => {
                        let given = given.into_appended();
                        prop_assert_eq!((given.first, given.last), expected);
                    }
                    (Err(StoreError::KeyReused(_)), None) => {}
                    (given, expected) => prop_assert!(false, "{given:?} where {expected:?} is due"),
                }
            }
            Step::Read { after, lines, bytes } => {
                let after = (*after).min(model.lines.len());
                let read =
                    log.read_after(after as u64, ReadLimit { lines: *lines, bytes: *bytes }).await.unwrap();
                let total: usize = read.iter().map(|line| line.json.len()).sum();
                prop_assert!(read.len() <= *lines && (read.len() <= 1 || total <= *bytes));
                let stopped_early = read.len() < *lines && after + read.len() < model.lines.len();
                if stopped_early {
                    let next = log
                        .read_after((after + read.len()) as u64, ReadLimit { lines: 1, ..ALL })
                        .await
                        .unwrap();
                    prop_assert!(total + next[0].json.len() > *bytes, "a read gave less than it could");
                }
                for (i, line) in read.iter().enumerate() {
                    prop_assert_eq!(line.seq, (after + i + 1) as u64);
                    prop_assert_eq!(&line.decode().line.text, &model.lines[after + i]);
                }
            }
            Step::Reopen => {
                drop((log, store));
                store = reopen(data.path(), 0, segment_bytes).unwrap();
                log = store.open(&id).await.unwrap();
            }
        }
        prop_assert_eq!(log.head().borrow().last, model.lines.len() as u64);
    }
    Ok(())
}
