//! The role that each call needs, in its description: two security schemes, `x-role`, and the answer 401.

use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{ComponentsBuilder, Content, HeaderBuilder, HttpMethod, RefOr, ResponseBuilder};
use wirelab_clients::wire::Problem;

use super::{PROBLEM, reference, text};
use crate::access::{Need, need};

const BEARER: &str = "token";
const COOKIE: &str = "login";
const NO_SCOPES: [&str; 0] = [];

/// Adds what the table of roles says of a call. A call that is not in the table gets nothing, which a test notices.
pub(super) fn with_role(mut operation: Operation, method: &HttpMethod, path: &str) -> Operation {
    let role = match need(name_of(method), path) {
        None => return operation,
        Some(Need::Nothing) => {
            operation.security = Some(Vec::new());
            operation.extensions = Some(ExtensionsBuilder::new().add("x-role", "none").build());
            return operation;
        }
        Some(Need::Role(role)) => role,
    };
    operation.security =
        Some([BEARER, COOKIE].map(|scheme| SecurityRequirement::new(scheme, NO_SCOPES)).to_vec());
    operation.extensions = Some(ExtensionsBuilder::new().add("x-role", role.name()).build());
    let challenge =
        HeaderBuilder::new().schema(Some(text("^Bearer"))).description(Some("That a token is wanted."));
    let mut answer = ResponseBuilder::new()
        .description(format!(
            "On a server with tokens: there is no token or login, or it is not known. The call needs the role {role} or one \
             that may do more."
        ))
        .header("WWW-Authenticate", challenge.build());
    if *method != HttpMethod::Head {
        answer = answer.content(PROBLEM, Content::new(Some(reference::<Problem>())));
    }
    operation.responses.responses.insert("401".to_owned(), RefOr::T(answer.build()));
    operation
}

/// Adds the two ways to say who asks.
pub(super) fn add_schemes(components: ComponentsBuilder, cookie: &str) -> ComponentsBuilder {
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(
        "A token of the server's file, for programs. A server without tokens takes every request for its owner's.",
    ));
    let login = ApiKeyValue::with_description(
        cookie,
        "The cookie that `POST /login` sets, for browsers. Writes and upgrades must also come from the server's own page.",
    );
    components
        .security_scheme(BEARER, SecurityScheme::Http(bearer.build()))
        .security_scheme(COOKIE, SecurityScheme::ApiKey(ApiKey::Cookie(login)))
}

fn name_of(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Post => "POST",
        HttpMethod::Put => "PUT",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Options => "OPTIONS",
        HttpMethod::Head => "HEAD",
        HttpMethod::Patch => "PATCH",
        HttpMethod::Trace => "TRACE",
    }
}
