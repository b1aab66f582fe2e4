//! Which deployment a command is asked for: by its id, its name or its URL, and on which server.
//!
//! `tail`, `crowd` and `publish` use it. It never creates a deployment.

use wirelab_clients::api::{Api, ApiError};
use wirelab_clients::wire::{Deployment, DeploymentId, Position, Transport};
use wirelab_clients::{DeploymentUrl, ServerUrl};

use super::Failure;
use super::reach::Reach;

/// A deployment as the command line names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Server that should have the deployment.
    pub(super) server: ServerUrl,
    /// Transport, if the URL of one was given.
    pub(super) transport: Option<Transport>,
    /// Position, if the URL has one.
    pub(super) from: Option<Position>,
    deployment: Named,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    /// The one deployment of a URL.
    Url(DeploymentId),
    /// An id, or else a name.
    IdOrName(String),
}

impl Wanted {
    /// Parses the values of `--deployment` and `--server`. A deployment's URL names its server too, so `server` is then
    /// ignored.
    pub(super) fn parse(deployment: &str, server: &str, reach: &Reach) -> Result<Self, Failure> {
        if DeploymentUrl::is_meant(deployment) {
            let url: DeploymentUrl = deployment.parse().map_err(Failure::usage)?;
            let DeploymentUrl { server, id, transport, from } = url;
            let server = reach.to(server)?;
            return Ok(Self { server, transport, from, deployment: Named::Url(id) });
        }
        let server = reach.to(server.parse().map_err(Failure::usage)?)?;
        Ok(Self { server, transport: None, from: None, deployment: Named::IdOrName(deployment.to_owned()) })
    }

    /// Finds the deployment: that of the id or URL, else the newest with the name, running or not.
    pub(super) async fn find(&self, api: &mut Api) -> Result<Deployment, Failure> {
        let found = match &self.deployment {
            Named::Url(id) => by_id(api, id).await,
            Named::IdOrName(name) => api.find(name).await,
        };
        found.map_err(Failure::environment)?.ok_or_else(|| self.absent())
    }

    /// Finds the deployment: that of the id or URL, else the newest *running* one with the name. `None`: there is no such
    /// deployment.
    pub(super) async fn find_running(&self, api: &mut Api) -> Result<Option<Deployment>, ApiError> {
        match &self.deployment {
            Named::Url(id) => by_id(api, id).await,
            Named::IdOrName(name) => api.find_running(name).await,
        }
    }

    /// Returns the name that a new deployment gets. A URL means one deployment, and its server has no other to offer.
    pub(super) fn name_of_a_new_one(&self) -> Result<&str, Failure> {
        match &self.deployment {
            Named::Url(_) => Err(self.absent()),
            Named::IdOrName(name) => Ok(name),
        }
    }

    /// Says that there is no such deployment.
    fn absent(&self) -> Failure {
        let Self { server, deployment, .. } = self;
        let deployment = match deployment {
            Named::Url(id) => id.as_str(),
            Named::IdOrName(name) => name,
        };
        Failure::usage(format!(
            "{server} has no deployment {deployment:?}; GET {server}/api/deployments lists them"
        ))
    }
}

async fn by_id(api: &mut Api, id: &DeploymentId) -> Result<Option<Deployment>, ApiError> {
    match api.get(id).await {
        Ok(deployment) => Ok(Some(deployment)),
        Err(ApiError::Refused { problem, .. }) if problem.status == 404 => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::cli::{SERVER_DEFAULT, TrustArguments};

    fn reach() -> Reach {
        Reach::of(&TrustArguments::default()).unwrap()
    }

    #[test]
    fn a_url_is_one_deployment_and_everything_else_is_a_name() {
        let wanted = |deployment: &str| Wanted::parse(deployment, SERVER_DEFAULT, &reach()).unwrap();
        let url = wanted("http://h:1/api/deployments/01k3aaaa/long-poll?from=now");
        assert_eq!(url.server.to_string(), "http://h:1");
        assert_eq!((url.transport, url.from.clone()), (Some(Transport::LongPoll), Some(Position::Now)));
        // No deployment of another name is made in place of the one that was meant.
        let refused = url.name_of_a_new_one().unwrap_err().message;
        assert!(refused.starts_with("http://h:1 has no deployment \"01k3aaaa\""), "{refused}");
        for name in ["web", "01k3aaaa", "release: web/2"] {
            assert_eq!(wanted(name).server.to_string(), SERVER_DEFAULT);
            assert_eq!(wanted(name).name_of_a_new_one().unwrap(), name);
        }
        for (deployment, server, why) in [
            ("http://h:1/#/lessons/1", SERVER_DEFAULT, "is not the URL of a deployment"),
            ("ftp://h/api/deployments/01k3aaaa", SERVER_DEFAULT, "is not the URL of a deployment"),
            ("web", "ftp://h", "is not a server URL"),
            ("web", "localhost", "is not a server URL"),
        ] {
            let refused = Wanted::parse(deployment, server, &reach()).unwrap_err();
            assert!(refused.message.contains(why), "{deployment} on {server}: {}", refused.message);
        }
    }
}
