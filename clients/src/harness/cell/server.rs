//! The servers of a plan: their kinds, their names, and the transports over which each is measured.

use std::sync::Arc;

use crate::ServerUrl;
use crate::targets::profile::{Profile, ProfileError};
use crate::wire::Transport;

/// A server that a plan measures: one of its targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Server {
    /// wirelab's own server, started fresh for each run.
    Wirelab,
    /// A server that keeps wirelab's contract and is running already.
    Running(Running),
    /// A server that does not keep the contract; a profile describes it.
    Profile(Arc<Profile>),
}

/// A server that is running already, and what its URL leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// URL of the server, or of what stands in front of it.
    pub url: ServerUrl,
    /// What is known of the way to the server.
    pub way: Way,
}

/// What is known of the way from the subscribers to a running server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The URL is the server's own, unless its answers name a proxy.
    Direct,
    /// The URL is that of a proxy, even if no answer names it.
    ThroughProxy,
}

impl Way {
    /// Word behind a URL in a plan's targets.
    const THROUGH_PROXY: &'static str = " through-proxy";
}

/// Name of wirelab's own server among targets.
const WIRELAB: &str = "wirelab";

impl Server {
    /// Parses a target: `wirelab`, a URL, or the name of a profile, which `profile` returns.
    pub fn parse(
        given: &str,
        profile: impl FnOnce(&str) -> Result<Profile, ProfileError>,
    ) -> Result<Self, InvalidServer> {
        let invalid = |what: String| InvalidServer { what };
        if given == WIRELAB {
            Ok(Self::Wirelab)
        } else if given.contains(':') || given.contains('/') {
            let (url, way) = match given.strip_suffix(Way::THROUGH_PROXY) {
                Some(url) => (url, Way::ThroughProxy),
                None => (given, Way::Direct),
            };
            let url = url.parse().map_err(|error: crate::InvalidServerUrl| invalid(error.to_string()))?;
            Ok(Self::Running(Running { url, way }))
        } else {
            profile(given)
                .map(|profile| Self::Profile(Arc::new(profile)))
                .map_err(|error| invalid(error.to_string()))
        }
    }

    /// Returns the server's name in a plan.
    pub fn name(&self) -> String {
        match self {
            Self::Wirelab => WIRELAB.to_owned(),
            Self::Running(Running { url, way: Way::Direct }) => url.to_string(),
            Self::Running(Running { url, way: Way::ThroughProxy }) => format!("{url}{}", Way::THROUGH_PROXY),
            Self::Profile(profile) => profile.name.clone(),
        }
    }
}

/// Error of a text that does not name a target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct InvalidServer {
    what: String,
}

/// Lists every target with every transport that it is measured over, and the name of its arm.
pub(in crate::harness) fn measured<'a>(
    targets: &'a [Server],
    transports: &'a [Transport],
) -> impl Iterator<Item = (&'a Server, Transport, Option<String>)> {
    let alone = targets == [Server::Wirelab];
    let mut urls = 0;
    targets.iter().flat_map(move |server| {
        let (transports, arm) = match server {
            Server::Wirelab => (transports.to_vec(), server.name()),
            Server::Running(_) => {
                urls += 1;
                // Results never name a machine, and an address would.
                (transports.to_vec(), format!("url-{urls}"))
            }
            Server::Profile(profile) => (vec![profile.subscribe.wire.transport()], server.name()),
        };
        let arm = (!alone).then_some(arm);
        transports.into_iter().map(move |transport| (server, transport, arm.clone()))
    })
}

