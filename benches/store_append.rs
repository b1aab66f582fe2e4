//! Measures what durability costs: `cargo bench --bench store_append`.
//!
//! Appends to both stores in one run and prints ratios to the memory store: one writer and sixteen, one line and a
//! hundred per append. Appends to the disk store are durable when they return (fdatasync), so its figures depend on the
//! disk as much as on this code. Sixteen writers show the effect of group commit. Then the whole log is read back in
//! batches of the size that the wire allows.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wirelab::reader::BATCH_LIMIT;
use wirelab::store::disk::DiskStore;
use wirelab::store::memory::MemoryStore;
use wirelab::store::{AppendRequest, DeploymentLog, LogStore};
use wirelab_clients::wire::NewLine;

/// Duration of each case: long enough for thousands of fdatasyncs.
const CASE: Duration = Duration::from_secs(2);
const LINE_BYTES: usize = 110;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("| writers × lines per append | memory (lines/s) | disk (lines/s) | disk / memory |");
    println!("|---|---|---|---|");
    let mut logs = Vec::new();
    for (writers, lines) in [(1, 1), (16, 1), (1, 100), (16, 100)] {
        let folder = tempfile::tempdir()?;
        let stores: [Arc<dyn LogStore>; 2] =
            [Arc::new(MemoryStore::new(0)), Arc::new(DiskStore::open(folder.path().to_owned(), 0)?)];
        let mut rates = Vec::new();
        logs.clear();
        for store in stores {
            let log = store.create("bench".to_owned(), None).await?;
            rates.push(append(&log, writers, lines).await?);
            logs.push(log);
        }
        println!("| {writers} × {lines} | {:.0} | {:.0} | {:.3} |", rates[0], rates[1], rates[1] / rates[0]);
        if (writers, lines) == (16, 100) {
            let memory = read(&logs[0]).await?;
            let disk = read(&logs[1]).await?;
            println!("| reading back | {memory:.0} | {disk:.0} | {:.3} |", disk / memory);
        }
    }
    Ok(())
}

async fn append(log: &Arc<dyn DeploymentLog>, writers: usize, lines: usize) -> Result<f64, Box<dyn Error>> {
    let until = Instant::now() + CASE;
    let writing: Vec<_> = (0..writers)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move {
                let lines = vec![NewLine::plain("x".repeat(LINE_BYTES)); lines];
                while Instant::now() < until {
                    log.append(AppendRequest::new(lines.clone(), None)).await?;
                }
                Ok::<_, wirelab::store::StoreError>(())
            })
        })
        .collect();
    for writer in writing {
        writer.await??;
    }
    Ok(log.info().lines as f64 / CASE.as_secs_f64())
}

async fn read(log: &Arc<dyn DeploymentLog>) -> Result<f64, Box<dyn Error>> {
    let (mut after, start) = (0, Instant::now());
    loop {
        let lines = log.read_after(after, BATCH_LIMIT).await?;
        match lines.last() {
            Some(line) => after = line.seq,
            None => return Ok(after as f64 / start.elapsed().as_secs_f64()),
        }
    }
}
