//! Measures what a lane costs a request, and that a request without one pays nothing: `cargo bench --bench lane_tag`.
//!
//! A lane is a part of a page; its requests carry a tag, and the server counts them on the lane's ledger. The bench
//! makes the smallest call to a server in this process, on one kept connection. Three kinds of calls take turns:
//! without a lane, with a lane whose page has no socket, and with a lane whose ledger is streamed as well. All queries
//! have the same length. Allocations are those of the whole process, whose client makes none; the median request has no
//! timer in it. Fails if a request with a lane allocates more than one without.

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use wirelab::context::ServerOptions;
use wirelab::deployments::Deployments;
use wirelab::server;
use wirelab::store::memory::MemoryStore;

/// Number of measured requests of each kind.
const REQUESTS: usize = 20_000;
/// Number of requests of each kind that are not counted: buffers grow and pools fill first.
const WARM_UP: usize = 500;
const KINDS: [(&str, &str); 3] = [
    ("no lane", "nale=k3x9q2w7.1"),
    ("a lane without a socket", "lane=nobody00.1"),
    ("a lane that is streamed", "lane=k3x9q2w7.1"),
];

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[allow(unsafe_code, reason = "an allocator cannot be anything else; it adds a count to the system's own")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let shutdown = CancellationToken::new();
    let stopping = shutdown.clone();
    let serving = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime can be started").block_on(async {
            let store = Arc::new(MemoryStore::new(0));
            let deployments = Deployments::new(store, "data/recordings".into()).await;
            let options = ServerOptions { workers: 1, ..ServerOptions::default() };
            let deployments = deployments.expect("an empty store can be listed");
            let server = server::start(listener, deployments, options, stopping);
            server.expect("the server starts").await.expect("the server ends well");
        });
    });

    let mut buffer = [0; 4096];
    let mut ledgers = TcpStream::connect(address)?;
    ledgers.write_all(
        b"GET /api/lanes/k3x9q2w7 HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
          sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )?;
    assert!(ledgers.read(&mut buffer)? > 0, "the ledgers are open");

    let mut connection = TcpStream::connect(address)?;
    connection.set_nodelay(true)?;
    let requests = KINDS.map(|(_, query)| format!("GET /healthz?{query} HTTP/1.1\r\nhost: x\r\n\r\n"));
    let mut allocations = KINDS.map(|_| Vec::with_capacity(REQUESTS));
    let mut took_ns = KINDS.map(|_| Vec::with_capacity(REQUESTS));
    for turn in 0..WARM_UP + REQUESTS {
        for kind in 0..KINDS.len() {
            let (before, asked) = (ALLOCATIONS.load(Ordering::Relaxed), Instant::now());
            connection.write_all(requests[kind].as_bytes())?;
            let count = connection.read(&mut buffer)?;
            let took = asked.elapsed();
            let allocated = ALLOCATIONS.load(Ordering::Relaxed) - before;
            assert!(buffer[..count].ends_with(b"{\"status\":\"ok\"}"), "the answer comes in one piece");
            if turn >= WARM_UP {
                allocations[kind].push(allocated);
                took_ns[kind].push(u64::try_from(took.as_nanos())?);
            }
        }
    }
    drop((connection, ledgers));
    shutdown.cancel();
    serving.join().expect("the server does not panic");

    println!("| request | allocations | µs |");
    println!("|---|---|---|");
    let allocations = allocations.map(median);
    for ((what, _), (allocated, took_ns)) in
        KINDS.into_iter().zip(allocations.into_iter().zip(took_ns.map(median)))
    {
        println!("| {what} | {allocated} | {:.2} |", took_ns as f64 / 1e3);
    }
    assert!(allocations.iter().all(|count| *count == allocations[0]), "a lane costs memory at each request");
    Ok(())
}

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}
