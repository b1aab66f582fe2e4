//! `/openapi.json`: every call described for programs, in OpenAPI 3.1.
//!
//! The schemas are the types of the wire. The calls are in `calls` (deployments, lines and the server), `transports`
//! (one call each), `login`, `lanes` and `lab`; `roles` says of each which role it needs, in the order of the document. A test asks a real server for every path and
//! method and compares. The page at `/` and its files are not calls and are left out.

mod calls;
mod lab;
mod lanes;
mod login;
mod roles;
mod transports;

use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{
    Components, ComponentsBuilder, Content, HeaderBuilder, HttpMethod, InfoBuilder, LicenseBuilder, OpenApi,
    OpenApiBuilder, Paths, Ref, RefOr, Required, Response, ResponseBuilder, ServerBuilder,
};
use wirelab_clients::wire::{self, BODY_BYTES_MAX, DeploymentId, Problem};

use crate::context::ServerOptions;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

const ABOUT: &str = "\
A *deployment* is one run of a build or a release, with a log of text lines; a *transport* is how lines reach a \
subscriber. Every error is a problem document (RFC 9457) whose `detail` names the thing and the remedy. A method that a \
path does not allow is answered 405 with `Allow`, a path that is not listed 404. Unknown query parameters and JSON \
members are ignored.\n\n\
A *cursor* is `<epoch>.<seq>`: it names the last line seen and is the same on every transport. Reading starts after it.";

/// Returns the document of a server with these options, whose login sets a cookie of this name.
pub fn json(options: &ServerOptions, cookie: &str) -> String {
    document(options, cookie).to_pretty_json().expect("a document has no key that JSON refuses")
}

fn document(options: &ServerOptions, cookie: &str) -> OpenApi {
    let mut paths = Paths::new();
    let lab = options.lab.as_ref().map(|_| lab::paths());
    let paths_of = [
        login::paths(),
        calls::paths(),
        transports::paths(&options.transports),
        lanes::paths(),
        lab.unwrap_or_default(),
    ];
    for path in paths_of.into_iter().flatten() {
        let Described { path, calls } = path;
        for (method, operation) in calls {
            let operation = roles::with_role(operation, &method, &path);
            paths.add_path_operation(&path, vec![method], operation);
        }
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("wirelab")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .license(Some(LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build())),
        )
        .servers(Some([ServerBuilder::new().url("/").build()]))
        .paths(paths)
        .components(Some(components(cookie)))
        .build()
}

/// Adds the schema of a type and of all types in it.
fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
}

fn components(cookie: &str) -> Components {
    let mut schemas = Vec::new();
    for add in [
        add::<wire::Deployment>,
        add::<wire::NewDeployment>,
        add::<wire::Finish>,
        add::<wire::NewLine>,
        add::<wire::Appended>,
        add::<wire::Batch>,
        add::<wire::NdjsonRecord>,
        add::<wire::TransportInfo>,
        add::<wire::RecordingInfo>,
        add::<Problem>,
        add::<super::login::Standing>,
        add::<crate::api::Health>,
        add::<crate::api::Ready>,
        add::<crate::lab::LabBounds>,
        add::<crate::lab::OutageTerms>,
        add::<crate::lab::NewNetwork>,
        add::<wire::NetworkState>,
        add::<crate::lab::ResultsFolder>,
        add::<crate::api::theory::Theory>,
        add::<crate::lab::crowds::NewCrowd>,
        add::<crate::lab::crowds::Crowd>,
        add::<crate::lab::runs::LabPlan>,
        add::<crate::lab::runs::NewRun>,
        add::<crate::lab::runs::LabRun>,
        add::<crate::lab::run_progress::RunProgress>,
        add::<crate::lab::run_progress::RunEnded>,
    ] {
        add(&mut schemas);
    }
    roles::add_schemes(ComponentsBuilder::new().schemas_from_iter(schemas), cookie).build()
}

/// A path with its calls.
struct Described {
    path: String,
    calls: Vec<(HttpMethod, Operation)>,
}

/// Whether a path that has GET also has HEAD.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    /// HEAD is answered like GET, without the body.
    Answered,
    /// HEAD is refused: a stream says nothing without its body.
    Refused,
}

impl Described {
    fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), calls: Vec::new() }
    }

    fn get(mut self, head: Head, call: Call) -> Self {
        let operation = call.build();
        if head == Head::Answered {
            let mut without_body = operation.clone();
            without_body.operation_id = without_body.operation_id.map(|id| format!("{id}_head"));
            without_body.summary = Some("Like GET, without the body".to_owned());
            for answer in without_body.responses.responses.values_mut() {
                if let RefOr::T(answer) = answer {
                    answer.content.clear();
                }
            }
            self.calls.push((HttpMethod::Head, without_body));
        }
        self.calls.push((HttpMethod::Get, operation));
        self
    }

    fn post(mut self, call: Call) -> Self {
        self.calls.push((HttpMethod::Post, call.build()));
        self
    }

    fn put(mut self, call: Call) -> Self {
        self.calls.push((HttpMethod::Put, call.build()));
        self
    }

    fn delete(mut self, call: Call) -> Self {
        self.calls.push((HttpMethod::Delete, call.build()));
        self
    }
}

