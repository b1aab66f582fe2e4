//! What a path names, as far as it is told by a look at it. Pure.

use std::borrow::Cow;

use actix_web::dev::Url;
use actix_web::http::Uri;
use wirelab_clients::wire::{DeploymentId, InvalidToken, Transport};

use crate::metrics::Caller;

/// What a path names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The lines of a deployment by one transport.
    Transport(Transport, Result<DeploymentId, InvalidToken>),
    /// The lines of a deployment, to be read or appended.
    Lines(Result<DeploymentId, InvalidToken>),
    /// Something that the router finds, or nothing.
    Elsewhere,
}

impl Place {
    /// Looks at a path whose escapes are decoded.
    pub(super) fn of(path: &str) -> Self {
        let of_deployment = path.strip_prefix("/api/deployments/").and_then(|rest| rest.split_once('/'));
        match of_deployment {
            Some((id, "lines")) if !id.is_empty() => Self::Lines(id.parse()),
            Some((id, name)) if !id.is_empty() => match name.parse() {
                Ok(transport) => Self::Transport(transport, id.parse()),
                Err(_) => Self::Elsewhere,
            },
            Some(_) | None => Self::Elsewhere,
        }
    }

    /// Returns the caller that a request to this place counts for.
    pub(super) fn caller(&self) -> Caller {
        match self {
            Self::Transport(transport, _) => (*transport).into(),
            Self::Lines(_) | Self::Elsewhere => Caller::API,
        }
    }
}

/// Returns the path of a request as the router reads it, with its escapes decoded.
pub(super) fn path(uri: &Uri) -> Cow<'_, str> {
    match uri.path() {
        escaped if escaped.contains('%') => Url::new(uri.clone()).path().to_owned().into(),
        plain => plain.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_deployment_names_a_transport_or_its_lines() {
        let place = |uri: &str| Place::of(&path(&uri.parse().unwrap()));
        let id = || "k3x9".parse();
        assert_eq!(place("/api/deployments/k3x9/sse"), Place::Transport(Transport::Sse, id()));
        assert_eq!(place("/api/deployments/k3x9/lines?from=now"), Place::Lines(id()));
        assert_eq!(
            place("/api/deployments/k3%789/short%2Dpoll"),
            Place::Transport(Transport::ShortPoll, id())
        );
        for elsewhere in [
            "/",
            "/api/deployments",
            "/api/deployments/",
            "/api/deployments//sse",
            "/api/deployments/k3x9",
            "/api/deployments/k3x9/",
            "/api/deployments/k3x9/finish",
            "/api/deployments/k3x9/sse/",
            "/api/deployments/k3x9/lines/1",
            "/api/deployments/k3x9%2Fsse",
            "/api/deployment/k3x9/sse",
        ] {
            assert_eq!(place(elsewhere), Place::Elsewhere, "{elsewhere}");
        }
        assert!(matches!(place("/api/deployments/A%20b/sse"), Place::Transport(Transport::Sse, Err(_))));
    }
}
