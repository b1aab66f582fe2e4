//! Times of this machine and its way to the server: round trips, connections, the clients' timer.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::theory::spread::Spread;

const ECHOES: usize = 300;
/// Echoes at the start that find caches cold and are not counted.
const ECHOES_COLD: usize = 20;
/// Bytes of an echo: about a line with its framing.
const ECHO_BYTES: usize = 200;
const CONNECTS: usize = 10;
const SLEEPS: u32 = 30;
/// Length of a sleep; each differs by a part of a millisecond.
const SLEEP: Duration = Duration::from_micros(2_037);

/// Measures round trips on a socket like the clients': a loopback connection without Nagle's delay, on this runtime.
pub(super) async fn echoes() -> io::Result<Spread> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut socket = TcpStream::connect(listener.local_addr()?).await?;
    let (mut other, _) = listener.accept().await?;
    socket.set_nodelay(true)?;
    other.set_nodelay(true)?;
    let echo = tokio::spawn(async move {
        let mut bytes = [0; ECHO_BYTES];
        // The task ends when the other side closes.
        while other.read_exact(&mut bytes).await.is_ok() && other.write_all(&bytes).await.is_ok() {}
    });
    let mut bytes = [0; ECHO_BYTES];
    let mut samples_s = Vec::with_capacity(ECHOES);
    for _ in 0..ECHOES {
        let asked = Instant::now();
        socket.write_all(&bytes).await?;
        socket.read_exact(&mut bytes).await?;
        samples_s.push(asked.elapsed().as_secs_f64());
    }
    drop(socket);
    let _ = echo.await;
    Ok(Spread::of(samples_s.split_off(ECHOES_COLD)).expect("some are left"))
}

/// Measures how long TCP connections to the server take.
pub(super) async fn connects(addr: SocketAddr) -> io::Result<Spread> {
    let mut samples_s = Vec::with_capacity(CONNECTS);
    for _ in 0..CONNECTS {
        let asked = Instant::now();
        TcpStream::connect(addr).await?;
        samples_s.push(asked.elapsed().as_secs_f64());
    }
    Ok(Spread::of(samples_s).expect("there is one"))
}

/// Measures how late the clients' timer fires. It counts whole milliseconds, so half of one is usual.
pub(super) async fn sleeps() -> Spread {
    let mut samples_s = Vec::new();
    for i in 0..SLEEPS {
        // Sleeps end at different parts of a millisecond; equal ends would all be late by the same amount.
        let until = tokio::time::Instant::now() + SLEEP + Duration::from_micros(u64::from(i * 31));
        tokio::time::sleep_until(until).await;
        samples_s.push(until.elapsed().as_secs_f64());
    }
    Spread::of(samples_s).expect("there is one")
}
