//! Which deployments a list shows: a list is capped, and `before` makes the older ones reachable.

use std::sync::Arc;

use wirelab_clients::wire::{Deployment, DeploymentId, Status};

use crate::store::{DeploymentLog, StoreError};

/// Choice of deployments, newest first.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Only those with exactly this name.
    pub name: Option<String>,
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those that were created before this deployment.
    pub before: Option<DeploymentId>,
}

/// State of a deployment, as its `status` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The deployment runs.
    Running,
    /// The deployment has ended.
    Ended(Status),
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [
        Self::Running,
        Self::Ended(Status::Succeeded),
        Self::Ended(Status::Failed),
        Self::Ended(Status::Cancelled),
    ];

    /// Returns the value of `status` on the wire.
    pub fn name(self) -> String {
        match self {
            Self::Running => "running".to_owned(),
            Self::Ended(status) => status.to_string(),
        }
    }
}

impl Listing {
    /// Tells whether the newest deployments are chosen whatever they are.
    pub(super) fn is_everything(&self) -> bool {
        let Self { name, state, before } = self;
        name.is_none() && state.is_none() && before.is_none()
    }

    /// Chooses from all logs, newest first, at most `limit`. An unknown `before` is [`StoreError::NotFound`].
    pub(super) fn of(
        &self,
        newest_first: &[Arc<dyn DeploymentLog>],
        limit: usize,
    ) -> Result<Vec<Deployment>, StoreError> {
        let older = match &self.before {
            None => newest_first,
            Some(before) => {
                let place = newest_first.iter().position(|log| log.id() == before);
                &newest_first[place.ok_or_else(|| StoreError::NotFound(before.clone()))? + 1..]
            }
        };
        let named = older.iter().filter(|log| self.name.as_ref().is_none_or(|name| log.is_named(name)));
        let shown = named.filter(|log| self.is_in_state(&***log)).take(limit);
        Ok(shown.map(|log| log.info()).collect())
    }

    fn is_in_state(&self, log: &dyn DeploymentLog) -> bool {
        let ended = log.head().borrow().ended;
        self.state.is_none_or(|state| state == ended.map_or(State::Running, State::Ended))
    }
}
