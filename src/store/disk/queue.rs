//! The queue of one log: appends gather in a batch, which is written and answered as one.
//!
//! Pure bookkeeping under the log's queue lock; the log's writer writes the batch.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use wirelab_clients::wire::{DeploymentId, Seq, Status};

use super::gathering::Gathering;
use super::records::{self, ControlRecord};
use crate::store::log_clock::LogClock;
use crate::store::{
    AppendRequest, EncodedLine, IdempotencyKey, IdempotencyKeys, Reservation, StoreError, Unwritten,
};

/// Result of a batch.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    Durable,
    Deleted,
    /// Nothing was written; the log goes on.
    Unwritten(Unwritten),
    /// A flush failed; holds the log's first failure.
    Failed(String),
}

impl Fate {
    pub(super) fn into_result(self, id: &DeploymentId) -> Result<(), StoreError> {
        match self {
            Self::Durable => Ok(()),
            Self::Deleted => Err(StoreError::NotFound(id.clone())),
            Self::Unwritten(unwritten) => Err(unwritten.into()),
            Self::Failed(reason) => Err(StoreError::WriteFailed { id: id.clone(), reason }),
        }
    }
}

/// A watch on the outcome of a batch.
pub(super) type Committed = watch::Receiver<Option<Fate>>;

fn already(outcome: Fate) -> Committed {
    watch::Sender::new(Some(outcome)).subscribe()
}

/// Whether an append brings new lines, or its key has brought them before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    Fresh,
    Repeated,
}

/// The place of an append in the log, and a watch on its outcome.
pub(super) struct Enqueued {
    pub(super) novelty: Novelty,
    pub(super) first: Seq,
    pub(super) last: Seq,
    pub(super) committed: Committed,
}

/// Appends that are written together.
pub(super) struct QueuedBatch {
    pub(super) records: Vec<u8>,
    /// Lines, each with the offset of its record in `records`.
    pub(super) lines: Vec<(u64, Arc<EncodedLine>)>,
    pub(super) finished: Option<(Status, u64)>,
    keys: Vec<(IdempotencyKey, Seq, Seq)>,
    outcome: watch::Sender<Option<Fate>>,
    /// Room of its appends, given back with the batch. One for each append.
    reservations: Vec<Reservation>,
}

impl QueuedBatch {
    fn new() -> Self {
        Self {
            records: Vec::new(),
            lines: Vec::new(),
            finished: None,
            keys: Vec::new(),
            outcome: watch::Sender::new(None),
            reservations: Vec::new(),
        }
    }

    /// Returns how many appends the batch holds.
    pub(super) fn append_count(&self) -> usize {
        self.reservations.len()
    }
}

/// The appenders' side of a log.
pub(super) struct Queue {
    id: DeploymentId,
    /// Seq of the next line. It is ahead of the head by the lines that are pending or being written.
    next: Seq,
    pending: Option<QueuedBatch>,
    /// Whether the writer runs and will take what is pending.
    committing: bool,
    pub(super) gathering: Gathering,
    /// While the writer waits for more appends: how many must be pending to end the wait.
    pub(super) awaited: Option<usize>,
    /// Keys whose append is not durable yet, by name.
    in_flight: HashMap<String, InFlight>,
    keys: IdempotencyKeys,
    /// Whether the log has keys that were given up here and can be read again from disk.
    keys_are_cold: bool,
    clock: LogClock,
    ended: Option<(Status, Committed)>,
    pub(super) deleted: bool,
    /// First failure of a flush, if one has failed.
    failed: Option<String>,
}

struct InFlight {
    digest: [u8; 32],
    first: Seq,
    last: Seq,
    committed: Committed,
}

