//! Idempotency keys, which make it safe to repeat an append.
//!
//! Each log remembers its newest keys with their answers. Both stores keep them in this type; a durable store also
//! writes them.

use std::collections::{HashMap, VecDeque};

use sha2::{Digest, Sha256};
use wirelab_clients::wire::Seq;

use super::StoreError;

/// Keys that are remembered per log. A publisher that repeats an append does so within its last few thousand.
pub const KEYS_MAX: usize = 10_000;

/// A client's name for one request, with a digest of what it was used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key: 1 to 64 visible ASCII characters.
    pub key: String,
    /// SHA-256 of content type and body, which tells a repetition from another use of the key.
    pub digest: [u8; 32],
}

/// The first half of a SHA-256. Two different inputs with the same half would take 2^64 attempts, and a full log of
/// keys takes 1 MB instead of 2.6 MB.
type HalfDigest = [u8; 16];

fn half(digest: &[u8; 32]) -> HalfDigest {
    std::array::from_fn(|i| digest[i])
}

/// The newest [`KEYS_MAX`] keys of one log, with their answers.
#[derive(Debug, Default)]
pub struct IdempotencyKeys {
    answers: HashMap<HalfDigest, Answer>,
    oldest_first: VecDeque<HalfDigest>,
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    digest: HalfDigest,
    first: Seq,
    last: Seq,
}

impl IdempotencyKeys {
    /// Returns the seqs (first, last) that `key` got before; `None` if it is new.
    pub fn find(&self, key: &IdempotencyKey) -> Result<Option<(Seq, Seq)>, StoreError> {
        match self.answers.get(&named(&key.key)) {
            None => Ok(None),
            Some(answer) if answer.digest == half(&key.digest) => Ok(Some((answer.first, answer.last))),
            Some(_) => Err(StoreError::KeyReused(key.key.clone())),
        }
    }

    /// Remembers the seqs that `key` got, and forgets the oldest key beyond the bound.
    pub fn insert(&mut self, key: IdempotencyKey, first: Seq, last: Seq) {
        let name = named(&key.key);
        let answer = Answer { digest: half(&key.digest), first, last };
        if self.answers.insert(name, answer).is_none() {
            self.oldest_first.push_back(name);
        }
        if self.oldest_first.len() > KEYS_MAX
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }

    /// Tells whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Returns the bytes of memory that the keys take, spare room of their tables included.
    pub fn memory_bytes(&self) -> usize {
        self.answers.capacity() * size_of::<(HalfDigest, Answer)>()
            + self.oldest_first.capacity() * size_of::<HalfDigest>()
    }
}

fn named(key: &str) -> HalfDigest {
    half(&Sha256::digest(key.as_bytes()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_of_keys_takes_about_a_megabyte() {
        let mut keys = IdempotencyKeys::default();
        for i in 0..2 * KEYS_MAX as u64 {
            let digest = [i as u8; 32];
            keys.insert(IdempotencyKey { key: format!("{i:064}"), digest }, i, i);
        }
        assert!(keys.memory_bytes() < 1_300_000, "{}", keys.memory_bytes());
        let find =
            |i: u64| keys.find(&IdempotencyKey { key: format!("{i:064}"), digest: [i as u8; 32] }).unwrap();
        assert_eq!((find(KEYS_MAX as u64 - 1), find(KEYS_MAX as u64)), (None, Some((10_000, 10_000))));
    }
}
