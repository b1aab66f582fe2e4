//! Who may call what: the role of the one who asks, held against the role that the call needs.
//!
//! The application asks for each request. On a server without tokens everybody is owner and nothing is looked at.

use std::time::Duration;

use actix_web::dev::RequestHead;

use super::{callers, page};
use crate::access::{Access, Asker, Denied, Need, Role, need};
use crate::clock::now_us;
use crate::context::Context;
use crate::exchange::problem::Refusal;

/// Admits a request for a path whose escapes are decoded, and returns the role of the one who asks.
pub(super) fn admit(head: &RequestHead, path: &str, context: &Context) -> Result<Role, Refusal> {
    match &context.options.access {
        Access::Everybody => return Ok(Role::Owner),
        Access::Tokens(_) => {}
    }
    let needed = match need(head.method.as_str(), path) {
        // An open call makes nobody more than a reader.
        Some(Need::Nothing) => return Ok(Role::Reader),
        Some(Need::Role(role)) => role,
        None if page::has(path) => return Ok(Role::Reader),
        // A call that is not in the table was forgotten there, or does not exist.
        None => Role::Owner,
    };
    let asker = asker(head, context)?.ok_or(Denied::Missing { needed })?;
    let has = asker.role();
    if has < needed {
        return Err(Denied::Insufficient { needed, has }.into());
    }
    match asker {
        Asker::Cookie(_) => callers::check_use_of_cookie(head, &context.options)?,
        Asker::Anybody | Asker::Bearer(_) => {}
    }
    Ok(has)
}

/// Finds who asks; `None` if the request does not say so.
pub(super) fn asker(head: &RequestHead, context: &Context) -> Result<Option<Asker>, Denied> {
    context.options.access.asker(&head.headers, &context.cookie, now())
}

/// Returns the time since 1970.
pub(super) fn now() -> Duration {
    Duration::from_micros(now_us())
}