/// Returns the id that tells a cell from the others of its block. No profile has the name of a transport, so ids
/// differ.
pub(in crate::harness) fn run_id(
    server: &Server,
    target: Option<&str>,
    arm: Option<&str>,
    transport: Transport,
) -> String {
    let measured = match (server, target) {
        (Server::Wirelab, _) | (_, None) => transport.name().to_owned(),
        (Server::Running(_), Some(target)) => format!("{target}-{transport}"),
        (Server::Profile(_), Some(target)) => target.to_owned(),
    };
    match arm {
        None => measured,
        Some(arm) => format!("{arm}-{measured}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::plan::{AdHoc, Plan, Size};

    const PROFILE: &str = r#"
about = "An example."
url = "http://127.0.0.1:1"
publish = { path = "/", body = "{text}" }
subscribe = { wire = "sse", path = "/" }
"#;

    fn profile(name: &str) -> Result<Profile, ProfileError> {
        match name {
            "peer" => Profile::parse(name, PROFILE),
            _ => Err(ProfileError::Unknown { given: name.to_owned(), known: vec!["peer".to_owned()] }),
        }
    }

    #[test]
    fn a_target_may_say_that_a_proxy_stands_in_front_of_it() {
        for (given, way) in
            [("http://127.0.0.1:2", Way::Direct), ("http://127.0.0.1:2 through-proxy", Way::ThroughProxy)]
        {
            let server = Server::parse(given, profile).unwrap();
            let url = "http://127.0.0.1:2".parse().unwrap();
            assert_eq!((&server, server.name().as_str()), (&Server::Running(Running { url, way }), given));
        }
    }

    const PLAN: &str = r#"
name = "servers"
question = "?"
targets = ["wirelab", "http://127.0.0.1:2", "peer"]
transports = ["sse", "ndjson"]
subscribers = 1
repetitions = 2
drain = "6s"
cut_at = ["1s", "3s"]
lines = { process = "poisson", rate_hz = 50, duration = "4s" }
"#;

    #[test]
    fn each_block_is_every_server_over_every_transport_it_has() {
        let plan = Plan::parse_with("x.toml", PLAN, Size::Full, profile).unwrap();
        let cells = plan.cells();
        let mut told: Vec<_> =
            cells[..5].iter().map(|cell| (cell.run_id.as_str(), cell.arm.as_deref())).collect();
        told.sort_unstable();
        let expected = [
            ("ndjson-1", Some("wirelab")),
            ("peer-1", Some("peer")),
            ("sse-1", Some("wirelab")),
            ("url-1-ndjson-1", Some("url-1")),
            ("url-1-sse-1", Some("url-1")),
        ];
        assert_eq!(told, expected);
        assert_eq!(cells.len(), 10);
        assert!(cells.iter().all(|cell| cell.fault.as_ref().is_some_and(|fault| fault.name() == "cut")));
        assert_eq!(Plan::parse_with("x.toml", &plan.to_toml(), Size::Full, profile).unwrap(), plan);
    }

    #[test]
    fn a_plan_of_our_own_server_has_no_arm() {
        let cells = Plan::ad_hoc(AdHoc::default()).unwrap().cells();
        assert!(cells.iter().all(|cell| cell.arm.is_none() && cell.fault.is_none()));
    }

    #[test]
    fn what_a_plan_says_wrongly_of_servers_and_cuts_is_refused() {
        for (from, to, said) in [
            (
                "\"peer\"]",
                "\"pear\"]",
                "a list with \"pear\"; unknown target \"pear\"; one of wirelab, http://host:port, peer",
            ),
            ("http://127.0.0.1:2", "wss://x", "\"wss://x\" is not a server URL"),
            ("\"peer\"]", "\"wirelab\"]", "targets is a list with wirelab twice"),
            ("[\"wirelab\", \"http://127.0.0.1:2\", \"peer\"]", "[]", "targets is empty; a list of wirelab"),
            ("\"1s\", ", "\"1001ms\", ", "cut_at is 3s; must be 2s or more after the one before, 1s 1ms"),
            ("\"1s\", ", "\"1\", ", "cut_at is \"1\"; time unit needed"),
            ("\"3s\"]", "\"4s\"]", "cut_at is 4s; must be before the last line"),
            ("\"6s\"", "\"1s\"", "drain is 1s; with cut_at at least 2s"),
        ] {
            assert!(PLAN.contains(from), "{from}");
            let refused = Plan::parse_with("x.toml", &PLAN.replacen(from, to, 1), Size::Full, profile)
                .unwrap_err()
                .to_string();
            assert!(refused.starts_with("plan \"x.toml\"") && refused.contains(said), "{refused}");
        }
        // Without profiles, the name of one is unknown.
        assert!(Plan::parse("x.toml", PLAN).unwrap_err().to_string().contains("unknown target \"peer\""));
    }
}
