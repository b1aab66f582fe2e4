//! A session without a connection: what `benches/micro` drives. Nothing in the server calls it.

use std::time::Duration;

use bytes::Bytes;
use wirelab_clients::wire::{Cursor, DeploymentId};

use super::frames::LineCoding;
use super::session::Session;
use crate::exchange::upgrade::Message;
use crate::reader::FramedBatch;

/// A session and the deployment that it follows.
#[derive(Debug)]
pub struct Bench {
    session: Session,
    deployment: DeploymentId,
}

impl Bench {
    /// Starts the session of a socket that follows this deployment.
    pub fn greet(deployment: DeploymentId, cursor: Cursor) -> Self {
        let session = Session::greet(deployment.clone(), cursor, Duration::from_secs(15));
        Self { session, deployment }
    }

    /// Handles a text message of the client. One that needs I/O is not carried out.
    pub fn receive(&mut self, text: &str) {
        self.session.receive(Message::Text(text.to_owned()), 0);
    }

    /// Handles a batch of the deployment.
    pub fn deliver(&mut self, batch: FramedBatch) {
        self.session.deliver(self.deployment.clone(), Ok(batch));
    }

    /// Returns the frames that are to be sent now.
    pub fn frames(&mut self) -> Bytes {
        LineCoding::Plain.encoded(self.session.take_output())
    }
}
