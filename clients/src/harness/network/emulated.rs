//! The network of a run: which link its subscribers are reached over, and what makes that link.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::link::Link;

/// The network between the subscribers of a run and its server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Network {
    /// What makes the link.
    pub kind: NetworkKind,
    /// The link; that of [`Link::default`] without a network.
    pub link: Link,
    /// Where the publisher stands.
    pub publisher: PublisherPlace,
}

/// What makes the link of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkKind {
    /// Nothing: the machine's own network.
    #[default]
    None,
    /// A delay line in each subscriber's socket.
    Line,
    /// Two network namespaces joined by TUN devices: packets are delayed and lost.
    Tun,
    /// [`Self::Tun`] where the program may make namespaces, else [`Self::Line`]. A run never has it: it is resolved
    /// before.
    Auto,
}

impl NetworkKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::None, Self::Line, Self::Tun, Self::Auto];

    /// Returns the name in plans, on the command line and in CSV files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Line => "line",
            Self::Tun => "tun",
            Self::Auto => "auto",
        }
    }
}

impl fmt::Display for NetworkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the publisher of a run stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PublisherPlace {
    /// Beside the server: its appends are not delayed.
    #[default]
    Beside,
    /// Beside the subscribers: its appends cross the link.
    Across,
}
