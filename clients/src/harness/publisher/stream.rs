//! The stream of a publisher: a blocking socket, perhaps inside of TLS, that one thread writes and another reads.
//!
//! Inside of TLS both threads share the session. Each holds it for its own work alone and never while the socket waits.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

use rustls::ClientConnection;

use crate::tls::{mistrust, server_name};
use crate::{HttpVersion, ServerUrl};

/// Bytes of TLS that one read takes.
const READ_BYTES: usize = 16 << 10;

/// One half of a publisher's connection, with its own handle of the socket.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    session: Option<Session>,
}

#[derive(Clone)]
struct Session(Arc<Mutex<ClientConnection>>);

impl Session {
    fn lock(&self) -> MutexGuard<'_, ClientConnection> {
        self.0.lock().expect("no holder panics")
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}

impl Stream {
    /// Does the handshake of TLS, if the server speaks it. The socket blocks within its time limits, which must hold for a
    /// whole flight of the handshake.
    pub(super) fn open(mut socket: TcpStream, server: &ServerUrl) -> io::Result<Self> {
        let Some(tls) = server.tls() else { return Ok(Self { socket, session: None }) };
        let config = tls.config(HttpVersion::Http1, tls.own_sessions());
        let name = server_name(server.authority())?;
        let mut session = ClientConnection::new(config, name).map_err(io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).map_err(|error| match mistrust(&error) {
                Some(why) => io::Error::other(why),
                None => error,
            })?;
        }
        Ok(Self { socket, session: Some(Session(Arc::new(Mutex::new(session)))) })
    }

    /// Returns another handle of the same connection.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, session: self.session.clone() })
    }

    /// Returns the socket, for its time limits.
    pub(super) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Writes all of `bytes`.
    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(session) = &self.session else { return self.socket.write_all(bytes) };
        let mut session = session.lock();
        session.writer().write_all(bytes)?;
        while session.wants_write() {
            session.write_tls(&mut self.socket)?;
        }
        Ok(())
    }

    /// Reads once; 0 is the end. Inside of TLS a read may bring nothing yet: that is [`io::ErrorKind::WouldBlock`].
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let Some(session) = &self.session else { return self.socket.read(into) };
        match session.lock().reader().read(into) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
        let mut received = [0; READ_BYTES];
        let count = self.socket.read(&mut received)?;
        let mut session = session.lock();
        let mut received = &received[..count];
        // No bytes are the end, of which the session must learn, too.
        loop {
            session.read_tls(&mut received)?;
            session.process_new_packets().map_err(io::Error::other)?;
            if received.is_empty() {
                break;
            }
        }
        session.reader().read(into)
    }

    /// Closes both directions.
    pub(super) fn shutdown(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Both)
    }
}