/// The call of one method of a path.
struct Call(OperationBuilder);

impl Call {
    fn new(id: &str, tag: &str, summary: &str) -> Self {
        let operation = OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary));
        // Every call may name a lane of its page, and may be one connection too many.
        Self(operation)
            .parameter(parameter("lane", ParameterIn::Query, LANE).schema(Some(text(TAG))))
            .refused(400, "The lane is not `<page>.<n>`, or is given twice; or `Host` names no server.")
            .refused(
                421,
                "A server on the loopback was called by another name, which `--host` does not name either.",
            )
            .refused(
                429,
                "The client's address has as many connections as one may have, or sends too many requests, or creates too \
                 many deployments.",
            )
            .refused(503, "The server has as many connections as it allows, or is stopping.")
    }

    fn about(self, text: &str) -> Self {
        Self(self.0.description(Some(text)))
    }

    fn parameter(self, parameter: impl Into<Parameter>) -> Self {
        Self(self.0.parameter(parameter))
    }

    /// Adds an answer; it replaces an earlier one with the same status.
    fn answer(self, status: u16, response: impl Into<Response>) -> Self {
        Self(self.0.response(status.to_string(), response.into()))
    }

    /// Adds an answer that is a problem document.
    fn refused(self, status: u16, when: &str) -> Self {
        let response = ResponseBuilder::new().description(when);
        let response = response.content(PROBLEM, Content::new(Some(reference::<Problem>())));
        let response = match status {
            429 | 503 | 507 => response.header(
                "Retry-After",
                HeaderBuilder::new()
                    .schema(Some(count_from_1()))
                    .description(Some(
                        "Seconds to wait; absent when the server is stopping or a restart is needed.",
                    ))
                    .build(),
            ),
            _ => response,
        };
        self.answer(status, response)
    }

    /// Adds the answers of a call that writes to a disk which does not take it now.
    fn unwritten(self) -> Self {
        self.refused(
            503,
            "Nothing was written: the disk or the descriptors are short, too many appends wait, or unfinished bodies hold \
             as much as may; repeat the call. Also as for every call.",
        )
        .refused(507, "Nothing was written: the disk is full; repeat the call once there is room.")
    }

    fn body(self, contents: impl IntoIterator<Item = (&'static str, RefOr<Schema>)>, about: &str) -> Self {
        let about =
            format!("{about} At most {BODY_BYTES_MAX} bytes. A byte order mark before JSON is passed over.");
        let body = RequestBodyBuilder::new().description(Some(about)).required(Some(Required::True));
        let body = contents
            .into_iter()
            .fold(body, |body, (media_type, schema)| body.content(media_type, Content::new(Some(schema))));
        Self(self.0.request_body(Some(body.build()))).refused(408, "The body came too slowly.").refused(
            503,
            "The server has as many connections or unfinished bodies as it allows, or is stopping.",
        )
    }

    fn build(self) -> Operation {
        self.0.build()
    }
}

/// Adds what every call on a deployment has: its id, 404 without it, 500 when the store fails.
fn of_deployment(call: Call) -> Call {
    call.parameter(
        parameter("id", ParameterIn::Path, "The deployment's id.")
            .required(Required::True)
            .schema(Some(reference::<DeploymentId>())),
    )
    .refused(404, "No deployment has this id.")
    .refused(500, "The store failed.")
}

/// Adds the parameter that names the page with which the started thing ends.
fn of_page(call: Call) -> Call {
    call.parameter(parameter("page", ParameterIn::Query, ENDS_WITH_PAGE).schema(Some(text(PAGE))))
}

/// Adds the refusal of calls that change something: pages of other origins may not.
fn of_writer(call: Call) -> Call {
    call.refused(
        403,
        "The page that asks has an origin that `--allow-origin` does not list, or may not use the cookie of a login; or the \
         role of the one who asks does not suffice.",
    )
}

/// Returns the answer of an upgrade to a WebSocket.
fn upgraded() -> ResponseBuilder {
    with_header(
        nothing("The protocol changes to WebSocket: JSON text frames, each with a `type`."),
        "Upgrade",
        text("^websocket$"),
        "The new protocol.",
    )
}