impl Queue {
    /// Makes the queue of a log whose last line is `last`.
    pub(super) fn new(id: DeploymentId, last: Seq, keys: IdempotencyKeys, ended: Option<Status>) -> Self {
        Self {
            id,
            next: last + 1,
            pending: None,
            committing: false,
            gathering: Gathering::default(),
            awaited: None,
            in_flight: HashMap::new(),
            keys,
            keys_are_cold: false,
            clock: LogClock::default(),
            ended: ended.map(|status| (status, already(Fate::Durable))),
            deleted: false,
            failed: None,
        }
    }

    /// Gives the lines their seqs and encodes them, or finds the seqs that their key got before.
    pub(super) fn append(&mut self, request: AppendRequest) -> Result<Enqueued, StoreError> {
        self.refuse_deleted()?;
        if let Some(key) = &request.key
            && let Some(before) = self.find(key)?
        {
            return Ok(before);
        }
        self.refuse_failed()?;
        if let Some((status, _)) = self.ended {
            return Err(StoreError::Ended { id: self.id.clone(), status });
        }
        let (first, last) = (self.next, self.next + request.lines.len() as u64 - 1);
        let at_us = self.clock.now_us();
        let batch = self.pending.get_or_insert_with(QueuedBatch::new);
        batch.reservations.push(request.reservation);
        if request.key.is_some() || first < last {
            let key = request.key.as_ref().map(Into::into);
            records::push_control(&mut batch.records, &ControlRecord::Append { first, last, key });
        }
        for line in EncodedLine::of_append(first, at_us, &request.lines) {
            let offset = batch.records.len() as u64;
            records::push_record(&mut batch.records, &line.json);
            batch.lines.push((offset, line));
        }
        self.next = last + 1;
        let committed = batch.outcome.subscribe();
        if let Some(IdempotencyKey { key, digest }) = request.key {
            let in_flight = InFlight { digest, first, last, committed: committed.clone() };
            self.in_flight.insert(key.clone(), in_flight);
            batch.keys.push((IdempotencyKey { key, digest }, first, last));
        }
        Ok(Enqueued { novelty: Novelty::Fresh, first, last, committed })
    }

    fn find(&self, key: &IdempotencyKey) -> Result<Option<Enqueued>, StoreError> {
        if let Some((first, last)) = self.keys.find(key)? {
            let committed = already(Fate::Durable);
            return Ok(Some(Enqueued { novelty: Novelty::Repeated, first, last, committed }));
        }
        match self.in_flight.get(&key.key) {
            None => Ok(None),
            Some(twin) if twin.digest == key.digest => {
                let committed = twin.committed.clone();
                let (first, last) = (twin.first, twin.last);
                Ok(Some(Enqueued { novelty: Novelty::Repeated, first, last, committed }))
            }
            Some(_) => Err(StoreError::KeyReused(key.key.clone())),
        }
    }

    /// Ends the log after all pending lines.
    pub(super) fn finish(&mut self, status: Status) -> Result<Committed, StoreError> {
        self.refuse_deleted()?;
        match &self.ended {
            Some((ended, committed)) if *ended == status => Ok(committed.clone()),
            Some((ended, _)) => Err(StoreError::Ended { id: self.id.clone(), status: *ended }),
            None => {
                self.refuse_failed()?;
                let at_us = self.clock.now_us();
                let batch = self.pending.get_or_insert_with(QueuedBatch::new);
                records::push_control(&mut batch.records, &ControlRecord::Finished { status, at_us });
                batch.finished = Some((status, at_us));
                let committed = batch.outcome.subscribe();
                self.ended = Some((status, committed.clone()));
                Ok(committed)
            }
        }
    }

    fn refuse_deleted(&self) -> Result<(), StoreError> {
        if self.deleted { Fate::Deleted.into_result(&self.id) } else { Ok(()) }
    }

    /// Returns the log's first failure as an error, for every operation that would write.
    pub(super) fn refuse_failed(&self) -> Result<(), StoreError> {
        let failed = self.failed.clone().map(Fate::Failed);
        failed.map_or(Ok(()), |failed| failed.into_result(&self.id))
    }

