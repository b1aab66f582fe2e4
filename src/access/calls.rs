//! The role that each call needs, in one table. Pure.
//!
//! A call that is not in the table needs the owner: forgetting one here shuts it. `/openapi.json` tells the role of every
//! call from this table, and a test fails on a described call that is not in it.

use wirelab_clients::wire::Transport;

use super::Role;

/// What a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing: also those without a token may call it.
    Nothing,
    /// A token with this role, or with one that may do more.
    Role(Role),
}

impl From<Need> for Option<Role> {
    fn from(need: Need) -> Self {
        match need {
            Need::Nothing => None,
            Need::Role(role) => Some(role),
        }
    }
}

const GETS: &[&str] = &["GET", "HEAD"];
const POST: &[&str] = &["POST"];
const DELETE: &[&str] = &["DELETE"];
const ANY_OF_LAB: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE"];

const OPEN: Need = Need::Nothing;
const READER: Need = Need::Role(Role::Reader);
const PUBLISHER: Need = Need::Role(Role::Publisher);
const OWNER: Need = Need::Role(Role::Owner);

/// Methods, path and need of each call but those of the transports. A segment in braces stands for any one.
const CALLS: &[(&[&str], &str, Need)] = &[
    // What a check of health, a program that learns the calls, and one who is not logged in yet must reach.
    (GETS, "/healthz", OPEN),
    (GETS, "/readyz", OPEN),
    (GETS, "/openapi.json", OPEN),
    (GETS, "/login", OPEN),
    (POST, "/login", OPEN),
    (POST, "/logout", OPEN),
    (GETS, "/api/access", OPEN),
    // Follow and list.
    (GETS, "/api/deployments", READER),
    (GETS, "/api/deployments/{id}", READER),
    (GETS, "/api/deployments/{id}/lines", READER),
    (GETS, "/api/transports", READER),
    (GETS, "/api/recordings", READER),
    (GETS, "/api/theory", READER),
    (GETS, "/metrics", READER),
    // A lane shows its reader what the server counted for it; the socket takes no command that changes anything.
    (GETS, "/api/lanes/{page}", READER),
    // Create, append, finish.
    (POST, "/api/deployments", PUBLISHER),
    (POST, "/api/deployments/{id}/lines", PUBLISHER),
    (POST, "/api/deployments/{id}/finish", PUBLISHER),
    // What cannot be taken back.
    (DELETE, "/api/deployments/{id}", OWNER),
    // The lab acts on the server and on everybody who uses it. Its readings go with it: results are the teacher's to show.
    (ANY_OF_LAB, "/api/lab", OWNER),
    (ANY_OF_LAB, "/api/lab/outage", OWNER),
    (ANY_OF_LAB, "/api/lab/network", OWNER),
    (ANY_OF_LAB, "/api/lab/results", OWNER),
    (ANY_OF_LAB, "/api/lab/results/{folder}/{file}", OWNER),
    (ANY_OF_LAB, "/api/lab/results/{plan}/{run}/{file}", OWNER),
    (ANY_OF_LAB, "/api/lab/results/{plan}/{run}/{folder}/{file}", OWNER),
    (ANY_OF_LAB, "/api/lab/crowds", OWNER),
    (ANY_OF_LAB, "/api/lab/crowds/{id}", OWNER),
    (ANY_OF_LAB, "/api/lab/plans", OWNER),
    (ANY_OF_LAB, "/api/lab/runs", OWNER),
    (ANY_OF_LAB, "/api/lab/runs/progress", OWNER),
];

/// Returns what the call of this method and path needs; `None` if it is not in the table. The path is decoded, or that of
/// a description, with braces.
pub(crate) fn need(method: &str, path: &str) -> Option<Need> {
    let of_deployment = path.strip_prefix("/api/deployments/").and_then(|rest| rest.split_once('/'));
    if let Some((_, name)) = of_deployment
        && name.parse::<Transport>().is_ok()
    {
        return GETS.contains(&method).then_some(READER);
    }
    let fits =
        |(methods, template, _): &&(&[&str], &str, Need)| methods.contains(&method) && is_of(path, template);
    CALLS.iter().find(fits).map(|(_, _, need)| *need)
}

fn is_of(path: &str, template: &str) -> bool {
    let (mut given, mut wanted) = (path.split('/'), template.split('/'));
    loop {
        match (given.next(), wanted.next()) {
            (None, None) => return true,
            (Some(given), Some(wanted)) if given == wanted => {}
            (Some(given), Some(wanted)) if wanted.starts_with('{') && !given.is_empty() => {}
            (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) => return false,
        }
    }
}
