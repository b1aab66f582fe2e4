//! Measures what the harness itself costs per delivered line: `cargo bench --bench harness_line`.
//!
//! Each client half reads a finished log from its first line and records it as in a run. The baseline is a raw socket
//! on NDJSON whose bytes are thrown away: a harness that does nothing. CPU time is that of this process alone; the
//! server is another process. Bulk reading is the cheapest case: paced lines cost a wake-up each, which
//! `harness_cpu_ratio` of `wirelab run e00-honest-bench` shows.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wirelab_clients::api::Api;
use wirelab_clients::harness::cell::{StoreKind, Tls};
use wirelab_clients::harness::due_table::DueTable;
use wirelab_clients::harness::recorder::Recorder;
use wirelab_clients::harness::server_process::{ServerCommand, ServerProcess};
use wirelab_clients::meter::Meter;
use wirelab_clients::wire::{NewLine, Position, Status, Transport};
use wirelab_clients::{Options, Polling, ServerUrl, Target, connect, os, spare};

/// Number of appends, each of 5,000 lines.
const APPENDS: usize = 20;
const LINES: usize = 5_000;
const LINES_ALL: u64 = (APPENDS * LINES) as u64;
const LINE_BYTES: usize = 100;
/// Number of rounds; each round runs every reader once.
const ROUNDS: usize = 5;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let command = ServerCommand::Wirelab {
        program: env!("CARGO_BIN_EXE_wirelab").into(),
        store: StoreKind::Memory,
        tls: Tls::None,
        arguments: Vec::new(),
    };
    let server = ServerProcess::spawn(&command).await?;
    let url: ServerUrl = server.url().clone();
    let mut api = Api::new(url.clone());
    let deployment = api.create("harness", None).await?.id;
    let lines = vec![NewLine::plain("x".repeat(LINE_BYTES)); LINES];
    for _ in 0..APPENDS {
        api.append(&deployment, &lines, &format!("{:032x}", rand::random::<u128>())).await?;
    }
    api.finish(&deployment, Status::Succeeded).await?;
    let target = Target { server: url.clone(), deployment, from: Position::Start };

    let mut baseline = Vec::new();
    let mut cost = vec![Vec::new(); Transport::ALL.len()];
    for _ in 0..ROUNDS {
        baseline.push(null(&target).await?);
        for (of, transport) in cost.iter_mut().zip(Transport::ALL) {
            of.push(follow(transport, &target).await?);
        }
    }
    let per_line_us = |spent: &mut Vec<Duration>| {
        spent.sort();
        spent[spent.len() / 2].as_secs_f64() * 1e6 / LINES_ALL as f64
    };
    let baseline = per_line_us(&mut baseline);
    println!("| reader | CPU per line (µs), median of {ROUNDS} | × the raw socket |");
    println!("|---|---|---|");
    println!("| raw socket, bytes thrown away | {baseline:.3} | 1 |");
    for (spent, transport) in cost.iter_mut().zip(Transport::ALL) {
        let us = per_line_us(spent);
        println!("| {transport} | {us:.3} | {:.1} |", us / baseline);
    }
    server.stop().await?;
    Ok(())
}

/// Returns the CPU time of a reader that throws its bytes away.
async fn null(target: &Target) -> Result<Duration, Box<dyn Error>> {
    let before = os::own_cpu().ok_or("no CPU clock")?;
    let mut socket = TcpStream::connect(target.server.authority()).await?;
    let path = Transport::Ndjson.path().replace("{id}", target.deployment.as_str());
    let host = target.server.authority();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut bytes = vec![0; 4_096];
    let mut read = 0;
    loop {
        match socket.read(&mut bytes).await? {
            0 => break,
            count => read += count as u64,
        }
    }
    assert!(read > LINES_ALL * LINE_BYTES as u64, "the log was cut at {read} bytes");
    Ok(os::own_cpu().ok_or("no CPU clock")? - before)
}

/// Returns the CPU time of a client half with a recorder.
async fn follow(transport: Transport, target: &Target) -> Result<Duration, Box<dyn Error>> {
    let due = vec![Duration::ZERO; LINES_ALL as usize];
    let table = Arc::new(DueTable::new(Instant::now(), due, Duration::ZERO));
    let options = Options { polling: Polling::every(Duration::from_millis(1)), ..Options::default() };
    let before = os::own_cpu().ok_or("no CPU clock")?;
    let mut subscriber = connect(transport, target.clone(), &options, Meter::new());
    let mut recorder = Recorder::new(table.clone());
    loop {
        let received = subscriber.next_batch().await?;
        recorder.record(received.batch.lines.iter().map(|line| line.seq), received.at);
        spare::give_back(received.batch.lines);
        if received.batch.finished {
            break;
        }
    }
    assert_eq!(recorder.delivered_count(), table.lines_count(), "{transport} lost lines");
    Ok(os::own_cpu().ok_or("no CPU clock")? - before)
}
