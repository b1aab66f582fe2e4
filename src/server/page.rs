//! The page: the files of `static/`, carried by the binary, served at `/`.
//!
//! The server mounts each file at its own path, so nothing else can be asked for. They are plain ES modules that
//! use the same API as everybody; this file knows nothing of deployments.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG};
use actix_web::{HttpRequest, HttpResponse, web};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::exchange::problem::Refusal;
use crate::exchange::request;
use crate::exchange::route::{get, resource};

/// In the binary of a release; a debug build reads the folder of its sources at each request, wherever it runs,
/// so that a reload shows an edit.
#[derive(RustEmbed)]
#[folder = "static/"]
struct Files;

const INDEX: &str = "index.html";

/// What the page may do: load its own files and ask its own server, WebSockets included. No inline script or
/// style, no other host, no frame around it. Trusted types make a browser refuse every way to turn text into
/// markup (`innerHTML` and the like), whatever a script tries.
const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      object-src 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Every file at its path, the index at `/`.
pub(crate) fn mount(config: &mut web::ServiceConfig) {
    for name in Files::iter() {
        let path = if name == INDEX { "/".to_owned() } else { format!("/{name}") };
        config.service(
            resource(&path, "GET, HEAD").route(get().to(move |request| answer(name.clone(), request))),
        );
    }
}

async fn answer(name: Cow<'static, str>, request: HttpRequest) -> Result<HttpResponse, Refusal> {
    // Only a debug build can miss it: the file was deleted after the start.
    let Some(EmbeddedFile { data, metadata }) = Files::get(&name) else {
        return Err(Refusal::new(
            StatusCode::NOT_FOUND,
            format!("static/{name} is gone; restart the server"),
        ));
    };
    let digest: String = metadata.sha256_hash().iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = format!("\"{digest}\"");
    let is_known = request::knows(&request, &tag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, tag))
        // Kept by the browser, asked for again each time: a newer server never meets an older script.
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        // No page of another origin may load these files as its own.
        .insert_header(("cross-origin-resource-policy", "same-origin"));
    if is_known {
        return Ok(response.finish());
    }
    Ok(response.content_type(content_type(&name)).body(data.into_owned()))
}

/// By the ending. A file of an unknown kind is offered for download, not guessed at.
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
        let calls = ["api", "healthz", "readyz", "metrics", "openapi.json"];
        let names: Vec<_> = Files::iter().collect();
        assert!(names.iter().any(|name| name == INDEX), "{names:?}");
        for name in names {
            assert_ne!(content_type(&name), "application/octet-stream", "{name}");
            let first = name.split('/').next().unwrap();
            assert!(!calls.contains(&first), "static/{name} would hide a call");
            assert!(!name.contains(['{', '}', '%', ' ']), "static/{name} is no plain path");
        }
    }
}
