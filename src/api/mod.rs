//! The calls on deployments, lines, transports, recordings, theory, health and metrics.
//!
//! One handler for each call. Endpoints that stream lines are in [`transports`](crate::transports).

mod lanes;
pub(crate) mod theory;

use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderValue, LOCATION, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use sha2::{Digest, Sha256};
use wirelab_clients::recording::RecordingError;
use wirelab_clients::wire::{
    Finish, IDEMPOTENCY_KEY_BYTES_MAX, LIST_MAX, NAME_CHARS_MAX, NewDeployment, TransportInfo,
};

use crate::context::Context;
use crate::deployments::sources::SourceError;
use crate::deployments::{CreateError, CreateRequest, Listing, State};
use crate::exchange::compression::Coding;
use crate::exchange::new_lines;
use crate::exchange::problem::Refusal;
use crate::exchange::request::{self, deployment_id, one_header, parameter};
use crate::exchange::route::{get, json_body, no_store, parsed, resource};
use crate::reader::Json;
use crate::store::IdempotencyKey;

/// Content type of `/metrics`.
pub(crate) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `Retry-After` of a creation while as much runs as may, s. A deployment ends within minutes rather than seconds.
const FULL_RETRY_AFTER_S: u64 = 10;

/// Answer of `/healthz`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Health {
    /// Always `ok`: a server that is not well does not answer.
    status: &'static str,
}

/// Answer of `/readyz`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Ready {
    /// The store's name on the command line.
    store: &'static str,
    /// Whether an acknowledged line survives power loss.
    durable: bool,
}

/// Mounts every path with its methods.
pub fn mount(config: &mut web::ServiceConfig) {
    config
        .service(
            resource("/api/deployments", "GET, HEAD, POST")
                .route(get().to(list))
                .route(web::post().to(create)),
        )
        .service(
            resource("/api/deployments/{id}", "GET, HEAD, DELETE")
                .route(get().to(show))
                .route(web::delete().to(delete)),
        )
        .service(
            resource("/api/deployments/{id}/lines", "GET, HEAD, POST")
                .route(get().to(lines))
                .route(web::post().to(append)),
        )
        .service(resource("/api/deployments/{id}/finish", "POST").route(web::post().to(finish)))
        .service(resource("/api/transports", "GET, HEAD").route(get().to(list_transports)))
        .service(resource("/api/recordings", "GET, HEAD").route(get().to(list_recordings)))
        .service(resource("/api/theory", "GET, HEAD").route(get().to(theory::predict)))
        .service(resource("/healthz", "GET, HEAD").route(get().to(health)))
        .service(resource("/readyz", "GET, HEAD").route(get().to(ready)))
        .service(resource("/metrics", "GET, HEAD").route(get().to(metrics)))
        .service(resource("/openapi.json", "GET, HEAD").route(get().to(describe)))
        .configure(lanes::mount);
}

async fn create(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let key = idempotency_key(&request)?;
    let body = request::body(payload).await?;
    let new: NewDeployment = parsed(&body, r#"{"name":"web 42"}"#)?;
    let chars = new.name.chars().count();
    if !(1..=NAME_CHARS_MAX).contains(&chars) {
        return Err(Refusal::bad_request(format!(
            "the name has {chars} characters; give it 1 to {NAME_CHARS_MAX}"
        )));
    }
    let until = context.until_page_is_gone(&request)?;
    let key = key.map(|key| IdempotencyKey { key, digest: Sha256::digest(&body).into() });
    let asked = CreateRequest { name: new.name, source: new.source, key };
    let created = context.deployments.create(asked, until).await.map_err(|error| match error {
        CreateError::Source(SourceError::Recording(error @ RecordingError::Io { .. })) => error.into(),
        CreateError::Source(error) => Refusal::bad_request(error.to_string()),
        CreateError::Full(full) => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, full.to_string())
            .with_header(RETRY_AFTER, HeaderValue::from(FULL_RETRY_AFTER_S)),
        CreateError::Store(error) => error.into(),
    })?;
    Ok(HttpResponse::Created()
        .insert_header((LOCATION, format!("/api/deployments/{}", created.id)))
        .json(created))
}

async fn list(request: HttpRequest, context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let limit = match parameter(&request, "limit")? {
        None => LIST_MAX,
        Some(limit) => request::count(&limit, "limit")?.min(LIST_MAX),
    };
    let listing = Listing {
        name: parameter(&request, "name")?,
        state: parameter(&request, "status")?.map(|status| state(&status)).transpose()?,
        before: parameter(&request, "before")?.map(|id| request::parse_deployment_id(&id)).transpose()?,
    };
    Ok(no_store(HttpResponse::Ok()).json(context.deployments.list(&listing, limit).await?))
}

