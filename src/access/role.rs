//! Roles: what one who asks may do. Pure.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// What one may do who holds a token. Each role may do all that those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// List deployments, read and follow logs.
    Reader,
    /// Also create deployments, append lines and finish logs.
    Publisher,
    /// Also delete deployments and use the lab.
    Owner,
}

impl Role {
    /// Every role, from the one that may do least.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Publisher, Self::Owner];

    /// The name in token files, on the command line and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Publisher => "publisher",
            Self::Owner => "owner",
        }
    }

    /// Returns the role of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
