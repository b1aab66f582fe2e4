//! What logs keep in memory although they could read it again from disk, and the joint bound on it.
//!
//! That is the tail of each log and, once it has ended, its idempotency keys. When all logs together keep more than the
//! bound, the log that was used longest ago gives up its part: then it is *cold*. Its next readers read from disk, and
//! so does a repeated append that asks for a key. Used by `log`; reads no file.

use std::collections::BTreeMap;
use std::sync::{Mutex, Weak};

/// Bytes that the tails and the keys of ended logs may take together: the full tails of sixteen busy logs, or a tail of
/// 64 KiB for each of a thousand quiet ones.
pub(super) const WARM_BYTES_MAX: usize = 64 << 20;

/// A log that keeps something which it can read again from disk.
pub(super) trait Cool: Send + Sync {
    /// Gives it up.
    fn cool(&self);
}

/// The joint bound of one store's logs.
pub(super) struct Warmth {
    bytes_max: usize,
    warm: Mutex<WarmLogs>,
    /// Held while keys are read again, so that many repeated appends to ended logs read one log at a time.
    pub(super) reading_keys: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct WarmLogs {
    bytes: usize,
    used_count: u64,
    /// The log that was used longest ago first.
    by_age: BTreeMap<u64, WarmLog>,
}

struct WarmLog {
    log: Weak<dyn Cool>,
    bytes: usize,
}

/// The place of one log among the warm ones. 0: it is cold.
#[derive(Debug, Default)]
pub(super) struct Age(Mutex<u64>);

impl Warmth {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, warm: Mutex::default(), reading_keys: tokio::sync::Mutex::default() }
    }

    /// Notes that a log was just used and what it keeps now. Cools other logs as far as the bound needs it. Must not be
    /// called under the lock of a log's queue or of its lines.
    pub(super) fn used(&self, log: Weak<dyn Cool>, age: &Age, bytes: usize) {
        let mut warm = self.warm.lock().expect("no holder panics");
        let mut age = age.0.lock().expect("no holder panics");
        if let Some(before) = warm.by_age.remove(&age) {
            warm.bytes -= before.bytes;
        }
        warm.used_count += 1;
        *age = warm.used_count;
        warm.bytes += bytes;
        warm.by_age.insert(*age, WarmLog { log, bytes });
        drop(age);
        let mut cooling = Vec::new();
        while warm.bytes > self.bytes_max
            && let Some((_, oldest)) = warm.by_age.pop_first()
        {
            warm.bytes -= oldest.bytes;
            cooling.push(oldest.log);
        }
        drop(warm);
        for log in cooling {
            if let Some(log) = log.upgrade() {
                log.cool();
            }
        }
    }

    /// Forgets a log that was deleted.
    pub(super) fn forget(&self, age: &Age) {
        let mut warm = self.warm.lock().expect("no holder panics");
        let age = age.0.lock().expect("no holder panics");
        if let Some(before) = warm.by_age.remove(&age) {
            warm.bytes -= before.bytes;
        }
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.warm.lock().unwrap().bytes
    }
}
