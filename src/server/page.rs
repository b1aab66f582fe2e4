//! The page: the files of `static/`, which the binary carries, served at `/`.
//!
//! Each file is mounted at its own path, so no other file can be read. The files are plain ES modules that use the same
//! API as every client. This module depends on no deployment.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG};
use actix_web::{HttpRequest, HttpResponse, web};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::exchange::problem::Refusal;
use crate::exchange::request;
use crate::exchange::route::{get, resource};

/// The files of the page. A release carries them in its binary. A debug build reads `static/` of its sources at each
/// request, wherever it runs, so that a reload shows an edit.
#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

const INDEX: &str = "index.html";
/// The page of the login, which has a path and a policy of its own.
const LOGIN: &str = "login.html";
/// What hides the sentence on a refused token in [`LOGIN`].
const REFUSED_HIDDEN: &str = "id=\"refused\" hidden";
const REFUSED_SHOWN: &str = "id=\"refused\"";

/// Paths of the files, as they were at the start.
static PATHS: LazyLock<HashSet<String>> =
    LazyLock::new(|| Files::iter().filter(|name| name != LOGIN).map(|name| path_of(&name)).collect());

/// Content security policy of the page: it may load its own files and call its own server, WebSockets included. Inline
/// scripts and styles, other hosts and frames around the page are forbidden. With trusted types a browser refuses every
/// way to turn text into markup (such as `innerHTML`).
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Content security policy of the login: as that of the page, but it sends a form and runs no script.
const LOGIN_POLICY: &str = "default-src 'self'; script-src 'none'; base-uri 'none'; form-action 'self'; \
                            frame-ancestors 'none'; object-src 'none'";

/// Tells whether the page has a file at this path.
pub(super) fn has(path: &str) -> bool {
    PATHS.contains(path)
}

fn path_of(name: &str) -> String {
    if name == INDEX { "/".to_owned() } else { format!("/{name}") }
}

/// Answers with the page of the login; with any status but 200 it says that the token was refused.
pub(super) fn login(status: StatusCode) -> Result<HttpResponse, Refusal> {
    let data = Files::get(LOGIN).ok_or_else(|| gone(LOGIN))?.data;
    let text = String::from_utf8_lossy(&data);
    let text = match status {
        StatusCode::OK => text.into_owned(),
        _ => text.replacen(REFUSED_HIDDEN, REFUSED_SHOWN, 1),
    };
    Ok(HttpResponse::build(status)
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((CONTENT_SECURITY_POLICY, LOGIN_POLICY))
        .insert_header(("cross-origin-resource-policy", "same-origin"))
        .content_type(content_type(LOGIN))
        .body(text))
}

fn gone(name: &str) -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        format!("static/{name} is gone; restore the file or restart the server"),
    )
}

/// Mounts every file at its path, and the index at `/`.
pub(crate) fn mount(config: &mut web::ServiceConfig) {
    for name in Files::iter().filter(|name| name != LOGIN) {
        let path = path_of(&name);
        config.service(
            resource(&path, "GET, HEAD").route(get().to(move |request| answer(name.clone(), request))),
        );
    }
}

async fn answer(name: Cow<'static, str>, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    // Only a debug build can fail here: the file was deleted after the start.
    let Some(EmbeddedFile { data, metadata }) = Files::get(&name) else {
        return Err(gone(&name));
    };
    let digest: String = metadata.sha256_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{digest}\"");
    let is_known = request::knows(request.head(), &tag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, tag))
        // The browser keeps the file but asks for it each time, so a newer server never meets an older script.
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        // No page of another origin may load these files.
        .insert_header(("cross-origin-resource-policy", "same-origin"));
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.content_type(content_type(&name)).body(data.into_owned()))
}

/// Returns the content type by the end of the name. A file of an unknown kind is offered for download.
fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_known_kind_and_a_path_that_no_call_has() {
        let calls = ["api", "healthz", "readyz", "metrics", "openapi.json", "login", "logout"];
        let names: Vec<_> = Files::iter().collect();
        assert!(names.iter().any(|name| name == INDEX), "{names:?}");
        let login = Files::get(LOGIN).expect("the login has a page").data;
        assert!(String::from_utf8_lossy(&login).contains(REFUSED_HIDDEN));
        for name in names {
            assert_ne!(content_type(&name), "application/octet-stream", "{name}");
            let first = name.split('/').next().unwrap();
            assert!(!calls.contains(&first), "static/{name} would hide a call");
            assert!(!name.contains(['{', '}', '%', ' ']), "static/{name} is no plain path");
        }
    }
}