/// Adds what every upgrade to a WebSocket has; pages of other origins may not upgrade.
fn of_upgrade(call: Call, upgraded: ResponseBuilder) -> Call {
    let header = |name: &str, about: &str| {
        parameter(name, ParameterIn::Header, about).required(Required::True).schema(Some(text(ANY)))
    };
    of_writer(call)
        .parameter(header("Upgrade", "`websocket`."))
        .parameter(header("Sec-WebSocket-Version", "`13`."))
        .parameter(header("Sec-WebSocket-Key", "16 random bytes in base64."))
        .answer(101, upgraded)
        .refused(400, "The WebSocket handshake or a parameter is not valid.")
        .refused(426, "The version is not 13; `Sec-WebSocket-Version` names the supported one.")
}

/// Adds what every call that starts at a position of a log has.
fn of_position(call: Call) -> Call {
    of_deployment(call)
        .parameter(
            parameter("from", ParameterIn::Query, FROM)
                .schema(Some(text(POSITION)))
                .example(Some("now".into())),
        )
        .parameter(
            parameter("Last-Event-ID", ParameterIn::Header, LAST_EVENT_ID)
                .schema(Some(text(CURSOR_OR_EMPTY))),
        )
        .refused(400, "A parameter is not valid, or is given twice.")
        .refused(
            410,
            "The log no longer keeps that position, or has another epoch; start from `earliest` or `latest`.",
        )
}

const LANE: &str = "The lane on whose ledger this request counts: a page's random id, a dot and the number of the lane. \
                    Counts begin with the page's first tag or socket. They are kept until the page has had no socket \
                    for 90 s.";
const PAGE: &str = "^[a-z0-9]{8,26}$";
const ENDS_WITH_PAGE: &str = "The page that starts this, by the random id of its socket at `/api/lanes/{page}`. The \
                              source or the crowd ends when the page is gone: 10 s after the page closed its socket, or \
                              90 s after the socket broke.";
const TAG: &str = r"^[a-z0-9]{8,26}\.[1-9][0-9]{0,2}$";
const POSITION: &str = r"^(now|[a-z0-9]{1,16}\.(0|[1-9][0-9]{0,15}))$";
const CURSOR_OR_EMPTY: &str = r"^([a-z0-9]{1,16}\.(0|[1-9][0-9]{0,15}))?$";
/// Pattern of text that may be anything.
const ANY: &str = "";
const FROM: &str =
    "Start after this cursor, or after the newest line with `now`. Without it: at the first kept line.";
const LAST_EVENT_ID: &str = "A cursor, which a browser sends when an EventSource reconnects. It wins over `from`; an empty one counts as absent.";

fn parameter(name: &str, place: ParameterIn, about: &str) -> ParameterBuilder {
    let builder = ParameterBuilder::new().name(name).parameter_in(place);
    builder.required(Required::False).description(Some(about))
}

fn limit(most: usize) -> ParameterBuilder {
    let about = format!("Largest number of items; above {most} it counts as {most}.");
    parameter("limit", ParameterIn::Query, &about).schema(Some(count_from_1()))
}

fn text(pattern: &str) -> Schema {
    let text = ObjectBuilder::new().schema_type(SchemaType::Type(Type::String));
    text.pattern((pattern != ANY).then_some(pattern)).into()
}

fn count_from_1() -> Schema {
    ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)).minimum(Some(1)).into()
}

fn reference<T: ToSchema>() -> RefOr<Schema> {
    Ref::from_schema_name(T::name()).into()
}

fn list_of<T: ToSchema>() -> RefOr<Schema> {
    let array: Array = ArrayBuilder::new().items(reference::<T>()).build();
    Schema::Array(array).into()
}

fn json_of(schema: RefOr<Schema>, about: &str) -> ResponseBuilder {
    ResponseBuilder::new().description(about).content(JSON, Content::new(Some(schema)))
}

fn text_of(media_type: &str, about: &str) -> ResponseBuilder {
    ResponseBuilder::new().description(about).content(media_type, Content::new(Some(text(ANY))))
}

fn nothing(about: &str) -> ResponseBuilder {
    ResponseBuilder::new().description(about)
}

/// Adds a header to an answer.
fn with_header(response: ResponseBuilder, name: &str, schema: Schema, about: &str) -> ResponseBuilder {
    response.header(name, HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build())
}

/// Adds `Vary` to an answer that depends on `Accept-Encoding` if the server was started to compress.
fn varied(response: ResponseBuilder) -> ResponseBuilder {
    with_header(response, "Vary", text(ANY), "`accept-encoding`, if the server was started to compress.")
}

/// Adds the headers of an answer whose body may be coded in gzip.
fn coded(response: ResponseBuilder) -> ResponseBuilder {
    let about = "`gzip`, if the server was started to compress and `Accept-Encoding` names it.";
    with_header(varied(response), "Content-Encoding", text("^gzip$"), about)
}
