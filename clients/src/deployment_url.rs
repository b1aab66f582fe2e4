//! The URL of a deployment in the forms that people copy: from the API, from one of its transports, from the page.
//!
//! The commands parse what they are given with it, and so do the example programs. It reads no socket: whether the
//! server has such a deployment is not known here.

use std::str::FromStr;

use crate::ServerUrl;
use crate::wire::{DeploymentId, Position, Transport};

/// Schemes that name HTTP, and those that name it inside of TLS.
const PLAIN: [&str; 2] = ["http", "ws"];
const SECURE: [&str; 2] = ["https", "wss"];
/// Path of the deployments, as a URL without scheme shows that it is one.
const DEPLOYMENTS: &str = "api/deployments/";
/// Where the page's part of a URL begins, behind the server.
const PAGE: &str = "#/";
/// Path below a deployment that is no transport: the regular API's.
const LINES: &str = "lines";

/// The URL of a deployment, taken apart.
///
/// ```
/// use wirelab_clients::DeploymentUrl;
/// for url in [
///     "http://localhost:8080/api/deployments/01k3aaaa",
///     "HTTP://localhost:8080/api/deployments/01k3aaaa/",
///     "localhost:8080/api/deployments/01k3aaaa/sse?from=now",
///     "http://localhost:8080/#/01k3aaaa",
///     "localhost:8080/#/01k3aaaa",
/// ] {
///     let url: DeploymentUrl = url.parse().unwrap();
///     assert_eq!((url.server.to_string(), url.id.as_str()), ("http://localhost:8080".to_owned(), "01k3aaaa"));
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentUrl {
    /// Server that has the deployment.
    pub server: ServerUrl,
    /// Id of the deployment.
    pub id: DeploymentId,
    /// Transport, if the URL is that of one.
    pub transport: Option<Transport>,
    /// Position in the query, `?from=`.
    pub from: Option<Position>,
}

/// Error of a text that is not the URL of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDeploymentUrl {
    /// The text has another form.
    #[error(
        "{0:?} is not the URL of a deployment; write http://host:port/api/deployments/ID, as `wirelab publish` prints it"
    )]
    Form(String),
    /// The query has a position that is none.
    #[error("{given:?} has no position that can be followed from: {why}")]
    From {
        /// The whole text.
        given: String,
        /// What is wrong with the position.
        why: String,
    },
}

impl DeploymentUrl {
    /// Tells whether `text` means a URL, right or wrong, and not a name: it begins with a scheme or a path, it has the
    /// path of the deployments or of the page, or it is the end of such a path. A name that came of a slip would make a
    /// deployment that nobody wants.
    pub fn is_meant(text: &str) -> bool {
        text.split_once("://").is_some_and(|(scheme, _)| is_scheme(scheme))
            || text.starts_with('/')
            || text.starts_with(DEPLOYMENTS)
            || text.contains(&format!("/{DEPLOYMENTS}"))
            || is_of_the_page(text)
            || is_end_of_a_path(text)
    }
}

/// Tells whether `scheme` has the form of a scheme (RFC 3986 §3.1), or was left out before its colon.
fn is_scheme(scheme: &str) -> bool {
    scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Tells whether `text` has the page's part of a URL, with a server before it or alone.
fn is_of_the_page(text: &str) -> bool {
    text.split_once(PAGE).is_some_and(|(server, _)| {
        server.is_empty() || server.ends_with('/') || server.parse::<ServerUrl>().is_ok()
    })
}

/// Tells whether `text` is an id with a slash, and perhaps what stands behind one in a path.
fn is_end_of_a_path(text: &str) -> bool {
    text.split_once('/').is_some_and(|(id, below)| {
        let below = below.strip_suffix('/').unwrap_or(below);
        id.parse::<DeploymentId>().is_ok()
            && (below.is_empty() || below == LINES || below.parse::<Transport>().is_ok())
    })
}

impl FromStr for DeploymentUrl {
    type Err = InvalidDeploymentUrl;
    fn from_str(text: &str) -> Result<Self, InvalidDeploymentUrl> {
        let invalid = || InvalidDeploymentUrl::Form(text.to_owned());
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (server, path) = match rest.split_once("://") {
            Some((scheme, rest)) => {
                let http = match scheme {
                    plain if is_one_of(plain, &PLAIN) => "http",
                    secure if is_one_of(secure, &SECURE) => "https",
                    _ => return Err(invalid()),
                };
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                (format!("{http}://{authority}"), path)
            }
            None => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                (authority.to_owned(), path)
            }
        };
        let server = server.parse().map_err(|_| invalid())?;
        let path: Vec<_> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
        let page: Vec<_> = fragment.strip_suffix('/').unwrap_or(fragment).split('/').collect();
        // What follows `#` is the page's, which stands at the root of the server.
        let (id, below) = match (&path[..], &page[..]) {
            (["api", "deployments", id], _) | ([""], ["", id]) => (id, None),
            (["api", "deployments", id, below], _) | ([""], ["", id, below]) => (id, Some(*below)),
            _ => return Err(invalid()),
        };
        let transport = match below {
            None | Some(LINES) => None,
            Some(name) => Some(name.parse().map_err(|_| invalid())?),
        };
        let from = query.split('&').find_map(|pair| pair.strip_prefix("from="));
        let from = from.map(str::parse).transpose().map_err(|error: crate::wire::InvalidToken| {
            InvalidDeploymentUrl::From { given: text.to_owned(), why: error.to_string() }
        })?;
        Ok(Self { server, id: id.parse().map_err(|_| invalid())?, transport, from })
    }
}

