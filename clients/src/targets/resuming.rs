//! The loop of every subscriber of a server with a profile: read, back off after a failure, read on.
//!
//! A wire says how it connects and reads; the loop decides when it comes back and when it gives up. wirelab's own
//! client halves in `transports` spell this loop out, because each of them is meant to be read alone.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::Resumption;
use crate::http::NoLines;
use crate::meter::Meter;
use crate::traffic::Traffic;
use crate::{Received, SubscribeError, Subscriber};

/// Way to follow a server with a profile on one wire.
#[async_trait]
pub(super) trait Follow: Send {
    /// Reads on from `position`; connects first if there is no connection. `None`: nothing yet, read again at once.
    ///
    /// Cancel-safe: `position` moves only when something is returned.
    async fn read(&mut self, position: &mut Resumption) -> Result<Option<Received>, NoLines>;

    /// Waits after a failure. Returns an error if there were too many in a row.
    async fn back_off(&mut self, why: &str, advised: Option<Duration>) -> Result<(), SubscribeError>;
}

/// Subscriber that reconnects by itself.
pub(super) struct Resuming<F> {
    wire: F,
    position: Resumption,
    meter: Arc<Meter>,
}

impl<F: Follow> Resuming<F> {
    /// Creates a subscriber that follows on `wire` from `position` and connects at the first batch.
    pub(super) fn new(wire: F, position: Resumption, meter: Arc<Meter>) -> Self {
        Self { wire, position, meter }
    }
}

#[async_trait]
impl<F: Follow> Subscriber for Resuming<F> {
    async fn next_batch(&mut self) -> Result<Received, SubscribeError> {
        loop {
            if let Some(ended) = &self.position.ended {
                return Ok(ended.clone());
            }
            match self.wire.read(&mut self.position).await {
                Ok(Some(received)) => return Ok(received),
                Ok(None) => {}
                Err(NoLines::Final(error)) => return Err(error),
                Err(NoLines::Later { why, advised }) => self.wire.back_off(&why, advised).await?,
            }
        }
    }

    fn traffic(&self) -> Traffic {
        self.meter.traffic()
    }
}
