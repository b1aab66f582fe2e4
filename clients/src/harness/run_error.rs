//! Why there is no result at all: what keeps a run from being made.

use super::server_process::ServerProcessError;
use crate::api::ApiError;

use std::time::Duration;

/// Why there is no result at all.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No server.
    #[error(transparent)]
    Server(#[from] ServerProcessError),
    /// The server did not do what the run needs.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The server lacks the transport.
    #[error("the server has no transport {wanted}; it has {}", .offered.join(", "))]
    NoTransport {
        /// What the plan wants.
        wanted: &'static str,
        /// What there is.
        offered: Vec<String>,
    },
    /// Not everybody got a connection.
    #[error("{connected} of {wanted} subscribers have a connection after {} s", limit.as_secs())]
    NotConnected {
        /// How many have.
        connected: usize,
        /// How many should.
        wanted: usize,
        /// How long they were waited for.
        limit: Duration,
    },
    /// The publisher could not start.
    #[error("the publisher cannot start: {0}")]
    Publisher(std::io::Error),
    /// A server that somebody else runs has no address.
    #[error("{server} cannot be reached: {error}")]
    Unreachable {
        /// Which server.
        server: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// Somebody wants an end of it.
    #[error("interrupted")]
    Interrupted,
}
