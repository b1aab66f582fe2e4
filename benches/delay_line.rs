//! Measures how precise a delay line is and what it costs: `cargo bench --bench delay_line`.
//!
//! A thread writes chunks at a steady pace, and a task reads them: without a line, which is the baseline, and behind
//! lines of several delays. What a chunk takes beyond the delay is the line's error and the machine's own way. CPU time
//! is that of this process, with the writer, so the line's own is the difference to the baseline.

use std::error::Error;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use wirelab_clients::delay_line::{DelayedSocket, End, Line, until};
use wirelab_clients::link::Link;
use wirelab_clients::os;

/// Delays each way. 0: the line hands on at once.
const DELAYS_MS: [u64; 3] = [0, 25, 100];
/// Chunks of each way, and the time between two.
const CHUNKS: usize = 2_000;
const PACE: Duration = Duration::from_millis(2);
/// About a line of a log with its framing.
const CHUNK_BYTES: usize = 130;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("| way | beyond the delay, p50 (µs) | p99 (µs) | CPU per chunk (µs) |");
    println!("|---|--:|--:|--:|");
    show("no line", Duration::ZERO, |socket| socket).await?;
    for ms in DELAYS_MS {
        let delay = Duration::from_millis(ms);
        let line = Line::new(Link::distance(delay));
        let behind = |socket| DelayedSocket::new(socket, Arc::clone(&line), End::Client, |_| {});
        show(&format!("a line of {ms} ms"), delay, behind).await?;
    }
    let mut late = Vec::new();
    for _ in 0..CHUNKS / 4 {
        let at = Instant::now() + PACE;
        until(at).await;
        late.push(at.elapsed());
    }
    late.sort_unstable();
    println!("| a deadline alone | {} | {} | |", quantile_us(&late, 0.5), quantile_us(&late, 0.99));
    Ok(())
}

/// Prints the row of one way.
async fn show<S: AsyncRead + Unpin>(
    name: &str,
    delay: Duration,
    behind: impl Fn(TcpStream) -> S,
) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut server = std::net::TcpStream::connect(listener.local_addr()?)?;
    server.set_nodelay(true)?;
    let mut socket = behind(listener.accept().await?.0);
    let before = os::own_cpu().ok_or("no CPU clock")?;
    let start = Instant::now();
    let writing = std::thread::spawn(move || -> std::io::Result<()> {
        os::fine_timers();
        for number in 0..CHUNKS {
            std::thread::sleep((start + PACE * number as u32).saturating_duration_since(Instant::now()));
            let mut chunk = [0; CHUNK_BYTES];
            // Stamped just before the write, as the kernel's time for it is the same on every way.
            chunk[..8].copy_from_slice(&(start.elapsed().as_nanos() as u64).to_le_bytes());
            server.write_all(&chunk)?;
        }
        Ok(())
    });
    let mut beyond = Vec::with_capacity(CHUNKS);
    let mut chunk = [0; CHUNK_BYTES];
    for _ in 0..CHUNKS {
        socket.read_exact(&mut chunk).await?;
        let received = start.elapsed();
        let sent = u64::from_le_bytes(chunk[..8].try_into()?);
        beyond.push(received.saturating_sub(Duration::from_nanos(sent) + delay));
    }
    let cpu = os::own_cpu().ok_or("no CPU clock")? - before;
    writing.join().map_err(|_| "the writer panicked")??;
    beyond.sort_unstable();
    let cpu_us = cpu.as_secs_f64() * 1e6 / CHUNKS as f64;
    println!("| {name} | {} | {} | {cpu_us:.1} |", quantile_us(&beyond, 0.5), quantile_us(&beyond, 0.99));
    Ok(())
}

fn quantile_us(sorted: &[Duration], share: f64) -> u128 {
    sorted[((sorted.len() - 1) as f64 * share) as usize].as_micros()
}
