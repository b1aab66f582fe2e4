//! The factor TLS: whether connections are made inside of it, and how.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Running, Server};
use crate::ServerUrl;
use crate::tls::{ClientTls, Sessions, Trust};

/// TLS between the subscribers and the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// HTTP without TLS, unless the target's URL says `https`: then as with [`Tls::Resumption`].
    #[default]
    None,
    /// Every connection makes the full handshake.
    FullHandshake,
    /// Each subscriber resumes its last session when it connects again.
    Resumption,
}

impl Tls {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::None, Self::FullHandshake, Self::Resumption];

    /// Returns the name in plans, on the command line and in CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::FullHandshake => "full-handshake",
            Self::Resumption => "resumption",
        }
    }

    /// Returns what a run on this server does.
    pub fn on(self, server: &Server) -> Self {
        match (self, server) {
            (Self::None, Server::Running(Running { url, .. })) if url.tls().is_some() => Self::Resumption,
            (tls, _) => tls,
        }
    }

    /// Returns the URL with these sessions, if it is one of TLS.
    pub(in crate::harness) fn applied_to(self, url: ServerUrl) -> ServerUrl {
        let sessions = match self {
            Self::None | Self::Resumption => Sessions::Resumed,
            Self::FullHandshake => Sessions::Anew,
        };
        match url.tls().cloned() {
            Some(tls) => url.secured_by(tls.with_sessions(sessions)),
            None => url,
        }
    }
}

impl fmt::Display for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Word of the column `certificates` for those that were not checked.
pub const ANY_CERTIFICATE: &str = "any";

/// Says which certificates the clients of a run trust: those of the `machine`'s authorities, of a `file`, of the server's
/// `own`, which the run made itself, or `any`, which were not checked. `None` without TLS.
pub(in crate::harness) fn trusted(tls: Tls, server: &Server) -> Option<&'static str> {
    match (tls.on(server), server) {
        (Tls::None, _) => None,
        (_, Server::Running(Running { url, .. })) => match url.tls().map(ClientTls::trust) {
            Some(Trust::Machine) => Some("machine"),
            Some(Trust::File(_)) => Some("file"),
            Some(Trust::Anything) => Some(ANY_CERTIFICATE),
            None => None,
        },
        (_, Server::Wirelab | Server::Profile(_)) => Some("own"),
    }
}
