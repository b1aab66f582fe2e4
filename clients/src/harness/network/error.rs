//! Why a network cannot be laid.

use crate::link::InvalidTrace;

/// Error of a network that cannot be laid.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// This process may not make network namespaces with TUN devices.
    #[error(
        "network = \"tun\" is not possible here: {why}; run it as root on Linux, or use network = \"line\""
    )]
    NoTun {
        /// Reason.
        why: String,
    },
    /// A trace file cannot be used.
    #[error(transparent)]
    Trace(#[from] InvalidTrace),
    /// The network was not chosen before the run.
    #[error("network = \"auto\" must be resolved to \"tun\" or \"line\" before a run")]
    Unresolved,
}
