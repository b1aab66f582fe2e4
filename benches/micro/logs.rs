//! Logs for the benches to work on: lines, and stores that hold them. Used by every bench of the server's parts.

use std::sync::Arc;

use tokio::runtime::Runtime;
use wirelab::reader::{BATCH_LIMIT, EncodedBatch};
use wirelab::store::memory::MemoryStore;
use wirelab::store::{AppendRequest, DeploymentLog, LogStore};
use wirelab_clients::wire::NewLine;

/// Length of a line's text: the line of `scripts/bench`.
pub(crate) const LINE_BYTES: usize = 100;

/// Number of lines that a log keeps: a bench appends millions.
const KEPT_LINES: u64 = 20_000;

/// Returns lines to append.
pub(crate) fn lines(count: usize) -> Vec<NewLine> {
    vec![NewLine::plain("x".repeat(LINE_BYTES)); count]
}

/// Returns a runtime on this thread alone: without another thread, nothing waits for a wake-up of the kernel.
pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Creates an empty log in memory.
pub(crate) fn in_memory(runtime: &Runtime) -> Arc<dyn DeploymentLog> {
    runtime.block_on(MemoryStore::new(KEPT_LINES).create("bench".to_owned(), None)).unwrap()
}

/// Appends lines at once.
pub(crate) fn append(runtime: &Runtime, log: &Arc<dyn DeploymentLog>, count: usize) {
    runtime.block_on(log.append(AppendRequest::new(lines(count), None))).unwrap();
}

/// Returns a batch of so many lines, as a reader frames it.
pub(crate) fn batch(runtime: &Runtime, count: usize) -> (Arc<dyn DeploymentLog>, EncodedBatch) {
    let log = in_memory(runtime);
    append(runtime, &log, count);
    let lines = runtime.block_on(log.read_after(0, BATCH_LIMIT)).unwrap();
    assert_eq!(lines.len(), count, "they fit into a batch");
    let next = log.info().next;
    (log, EncodedBatch { lines, next, more: false, finished: None })
}
