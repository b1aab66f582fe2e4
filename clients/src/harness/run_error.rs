//! Run errors: reasons why a run has no result at all.

use super::link_check::LinkError;
use super::network::error::NetworkError;
use super::server_process::ServerProcessError;
use crate::api::ApiError;

use std::time::Duration;

/// Reason why a run has no result at all.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The server could not be started.
    #[error(transparent)]
    Server(#[from] ServerProcessError),
    /// The network between subscribers and server cannot be laid.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A call to the server failed.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The server does not offer the transport.
    #[error("the server has no transport {wanted}; it has {}", .offered.join(", "))]
    NoTransport {
        /// Transport that the plan wants.
        wanted: &'static str,
        /// Transports that the server offers.
        offered: Vec<String>,
    },
    /// The link between subscribers and server is off its configuration, or could not be measured.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Some subscribers got no connection.
    #[error(
        "only {connected} of {wanted} subscribers have a connection after {} s; check how many the server allows",
        limit.as_secs()
    )]
    NotConnected {
        /// Subscribers that have a connection.
        connected: usize,
        /// Subscribers that should have one.
        wanted: usize,
        /// Time that the run waited.
        limit: Duration,
    },
    /// The publisher could not start.
    #[error("the publisher cannot start: {0}")]
    Publisher(std::io::Error),
    /// The host of a running server has no address.
    #[error("{server} cannot be reached: {error}")]
    Unreachable {
        /// URL of the server.
        server: String,
        /// Error of the operating system.
        #[source]
        error: std::io::Error,
    },
    /// The run was interrupted.
    #[error("interrupted")]
    Interrupted,
}
