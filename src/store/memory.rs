//! The memory store: logs that live as long as the process.
//!
//! It is the default of experiments, because an append costs only a copy. An acknowledged line can be read but is not
//! durable.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};

use async_trait::async_trait;
use tokio::sync::watch;
use wirelab_clients::wire::{Appended, Cursor, Deployment, DeploymentId, Epoch, Seq, Source, Status};

use super::log_clock::LogClock;
use super::{
    AppendRequest, DeploymentLog, EncodedLine, Head, IdempotencyKey, IdempotencyKeys, LogStore, ReadLimit,
    Reservation, StoreError, Stored, Tally, new_epoch, new_id, now_us,
};

/// A store in memory. Its size is bounded by `--retain-lines` per log; without it, by what publishers send.
#[derive(Default)]
pub struct MemoryStore {
    logs: RwLock<Logs>,
    retain_lines: u64,
    tally: Tally,
}

#[derive(Default)]
struct Logs {
    by_id: HashMap<DeploymentId, Arc<MemoryLog>>,
    /// The same logs by their place among all that were created, so that a list need not sort them.
    by_age: BTreeMap<u64, Arc<MemoryLog>>,
    created_count: u64,
}

impl Logs {
    fn remove(&mut self, id: &DeploymentId) -> Result<Arc<MemoryLog>, StoreError> {
        let log = self.by_id.remove(id).ok_or_else(|| StoreError::NotFound(id.clone()))?;
        self.by_age.remove(&log.order);
        Ok(log)
    }
}

impl MemoryStore {
    /// Makes a store that keeps the newest `retain_lines` of each log; 0 keeps all.
    pub fn new(retain_lines: u64) -> Self {
        Self { retain_lines, ..Self::default() }
    }
}

#[async_trait]
impl LogStore for MemoryStore {
    async fn create_keyed(
        &self,
        name: String,
        source: Option<Source>,
        key: Option<IdempotencyKey>,
    ) -> Result<Arc<dyn DeploymentLog>, StoreError> {
        let created_us = now_us();
        let mut logs = self.logs.write().expect("no holder panics");
        logs.created_count += 1;
        let log = Arc::new(MemoryLog {
            id: new_id(created_us),
            epoch: new_epoch(),
            name,
            source,
            key,
            created_us,
            order: logs.created_count,
            retain_lines: self.retain_lines,
            kept: Mutex::new(Kept { clock: LogClock::at(created_us), ..Kept::default() }),
            head: watch::Sender::new(Head { first: 0, last: 0, ended: None, deleted: false }),
            tally: self.tally.clone(),
        });
        logs.by_id.insert(log.id.clone(), log.clone());
        logs.by_age.insert(log.order, log.clone());
        self.tally.began();
        Ok(log)
    }

    async fn open(&self, id: &DeploymentId) -> Result<Arc<dyn DeploymentLog>, StoreError> {
        match self.logs.read().expect("no holder panics").by_id.get(id) {
            Some(log) => Ok(log.clone()),
            None => Err(StoreError::NotFound(id.clone())),
        }
    }

    async fn list(&self, limit: usize) -> Result<Vec<Arc<dyn DeploymentLog>>, StoreError> {
        let logs = self.logs.read().expect("no holder panics");
        let newest_first = logs.by_age.values().rev().take(limit);
        Ok(newest_first.map(|log| log.clone() as Arc<dyn DeploymentLog>).collect())
    }

