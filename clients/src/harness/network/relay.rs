//! A relay: lets a publisher whose sockets know no delay line stand across one.
//!
//! It listens on the loopback and opens a connection of its own for each that comes, behind the delay line. An append
//! arrives one way later at the server, and its answer one way later at the publisher. The relay is no part of what is
//! measured of the subscribers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use crate::delay_line::{DelayedSocket, End, Line};

/// Connections at the same time: each deployment has one publisher, and an old connection may end beside the new one.
const CONNECTIONS_MAX: usize = 256;

/// Pause after a connection that could not be accepted. Without file descriptors the next attempt fails at once, too.
const PAUSE: Duration = Duration::from_millis(10);

/// A relay that stands; it ends when this value is dropped.
#[derive(Debug)]
pub(super) struct Relay {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts a relay to `server`. Must be called inside a tokio runtime.
    pub(super) async fn start(line: Arc<Line>, server: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        Ok(Self { address, task: tokio::spawn(relay(listener, line, server)) })
    }

    /// Returns the address at which the publisher reaches the server.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Relays every connection that comes, until the task is ended.
async fn relay(listener: TcpListener, line: Arc<Line>, server: SocketAddr) {
    // Dropped with the task: the connections end with the relay.
    let mut connections = JoinSet::new();
    loop {
        // A connection that was not accepted has failed for the publisher, too.
        let Ok((near, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let line = line.clone();
        connections.spawn(async move {
            // The publisher sees that its connection ends, and says so.
            let _ = pass(near, line, server).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(mut near: TcpStream, line: Arc<Line>, server: SocketAddr) -> io::Result<()> {
    let far = TcpStream::connect(server).await?;
    line.connects().await;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let mut far = DelayedSocket::new(far, line, End::Client, |_| {});
    copy_bidirectional(&mut near, &mut far).await.map(|_| ())
}
