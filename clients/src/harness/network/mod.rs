//! Faults and conditions of the network, one file each.
//!
//! A plan names at most one fault; the run injects it into its subscribers' connections or its server. To add one: a
//! file here, a variant of [`Fault`], and the plan's key for it.

pub mod cut;
pub mod emulated;
pub mod error;
pub mod laid;
pub mod link_figures;
mod relay;
pub mod stop;
#[cfg(target_os = "linux")]
pub mod tun;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::meter::Meter;
use cut::Cut;
use stop::Stop;

/// A fault that is injected into a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The subscribers' connections are cut.
    Cut(Cut),
    /// The server's process is stopped, and goes on later as if nothing had happened.
    Stop(Stop),
}

/// Parts of a run that a fault can reach.
pub(crate) struct Reach {
    /// Meters of the measured subscribers, which can cut their connections.
    pub(crate) meters: Vec<Arc<Meter>>,
    /// Pid of the server, if this program started it.
    pub(crate) server: Option<u32>,
}

impl Fault {
    /// Returns the name in CSV files.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Cut(_) => "cut",
            Self::Stop(_) => "stop",
        }
    }

    /// Returns the key in plan files.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Cut(_) => "cut_at",
            Self::Stop(_) => "stop.at",
        }
    }

    /// Returns when the fault begins for the last time, counted as due times are.
    pub fn last_at(&self) -> Duration {
        match self {
            Self::Cut(cut) => cut.at.last().copied().unwrap_or_default(),
            Self::Stop(stop) => stop.at,
        }
    }

    /// Injects the fault; its times count from `start`. Must be called inside a tokio runtime.
    pub(crate) fn inject(&self, start: Instant, reach: Reach) -> Injected {
        match self {
            Self::Cut(cut) => Injected(tokio::spawn(cut.clone().run(start, reach.meters))),
            Self::Stop(stop) => Injected(tokio::spawn(stop.clone().run(start, reach.server))),
        }
    }
}

/// A fault that is being injected; dropping it ends the injection.
#[derive(Debug)]
pub(crate) struct Injected(JoinHandle<()>);

impl Drop for Injected {
    fn drop(&mut self) {
        self.0.abort();
    }
}
