//! Idempotency keys, which make it safe to repeat an append.
//!
//! Each log remembers its newest keys with their answers. Both stores keep them in this type; a durable store also
//! writes them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

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

/// The newest [`KEYS_MAX`] keys of one log, with their answers.
#[derive(Debug, Default)]
pub struct IdempotencyKeys {
    // The text of a key is in memory once: both share it.
    answers: HashMap<Arc<str>, ([u8; 32], Seq, Seq)>,
    oldest_first: VecDeque<Arc<str>>,
}

impl IdempotencyKeys {
    /// Bytes of memory that the text of a key takes: its counts and, on the average, half of the longest key.
    const TEXT_BYTES: usize = 48;

    /// Returns the seqs (first, last) that `key` got before; `None` if it is new.
    pub fn find(&self, key: &IdempotencyKey) -> Result<Option<(Seq, Seq)>, StoreError> {
        match self.answers.get(&*key.key) {
            None => Ok(None),
            Some((digest, first, last)) if *digest == key.digest => Ok(Some((*first, *last))),
            Some(_) => Err(StoreError::KeyReused(key.key.clone())),
        }
    }

    /// Remembers the seqs that `key` got, and forgets the oldest key beyond the bound.
    pub fn insert(&mut self, key: IdempotencyKey, first: Seq, last: Seq) {
        let text: Arc<str> = key.key.into();
        if self.answers.insert(text.clone(), (key.digest, first, last)).is_none() {
            self.oldest_first.push_back(text);
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
            (IdempotencyKey { key: key.to_string(), digest: *digest }, *first, *last)
        })
    }

    /// Tells whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Returns about how many bytes of memory the keys take, spare room of their tables included.
    pub fn memory_bytes(&self) -> usize {
        self.answers.capacity() * size_of::<(Arc<str>, ([u8; 32], Seq, Seq))>()
            + self.oldest_first.capacity() * size_of::<Arc<str>>()
            + self.oldest_first.len() * Self::TEXT_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ten_thousand_keys_are_kept_in_two_megabytes() {
        let mut keys = IdempotencyKeys::default();
        let key = |i: u64| IdempotencyKey { key: format!("{i:032}"), digest: [i as u8; 32] };
        for i in 0..2 * KEYS_MAX as u64 {
            keys.insert(key(i), i, i);
        }
        assert!(keys.memory_bytes() < 2 << 20, "{}", keys.memory_bytes());
        let find = |i: u64| keys.find(&key(i)).unwrap();
        assert_eq!((find(KEYS_MAX as u64 - 1), find(KEYS_MAX as u64)), (None, Some((10_000, 10_000))));
    }
}
