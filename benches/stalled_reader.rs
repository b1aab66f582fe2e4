//! Measures what a stalled reader costs: `cargo bench --bench stalled_reader`.
//!
//! A server has a log of 64 MiB. Subscribers ask for all of it over raw sockets and never read. The server's memory is
//! read three times: before, when every socket is full, and after more lines were appended. A design with a queue per
//! subscriber grows in the last step. Memory is anonymous PSS per reader, in KiB; it does not include the socket
//! buffers of the kernel.

use std::error::Error;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use wirelab_clients::ServerUrl;
use wirelab_clients::api::Api;
use wirelab_clients::harness::cell::{Engine, StoreKind, Tls};
use wirelab_clients::harness::process_sampler::ProcessSample;
use wirelab_clients::harness::server_process::{ServerCommand, ServerProcess};
use wirelab_clients::wire::{DeploymentId, NewLine, Transport};

const READERS: i64 = 100;
/// Number of appends of 1 MiB: 64 MiB of text.
const APPENDS: usize = 64;
const LINES: usize = 1_024;
const LINE_BYTES: usize = 1_024;
/// Time between two looks at the memory: it is settled when it no longer changes.
const LOOK: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("| transport | readers | KiB per stalled reader | more KiB after 16 MiB more of log |");
    println!("|---|---|---|---|");
    for (transport, engine) in [
        (Transport::LongPoll, Engine::Cursor),
        (Transport::Sse, Engine::Cursor),
        (Transport::Ndjson, Engine::Cursor),
        (Transport::Websocket, Engine::Cursor),
        (Transport::Websocket, Engine::Actor),
    ] {
        let command = ServerCommand::Wirelab {
            program: env!("CARGO_BIN_EXE_wirelab").into(),
            store: StoreKind::Memory,
            tls: Tls::None,
            arguments: vec!["--websocket-engine".to_owned(), engine.to_string()],
        };
        let server = ServerProcess::spawn(&command).await?;
        let url: ServerUrl = server.url().clone();
        let mut api = Api::new(url);
        let id = api.create("stalled", None).await?.id;
        append(&mut api, &id, APPENDS).await?;

        // The memory of the appended lines themselves is measured first, so that it is not counted as the readers'
        // cost.
        let empty = settled(server.pid()).await;
        append(&mut api, &id, APPENDS / 4).await?;
        let before = settled(server.pid()).await;
        let mut readers = Vec::new();
        for _ in 0..READERS {
            readers.push(stalled(&server, transport, &id)?);
        }
        let full = settled(server.pid()).await;
        append(&mut api, &id, APPENDS / 4).await?;
        let more = settled(server.pid()).await;
        drop(readers);
        let per_reader = |bytes: i64| bytes / 1024 / READERS;
        let driven = if transport.is_upgraded() { format!(", engine {engine}") } else { String::new() };
        println!(
            "| {transport}{driven} | {READERS} | {} | {} |",
            per_reader(full - before),
            per_reader((more - full) - (before - empty))
        );
        server.stop().await?;
    }
    Ok(())
}

async fn append(api: &mut Api, id: &DeploymentId, appends: usize) -> Result<(), Box<dyn Error>> {
    let lines = vec![NewLine::plain("x".repeat(LINE_BYTES)); LINES];
    for _ in 0..appends {
        api.append(id, &lines, &format!("{:032x}", rand::random::<u128>())).await?;
    }
    Ok(())
}

/// Opens a connection, sends a request and never reads the answer. A long poll repeats its request as often as fits;
/// each one is answered with a batch.
fn stalled(server: &ServerProcess, transport: Transport, id: &DeploymentId) -> std::io::Result<TcpStream> {
    let mut socket = TcpStream::connect(server.addr())?;
    let path = transport.path().replace("{id}", id.as_str());
    let upgrade = if transport.is_upgraded() {
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    } else {
        ""
    };
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{upgrade}\r\n", server.addr());
    let repeated = if transport.waits().is_poll() { 200 } else { 1 };
    socket.write_all(request.repeat(repeated).as_bytes())?;
    Ok(socket)
}

async fn settled(pid: u32) -> i64 {
    let mut last = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = ProcessSample::take(pid).pss_anon_bytes.unwrap_or(0) as i64;
        if (now - last).abs() < 256 << 10 {
            return now;
        }
        last = now;
    }
}
