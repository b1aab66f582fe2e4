//! The calls on deployments, lines, transports, recordings, theory, health and metrics.
//!
//! One handler for each call. Endpoints that stream lines are in [`transports`](crate::transports).

mod lanes;
pub(crate) mod theory;

use std::borrow::Cow;

use actix_web::dev::RequestHead;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use sha2::{Digest, Sha256};
use wirelab_clients::recording::RecordingError;
use wirelab_clients::wire::{
    DeploymentId, Finish, IDEMPOTENCY_KEY_BYTES_MAX, InvalidToken, LIST_MAX, NAME_CHARS_MAX, NewDeployment,
    TransportInfo,
};

use crate::context::Context;
use crate::deployments::sources::SourceError;
use crate::deployments::{CreateError, CreateRequest, Listing, State};
use crate::exchange::asked::{Asked, gets, not_allowed};
use crate::exchange::compression::Coding;
use crate::exchange::new_lines;
use crate::exchange::problem::Refusal;
use crate::exchange::request::{self, deployment_id, no_such_deployment, one_header, parameter};
use crate::exchange::route::{get, json_body, no_store, parsed, resource};
use crate::reader::Json;
use crate::store::IdempotencyKey;

/// Content type of `/metrics`.
pub(crate) const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Header whose value makes a repeated write harmless.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

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

/// Mounts every path with its methods, but for that of `lines`.
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
    let key = idempotency_key(request.head())?;
    let body = request::body(payload.into_inner()).await?;
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
    let limit = match parameter(request.head(), "limit")? {
        None => LIST_MAX,
        Some(limit) => request::count(&limit, "limit")?.min(LIST_MAX),
    };
    let listing = Listing {
        name: parameter(request.head(), "name")?.map(Cow::into_owned),
        state: parameter(request.head(), "status")?.map(|status| state(&status)).transpose()?,
        before: parameter(request.head(), "before")?
            .map(|id| request::parse_deployment_id(&id))
            .transpose()?,
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

/// Answers a request on the lines of a deployment: reads or appends some.
pub(crate) async fn lines(
    asked: Asked,
    id: Result<DeploymentId, InvalidToken>,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    match &asked.head().method {
        method if gets(method) => first_lines(asked, id.map_err(no_such_deployment)?, context).await,
        &Method::POST => append(asked, id.map_err(no_such_deployment)?, context).await,
        _ => Err(not_allowed(asked.head(), "GET, HEAD, POST")),
    }
}

/// Answers with the first batch of a log, which a page loads before it opens a stream at `next`.
async fn first_lines(
    asked: Asked,
    id: DeploymentId,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let limit = request::limit(asked.head())?;
    let reader = context.deployments.reader(&id, request::position(asked.head())?).await?;
    // What a transport sent can be compared with this answer only if both were read from the log.
    let mut reader = reader.apart();
    let batch = reader.read::<Json>(limit).await?;
    let coding = Coding::agreed(asked.request(), context.options.compression);
    let mut response = no_store(HttpResponse::Ok());
    coding.vary(&mut response);
    Ok(coding.whole(response.content_type("application/json"), batch.bytes))
}

async fn append(
    asked: Asked,
    id: DeploymentId,
    context: web::Data<Context>,
) -> Result<HttpResponse, Refusal> {
    let key = idempotency_key(asked.head())?;
    let kind = Kind::of(one_header(&asked.head().headers, &CONTENT_TYPE)?.unwrap_or_default())?;
    let (payload, _) = asked.into_payload();
    let body = request::body(payload).await?;
    let key = key.map(|key| {
        let digest = Sha256::new().chain_update(kind.media_type()).chain_update([0]).chain_update(&body);
        IdempotencyKey { key, digest: digest.finalize().into() }
    });
    let appended = match kind {
        Kind::Text => context.deployments.append(&id, body, new_lines::of_bytes, key).await?,
        Kind::Ndjson => context.deployments.append(&id, body, new_lines::of_ndjson, key).await?,
    };
    Ok(no_store(HttpResponse::Created()).json(appended))
}

/// How the lines of a body are written.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Text,
    Ndjson,
}

impl Kind {
    /// Every kind.
    const ALL: [Self; 2] = [Self::Text, Self::Ndjson];

    /// Parses a content type. Its parameters are not looked at.
    fn of(content_type: &str) -> Result<Self, Refusal> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        Self::ALL.into_iter().find(|kind| media_type.eq_ignore_ascii_case(kind.media_type())).ok_or_else(|| {
            Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                format!(
                    "content type {content_type:?} is not supported; send text/plain or application/x-ndjson"
                ),
            )
        })
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Ndjson => "application/x-ndjson",
        }
    }
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

fn idempotency_key(head: &RequestHead) -> Result<Option<String>, Refusal> {
    let Some(key) = one_header(&head.headers, &IDEMPOTENCY_KEY)? else { return Ok(None) };
    if (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(Some(key.to_owned()));
    }
    Err(Refusal::bad_request(format!(
        "the idempotency key is not valid; give 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters"
    )))
}