    /// Sets the newest time of the log, which no later time is before.
    pub(super) fn wind(&mut self, newest_us: u64) {
        self.clock = LogClock::at(newest_us);
    }

    /// Tells whether keys must be read again before a key can be looked for.
    pub(super) fn keys_are_cold(&self) -> bool {
        self.keys_are_cold
    }

    /// Returns the bytes of memory that the keys of an ended log take.
    pub(super) fn keys_bytes(&self) -> usize {
        self.keys.memory_bytes()
    }

    /// Gives up the keys of a log that has ended: no key is added to it any more, and all are on disk. Not while the
    /// writer runs, which may still need them.
    pub(super) fn cool_keys(&mut self) {
        if !self.committing && !self.keys.is_empty() {
            self.keys = IdempotencyKeys::default();
            self.keys_are_cold = true;
        }
    }

    /// Takes keys that were read again.
    pub(super) fn warm_keys(&mut self, keys: IdempotencyKeys) {
        self.keys = keys;
        self.keys_are_cold = false;
    }

    /// Tells whether the caller must start the writer: something is pending and no writer runs.
    pub(super) fn claim_writer(&mut self) -> bool {
        let claimed = self.pending.is_some() && !self.committing;
        self.committing |= claimed;
        claimed
    }

    /// Returns the batch to write next, and the earlier failure that forbids it if there is one. `None` ends the
    /// writer's loop.
    pub(super) fn take(&mut self) -> Option<(QueuedBatch, Option<String>)> {
        let batch = self.pending.take();
        self.committing = batch.is_some();
        Some((batch?, self.failed.clone()))
    }

    /// Returns how many appends are pending.
    pub(super) fn pending_append_count(&self) -> usize {
        self.pending.as_ref().map_or(0, QueuedBatch::append_count)
    }

    /// Ends the writer's wait for more appends if they have come, or if none can come any more. Returns whether there was
    /// such a wait.
    pub(super) fn all_came(&mut self) -> bool {
        let pending = self.pending_append_count();
        let is_end = self.pending.as_ref().is_some_and(|batch| batch.finished.is_some());
        self.awaited.take_if(|awaited| is_end || pending >= *awaited).is_some()
    }

    #[cfg(test)]
    pub(super) fn pending_line_count(&self) -> usize {
        self.pending.as_ref().map_or(0, |batch| batch.lines.len())
    }

    /// Tells all callers that wait for `batch` its outcome. If nothing was written, what is pending fails with it: its
    /// lines have seqs that follow those of the batch. The next append takes the place of both.
    pub(super) fn settle(&mut self, batch: QueuedBatch, outcome: Fate) {
        let overtaken = matches!(outcome, Fate::Unwritten(_)).then(|| self.pending.take()).flatten();
        if let Fate::Failed(reason) = &outcome {
            self.failed.get_or_insert_with(|| reason.clone());
        }
        for batch in [Some(batch), overtaken].into_iter().flatten() {
            if matches!(outcome, Fate::Unwritten(_)) {
                self.next -= batch.lines.len() as u64;
                if batch.finished.is_some() {
                    self.ended = None;
                }
            }
            for (key, first, last) in batch.keys {
                self.in_flight.remove(&key.key);
                if matches!(outcome, Fate::Durable) {
                    self.keys.insert(key, first, last);
                }
            }
            batch.outcome.send_replace(Some(outcome.clone()));
        }
    }

    /// Returns the keys of all appends up to the seq `last`, oldest first.
    pub(super) fn keys_up_to(&self, last: Seq) -> Vec<(IdempotencyKey, Seq, Seq)> {
        self.keys.up_to(last).collect()
    }

    /// Fails the log because its writer is gone. Waiting callers learn it from the dropped batches.
    pub(super) fn abandon(&mut self, reason: &str) {
        self.failed.get_or_insert_with(|| reason.to_owned());
        self.pending = None;
        self.in_flight.clear();
    }
}