/// Tells whether `scheme` is one of `schemes`. Case does not count (RFC 3986 §3.1).
fn is_one_of(scheme: &str, schemes: &[&str]) -> bool {
    schemes.iter().any(|one| scheme.eq_ignore_ascii_case(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_found_by_every_form_of_its_url() {
        for (text, transport, from) in [
            ("http://h:1/api/deployments/01k3aaaa", None, None),
            ("http://h:1/api/deployments/01k3aaaa/", None, None),
            ("HTTP://h:1/api/deployments/01k3aaaa", None, None),
            ("h:1/api/deployments/01k3aaaa", None, None),
            ("http://h:1/api/deployments/01k3aaaa/sse", Some(Transport::Sse), None),
            ("http://h:1/api/deployments/01k3aaaa/long-poll/", Some(Transport::LongPoll), None),
            ("http://h:1/api/deployments/01k3aaaa/lines?from=k3x9.42", None, Some("k3x9.42")),
            ("http://h:1/api/deployments/01k3aaaa/sse?lane=a.1&from=now", Some(Transport::Sse), Some("now")),
            ("http://h:1/api/deployments/01k3aaaa?x=1#top", None, None),
            ("ws://h:1/api/deployments/01k3aaaa/websocket", Some(Transport::Websocket), None),
            ("http://h:1/#/01k3aaaa", None, None),
            ("http://h:1#/01k3aaaa/", None, None),
            ("h:1/#/01k3aaaa", None, None),
            ("h:1#/01k3aaaa", None, None),
            ("h:1/#/01k3aaaa/sse", Some(Transport::Sse), None),
            ("http://h:1/#/01k3aaaa/ndjson", Some(Transport::Ndjson), None),
        ] {
            assert!(DeploymentUrl::is_meant(text), "{text}");
            let wanted = DeploymentUrl {
                server: "http://h:1".parse().unwrap(),
                id: "01k3aaaa".parse().unwrap(),
                transport,
                from: from.map(|from| from.parse().unwrap()),
            };
            assert_eq!(text.parse(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn a_url_of_something_else_is_refused_by_name() {
        for text in [
            "http://h:1",
            "http://h:1/",
            "http://h:1/#/",
            "http://h:1/#/lessons/3",
            "http://h:1/#/reports",
            "http://h:1/metrics",
            "http://h:1/api/deployments/",
            "http://h:1/api/deployments/x",
            "http://h:1/api/deployments/01k3aaaa//",
            "http://h:1/api/deployments/01k3aaaa/carrier-pigeon",
            "http://h:1/api/deployments/01k3aaaa/sse/more",
            "http://h:1/prefix/api/deployments/01k3aaaa",
            "http://h:port/api/deployments/01k3aaaa",
            "http:///api/deployments/01k3aaaa",
            "htp://h:1/api/deployments/01k3aaaa",
            "ftp://a/b",
            "git://host/web",
            "://h:1/01k3aaaa",
            // Without a scheme the port says that it is an address.
            "h/api/deployments/01k3aaaa",
            "h/#/01k3aaaa",
            // Without a server there is no URL.
            "/api/deployments/01k3aaaa",
            "api/deployments/01k3aaaa",
            "/#/01k3aaaa",
            "#/01k3aaaa",
            "/01k3aaaa",
            "01k3aaaa/",
            "01k3aaaa/sse",
            "01k3aaaa/lines/",
        ] {
            assert!(DeploymentUrl::is_meant(text), "{text}");
            assert_eq!(
                text.parse::<DeploymentUrl>(),
                Err(InvalidDeploymentUrl::Form(text.to_owned())),
                "{text}"
            );
        }
        for text in ["https://h/api/deployments/01k3aaaa", "WSS://h/#/01k3aaaa"] {
            assert!(DeploymentUrl::is_meant(text), "{text}");
            let url: DeploymentUrl = text.parse().unwrap();
            assert_eq!(url.server.to_string(), "https://h:443", "{text}");
        }
        let error = "http://h:1/#/01k3aaaa?from=7".parse::<DeploymentUrl>();
        assert!(matches!(error, Err(InvalidDeploymentUrl::Form(_))), "{error:?}");
        let error = "http://h:1/api/deployments/01k3aaaa?from=7".parse::<DeploymentUrl>();
        assert!(matches!(error, Err(InvalidDeploymentUrl::From { .. })), "{error:?}");
    }

    #[test]
    fn a_name_is_no_url() {
        for name in [
            "web",
            "01k3aaaa",
            "release: web/2",
            "services/web",
            "web/",
            "#42",
            "C#/web",
            "copy of http://h:1",
        ] {
            assert!(!DeploymentUrl::is_meant(name), "{name}");
        }
    }
}
