//! `/openapi.json`: every call described for programs, in OpenAPI 3.1.
//!
//! Schemas are the wire's own types; the calls stand in `calls` (the regular API), `transports` (one per transport),
//! `lanes` and `lab`, in the order of the document. A test asks a real server for every path and method and compares.
//! The page at `/` and its files are no calls and are left out.

mod calls;
mod lab;
mod lanes;
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

use crate::context::Options;

const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

const ABOUT: &str = "\
One deployment log over every transport. Every error is a problem document (RFC 9457) whose `detail` names the thing and \
the remedy. A method that a path does not have is answered 405 with `Allow`; a path that is not listed, 404. Unknown query \
parameters and JSON members are ignored.\n\n\
A *cursor* is `<epoch>.<seq>`: what was seen last, and the same on every transport. Reading starts after it.";

/// The document, as a server with these options sends it.
pub fn json(options: &Options) -> String {
    document(options).to_pretty_json().expect("a document has no key that JSON refuses")
}

fn document(options: &Options) -> OpenApi {
    let mut paths = Paths::new();
    let lab = options.lab.as_ref().map(|_| lab::paths());
    let paths_of =
        [calls::paths(), transports::paths(&options.transports), lanes::paths(), lab.unwrap_or_default()];
    for path in paths_of.into_iter().flatten() {
        let Described { path, calls } = path;
        for (method, operation) in calls {
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
        .components(Some(components()))
        .build()
}

/// A type with all those that it is made of.
fn add<T: ToSchema>(schemas: &mut Vec<(String, RefOr<Schema>)>) {
    T::schemas(schemas);
    schemas.push((T::name().into_owned(), T::schema()));
}

fn components() -> Components {
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
        add::<crate::api::Health>,
        add::<crate::api::Ready>,
        add::<crate::lab::LabBounds>,
        add::<crate::lab::OutageTerms>,
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
    ComponentsBuilder::new().schemas_from_iter(schemas).build()
}

/// One path with its calls.
struct Described {
    path: String,
    calls: Vec<(HttpMethod, Operation)>,
}

/// Whether a path that has GET has HEAD too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Head {
    /// It is GET without the body.
    Answered,
    /// It is refused: a stream has nothing to say without its body.
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

    fn delete(mut self, call: Call) -> Self {
        self.calls.push((HttpMethod::Delete, call.build()));
        self
    }
}

/// One method of a path.
struct Call(OperationBuilder);

impl Call {
    fn new(id: &str, tag: &str, summary: &str) -> Self {
        let operation = OperationBuilder::new().operation_id(Some(id)).tag(tag).summary(Some(summary));
        // Of every call: a lane of the page that asks, and one connection too many.
        Self(operation)
            .parameter(parameter("lane", ParameterIn::Query, LANE).schema(Some(text(TAG))))
            .refused(400, "The lane is no `<page>.<n>`, or is given twice.")
            .refused(503, "The server has as many connections as it allows, or is stopping.")
    }

    fn about(self, text: &str) -> Self {
        Self(self.0.description(Some(text)))
    }

    fn parameter(self, parameter: impl Into<Parameter>) -> Self {
        Self(self.0.parameter(parameter))
    }

    /// One answer; a later one with the same status replaces it.
    fn answer(self, status: u16, response: impl Into<Response>) -> Self {
        Self(self.0.response(status.to_string(), response.into()))
    }

    /// A problem document.
    fn refused(self, status: u16, when: &str) -> Self {
        let response = ResponseBuilder::new().description(when);
        let response = response.content(PROBLEM, Content::new(Some(reference::<Problem>())));
        let response = match status {
            503 => response.header(
                "Retry-After",
                HeaderBuilder::new()
                    .schema(Some(count_from_1()))
                    .description(Some(
                        "Seconds to wait; absent when the server is stopping or its store has failed.",
                    ))
                    .build(),
            ),
            _ => response,
        };
        self.answer(status, response)
    }

    fn body(self, contents: impl IntoIterator<Item = (&'static str, RefOr<Schema>)>, about: &str) -> Self {
        let about = format!("{about} At most {BODY_BYTES_MAX} bytes.");
        let body = RequestBodyBuilder::new().description(Some(about)).required(Some(Required::True));
        let body = contents
            .into_iter()
            .fold(body, |body, (media_type, schema)| body.content(media_type, Content::new(Some(schema))));
        Self(self.0.request_body(Some(body.build())))
    }

    fn build(self) -> Operation {
        self.0.build()
    }
}

/// What is read of a deployment: 404 without it, 500 from a store that cannot.
fn of_deployment(call: Call) -> Call {
    call.parameter(
        parameter("id", ParameterIn::Path, "The deployment's id.")
            .required(Required::True)
            .schema(Some(reference::<DeploymentId>())),
    )
    .refused(404, "There is no such deployment.")
    .refused(500, "The store failed.")
}

/// What changes something: not from the pages of other origins.
fn of_writer(call: Call) -> Call {
    call.refused(403, "The page that asks is of another origin, which the server was not started to allow.")
}

/// What becomes a WebSocket: not for the pages of other origins.
fn of_upgrade(call: Call) -> Call {
    let version = with_header(
        nothing("The protocol changes to WebSocket: JSON text frames, each with its `type`."),
        "Upgrade",
        text("^websocket$"),
        "What it changes to.",
    );
    let header = |name: &str, about: &str| {
        parameter(name, ParameterIn::Header, about).required(Required::True).schema(Some(text(ANY)))
    };
    of_writer(call)
        .parameter(header("Upgrade", "`websocket`."))
        .parameter(header("Sec-WebSocket-Version", "`13`."))
        .parameter(header("Sec-WebSocket-Key", "16 random bytes in base64."))
        .answer(101, version)
        .refused(400, "No WebSocket handshake, or a parameter that cannot be understood.")
        .refused(426, "Another version than 13; `Sec-WebSocket-Version` names the one that is spoken.")
}

/// What starts at a position of a log.
fn of_position(call: Call) -> Call {
    of_deployment(call)
        .parameter(parameter("from", ParameterIn::Query, FROM).schema(Some(text(POSITION))).example(Some("now".into())))
        .parameter(parameter("Last-Event-ID", ParameterIn::Header, LAST_EVENT_ID).schema(Some(text(CURSOR_OR_EMPTY))))
        .refused(400, "A parameter cannot be understood, or is given twice.")
        .refused(410, "The log no longer keeps that position, or has another epoch; `earliest` and `latest` still work.")
}

const LANE: &str = "Whose ledger this request is for: a page's random id, a dot, the number of one of its lanes. Counted from \
                    the page's first tag or socket on; forgotten when the page has had no socket for 90 s.";
const PAGE: &str = "^[a-z0-9]{8,26}$";
const TAG: &str = r"^[a-z0-9]{8,26}\.[1-9][0-9]{0,2}$";
const POSITION: &str = r"^(now|[a-z0-9]{1,16}\.(0|[1-9][0-9]{0,15}))$";
const CURSOR_OR_EMPTY: &str = r"^([a-z0-9]{1,16}\.(0|[1-9][0-9]{0,15}))?$";
/// Text that may be anything.
const ANY: &str = "";
const FROM: &str = "Start after this cursor, or at `now`; absent: at the first kept line.";
const LAST_EVENT_ID: &str =
    "A cursor, as browsers send it when an EventSource reconnects. Wins over `from`; empty counts as absent.";

fn parameter(name: &str, place: ParameterIn, about: &str) -> ParameterBuilder {
    let builder = ParameterBuilder::new().name(name).parameter_in(place);
    builder.required(Required::False).description(Some(about))
}

fn limit(most: usize) -> ParameterBuilder {
    let about = format!("Items at most; a larger number counts as {most}.");
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

/// A header of an answer.
fn with_header(response: ResponseBuilder, name: &str, schema: Schema, about: &str) -> ResponseBuilder {
    response.header(name, HeaderBuilder::new().schema(Some(schema)).description(Some(about)).build())
}

/// An answer that depends on `Accept-Encoding`, where the server was started to compress.
fn varied(response: ResponseBuilder) -> ResponseBuilder {
    with_header(response, "Vary", text(ANY), "`accept-encoding`, if the server was started to compress.")
}

/// An answer whose body may be in gzip.
fn coded(response: ResponseBuilder) -> ResponseBuilder {
    let about = "`gzip`, if the server was started to compress and `Accept-Encoding` names it.";
    with_header(varied(response), "Content-Encoding", text("^gzip$"), about)
}