    async fn delete(&self, id: &DeploymentId) -> Result<(), StoreError> {
        let log = self.logs.write().expect("no holder panics").remove(id)?;
        // The deletion is announced under the log's lock, so that no append can succeed after it.
        let _kept = log.lock();
        log.head.send_modify(|head| head.deleted = true);
        if log.head.borrow().ended.is_none() {
            self.tally.ended();
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        "memory"
    }

    fn durable(&self) -> bool {
        false
    }

    fn tally(&self) -> Tally {
        self.tally.clone()
    }

    /// Always succeeds: memory takes every line.
    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

struct MemoryLog {
    id: DeploymentId,
    epoch: Epoch,
    name: String,
    source: Option<Source>,
    key: Option<IdempotencyKey>,
    created_us: u64,
    /// Position of the log among all that were created: 1 is the first.
    order: u64,
    retain_lines: u64,
    kept: Mutex<Kept>,
    head: watch::Sender<Head>,
    tally: Tally,
}

#[derive(Default)]
struct Kept {
    /// The kept lines: `head.first + 1 ..= head.last`.
    lines: VecDeque<Arc<EncodedLine>>,
    keys: IdempotencyKeys,
    clock: LogClock,
    finished_us: Option<u64>,
}

impl MemoryLog {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no holder panics")
    }

    fn appended(&self, first: Seq, last: Seq) -> Appended {
        Appended { first, last, cursor: Cursor { epoch: self.epoch.clone(), after: last } }
    }
}

#[async_trait]
impl DeploymentLog for MemoryLog {
    async fn append(&self, request: AppendRequest) -> Result<Stored, StoreError> {
        let mut kept = self.lock();
        let head = *self.head.borrow();
        if head.deleted {
            return Err(StoreError::NotFound(self.id.clone()));
        }
        if let Some(key) = &request.key
            && let Some((first, last)) = kept.keys.find(key)?
        {
            return Ok(Stored::Repeated(self.appended(first, last)));
        }
        if let Some(status) = head.ended {
            return Err(StoreError::Ended { id: self.id.clone(), status });
        }
        let at_us = kept.clock.now_us();
        let (first, last) = (head.last + 1, head.last + request.lines.len() as u64);
        kept.lines.extend(EncodedLine::of_append(first, at_us, &request.lines));
        if let Some(key) = request.key {
            kept.keys.insert(key, first, last);
        }
        let mut dropped = head.first;
        while self.retain_lines > 0 && kept.lines.len() as u64 > self.retain_lines {
            kept.lines.pop_front();
            dropped += 1;
        }
        self.head.send_modify(|head| (head.first, head.last) = (dropped, last));
        self.tally.appended(request.lines.len());
        Ok(Stored::Fresh(self.appended(first, last)))
    }

    /// Reserves nothing: an append never waits.
    async fn reserve(&self, _: &[u8]) -> Result<Reservation, StoreError> {
        Ok(Reservation::default())
    }

    async fn read_after(&self, after: Seq, limit: ReadLimit) -> Result<Vec<Arc<EncodedLine>>, StoreError> {
        let kept = self.lock();
        let first = self.head.borrow().first;
        let skip = after.checked_sub(first).ok_or(StoreError::Trimmed { first })? as usize;
        let mut bytes = 0;
        let lines = kept.lines.range(skip.min(kept.lines.len())..).take(limit.lines);
        Ok(lines
            .enumerate()
            .take_while(|(i, line)| {
                bytes += line.json.len();
                *i == 0 || bytes <= limit.bytes
            })
            .map(|(_, line)| line.clone())
            .collect())
    }

    async fn finish(&self, status: Status) -> Result<(), StoreError> {
        let mut kept = self.lock();
        let head = *self.head.borrow();
        match head.ended {
            _ if head.deleted => Err(StoreError::NotFound(self.id.clone())),
            Some(ended) if ended == status => Ok(()),
            Some(status) => Err(StoreError::Ended { id: self.id.clone(), status }),
            None => {
                kept.finished_us = Some(kept.clock.now_us());
                self.head.send_modify(|head| head.ended = Some(status));
                self.tally.ended();
                Ok(())
            }
        }
    }

    fn id(&self) -> &DeploymentId {
        &self.id
    }

    fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    fn info(&self) -> Deployment {
        let kept = self.lock();
        let head = *self.head.borrow();
        let cursor = |after| Cursor { epoch: self.epoch.clone(), after };
        Deployment {
            id: self.id.clone(),
            name: self.name.clone(),
            ended: head.ended,
            created_us: self.created_us,
            finished_us: kept.finished_us,
            lines: head.last,
            first: cursor(head.first),
            next: cursor(head.last),
            source: self.source.clone(),
        }
    }

    fn is_named(&self, name: &str) -> bool {
        self.name == name
    }

    fn source(&self) -> Option<Source> {
        self.source.clone()
    }

    fn creation_key(&self) -> Option<IdempotencyKey> {
        self.key.clone()
    }

    fn head(&self) -> watch::Receiver<Head> {
        self.head.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{StoreUnderTest, promises_of};
    use super::*;

    struct Memory;

    impl StoreUnderTest for Memory {
        fn store(&self, retain_lines: u64) -> Arc<dyn LogStore> {
            Arc::new(MemoryStore::new(retain_lines))
        }
    }

    promises_of!(Memory);
}
