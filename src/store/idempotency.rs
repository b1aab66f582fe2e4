//! Idempotency keys, which make it safe to repeat an append.
//!
//! Each log remembers its newest keys with their answers. Both stores keep them in this type; a durable store also
//! writes them.

use std::collections::{HashMap, VecDeque};

use wirelab_clients::wire::Seq;

use super::StoreError;

/// Keys that are remembered per log. A publisher that repeats an append does so within its last few thousand.
pub const KEYS_MAX: usize = 10_000;

/// A client's name for one append, with a digest of what it was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key: 1 to 64 visible ASCII characters.
    pub key: String,
    /// SHA-256 of content type and body, which tells a repetition from another use of the key.
    pub digest: [u8; 32],
}

/// The newest [`KEYS_MAX`] keys of one log, with their answers.
#[derive(Debug, Default)]
pub struct IdempotencyKeys {
    answers: HashMap<String, ([u8; 32], Seq, Seq)>,
    oldest_first: VecDeque<String>,
}

impl IdempotencyKeys {
    /// Returns the seqs (first, last) that `key` got before; `None` if it is new.
    pub fn find(&self, key: &IdempotencyKey) -> Result<Option<(Seq, Seq)>, StoreError> {
        match self.answers.get(&key.key) {
            None => Ok(None),
            Some((digest, first, last)) if *digest == key.digest => Ok(Some((*first, *last))),
            Some(_) => Err(StoreError::KeyReused(key.key.clone())),
        }
    }

    /// Remembers the seqs that `key` got, and forgets the oldest key beyond the bound.
    pub fn insert(&mut self, key: IdempotencyKey, first: Seq, last: Seq) {
        if self.answers.insert(key.key.clone(), (key.digest, first, last)).is_none() {
            self.oldest_first.push_back(key.key);
        }
        if self.oldest_first.len() > KEYS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }

    /// Returns the keys up to the append that ends with `last`, oldest first, each with its first and last seq.
    pub fn up_to(&self, last: Seq) -> impl Iterator<Item = (IdempotencyKey, Seq, Seq)> {
        let known = self.oldest_first.iter().filter_map(|key| Some((key, self.answers.get(key)?)));
        known.filter(move |(_, answer)| answer.2 <= last).map(|(key, (digest, first, last))| {
            (IdempotencyKey { key: key.clone(), digest: *digest }, *first, *last)
        })
    }
}