/// Parses the status of listed deployments.
fn state(status: &str) -> Result<State, Refusal> {
    State::ALL.into_iter().find(|state| state.name() == status).ok_or_else(|| {
        let all: Vec<_> = State::ALL.into_iter().map(State::name).collect();
        Refusal::bad_request(format!("status {status:?} is not valid; give one of {}", all.join(", ")))
    })
}

async fn show(request: HttpRequest, context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    Ok(no_store(HttpResponse::Ok()).json(context.deployments.get(&deployment_id(&request)?).await?))
}

async fn delete(request: HttpRequest, context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    context.deployments.delete(&deployment_id(&request)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Answers with the first batch of a log, which a page loads before it opens a stream at `next`.
async fn lines(request: HttpRequest, context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let (id, limit) = (deployment_id(&request)?, request::limit(&request)?);
    let reader = context.deployments.reader(&id, request::position(&request)?).await?;
    // What a transport sent can be compared with this answer only if both were read from the log.
    let mut reader = reader.apart();
    let batch = reader.read::<Json>(limit).await?;
    let coding = Coding::agreed(&request, context.options.compression);
    let mut response = no_store(HttpResponse::Ok());
    coding.vary(&mut response);
    Ok(coding.whole(response.content_type("application/json"), batch.bytes))
}

async fn append(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let id = deployment_id(&request)?;
    let key = idempotency_key(&request)?;
    let kind = one_header(request.headers(), "content-type")?.unwrap_or_default().to_owned();
    let media_type = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let split = match media_type.as_str() {
        "text/plain" => new_lines::of_bytes,
        "application/x-ndjson" => new_lines::of_ndjson,
        _ => {
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!("content type {kind:?} is not supported; send text/plain or application/x-ndjson"),
            ));
        }
    };
    let body = request::body(payload).await?;
    let key = key.map(|key| {
        let digest = Sha256::new().chain_update(media_type.as_bytes()).chain_update([0]).chain_update(&body);
        IdempotencyKey { key, digest: digest.finalize().into() }
    });
    let appended = context.deployments.append(&id, body, split, key).await?;
    Ok(no_store(HttpResponse::Created()).json(appended))
}

async fn finish(
    request: HttpRequest,
    payload: web::Payload,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let id = deployment_id(&request)?;
    let Finish { status } = json_body(payload, r#"{"status":"succeeded"}"#).await?;
    Ok(no_store(HttpResponse::Ok()).json(context.deployments.finish(&id, status).await?))
}

async fn list_transports(context: web::Data<Context>) -> HttpResponse {
    let transports = context.options.transports.iter().map(|transport| TransportInfo {
        name: transport.name().to_owned(),
        path: transport.path(),
        wire: transport.wire().to_string(),
        waits: transport.waits().to_string(),
        summary: transport.summary().to_owned(),
    });
    HttpResponse::Ok().json(transports.collect::<Vec<_>>())
}

async fn list_recordings(context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    // Files are read on a thread of their own, so that streams go on.
    let recordings = web::block(move || context.deployments.recordings())
        .await
        .map_err(|_| Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "the server is stopping"))??;
    Ok(no_store(HttpResponse::Ok()).json(recordings))
}

async fn health() -> HttpResponse {
    no_store(HttpResponse::Ok()).json(Health { status: "ok" })
}

/// Answers 503 while the store cannot be written, so that no publisher is sent here: as long as a trouble lasts that
/// passes by itself, or until a restart once a flush has failed.
async fn ready(context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    context.deployments.check().await.map_err(Refusal::unavailable)?;
    let (store, durable) = context.deployments.store();
    Ok(no_store(HttpResponse::Ok()).json(Ready { store, durable }))
}

async fn metrics(context: web::Data<Context>) -> HttpResponse {
    no_store(HttpResponse::Ok()).content_type(METRICS_TYPE).body(context.metrics.render())
}

async fn describe(context: web::Data<Context>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(context.description.clone())
}

fn idempotency_key(request: &HttpRequest) -> Result<Option<String>, Refusal> {
    let Some(key) = one_header(request.headers(), "idempotency-key")? else { return Ok(None) };
    if (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(Some(key.to_owned()));
    }
    Err(Refusal::bad_request(format!(
        "the idempotency key is not valid; give 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
    )))
}
