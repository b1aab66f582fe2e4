//! Descriptions of the calls on deployments, on lines and on the server.

use utoipa::openapi::Required;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use wirelab_clients::wire::{
    APPEND_LINES_MAX, Appended, BATCH_LINES_MAX, Batch, Deployment, Finish, IDEMPOTENCY_KEY_BYTES_MAX,
    LIST_MAX, NewDeployment, NewLine, RecordingInfo, TransportInfo,
};

use super::{
    ANY, Call, Described, Head, JSON, coded, json_of, limit, list_of, nothing, of_deployment, of_page,
    of_position, of_writer, parameter, reference, text, text_of, with_header,
};
use crate::api::theory::Theory;
use crate::api::{Health, METRICS_TYPE, Ready};

const DEPLOYMENTS: &str = "deployments";
const LINES: &str = "lines";
const SERVER: &str = "server";

/// Pattern of a body with at least one character: an empty body holds no line.
const ONE_CHARACTER: &str = r"[\s\S]";
const BODY: &str = "The body or a parameter is not valid; `detail` says where and why.";
const BODY_TOO_LARGE: &str = "The body or a line in it is larger than allowed; nothing of it is kept.";
const KEY: &str = "Makes the append safe to repeat. The same key with the same body gets the same answer and appends \
                   nothing; with another body it is refused with 422.";
const CREATION_KEY: &str = "Makes the creation safe to repeat. The same key with the same body gets the same deployment \
                            as it is now; with another body it is refused with 422. A deleted deployment frees its key.";

pub(super) fn paths() -> Vec<Described> {
    vec![
        Described::new("/api/deployments").get(Head::Answered, list()).post(create()),
        Described::new("/api/deployments/{id}").get(Head::Answered, show()).delete(delete()),
        Described::new("/api/deployments/{id}/lines").get(Head::Answered, lines()).post(append()),
        Described::new("/api/deployments/{id}/finish").post(finish()),
        Described::new("/api/transports").get(Head::Answered, transports()),
        Described::new("/api/recordings").get(Head::Answered, recordings()),
        Described::new("/api/theory").get(Head::Answered, theory()),
        Described::new("/healthz").get(Head::Answered, health()),
        Described::new("/readyz").get(Head::Answered, ready()),
        Described::new("/metrics").get(Head::Answered, metrics()),
        Described::new("/openapi.json").get(Head::Answered, openapi()),
    ]
}

fn list() -> Call {
    let status = text("^(running|succeeded|failed|cancelled)$");
    let before = text("^[a-z0-9]{8,26}$");
    let only = |name: &str, about: &str, schema: Schema| {
        parameter(name, ParameterIn::Query, about).schema(Some(schema))
    };
    Call::new("list_deployments", DEPLOYMENTS, "List the newest deployments, newest first")
        .about("A list is capped: ask for the older ones with `before` until a list is empty.")
        .parameter(limit(LIST_MAX))
        .parameter(only("name", "Only deployments with exactly this name.", text(ANY)))
        .parameter(only("status", "Only deployments with this status.", status))
        .parameter(only("before", "Only deployments that were created before this one, by its id.", before))
        .answer(200, json_of(list_of::<Deployment>(), "The deployments."))
        .refused(400, "`limit` is not a whole number from 1, or another parameter is not valid.")
        .refused(404, "There is no deployment with the id in `before`.")
        .refused(500, "The store failed.")
}

fn create() -> Call {
    let created = json_of(reference::<Deployment>(), "The deployment was created.");
    of_page(of_writer(Call::new("create_deployment", DEPLOYMENTS, "Create a deployment")))
        .about("With a source, the server feeds the deployment. Without one, publishers append its lines.")
        .parameter(idempotency_key(CREATION_KEY))
        .body(
            [(JSON, reference::<NewDeployment>())],
            "The name of the deployment, and its source if it has one.",
        )
        .answer(
            201,
            with_header(created, "Location", text("^/api/deployments/"), "The path of the deployment."),
        )
        .refused(400, BODY)
        .refused(413, BODY_TOO_LARGE)
        .refused(422, "The idempotency key was used with another body.")
        .refused(500, "The store failed.")
        .unwritten()
        .refused(
            503,
            "Nothing was created: as many deployments or sources run as may, the disk or the descriptors are short, or \
             unfinished bodies hold as much as may; repeat the call. Also as for every call.",
        )
}

fn show() -> Call {
    of_deployment(Call::new("show_deployment", DEPLOYMENTS, "One deployment as it is now"))
        .answer(200, json_of(reference::<Deployment>(), "The deployment."))
}

fn delete() -> Call {
    of_writer(of_deployment(Call::new("delete_deployment", DEPLOYMENTS, "Delete a deployment for good")))
        .about("Its source stops; held polls are answered 404, and streams end with `deleted`.")
        .answer(204, nothing("The deployment is deleted."))
        .unwritten()
}

fn lines() -> Call {
    of_position(Call::new("read_lines", LINES, "Read a batch of the log"))
        .about("A page loads the log with it before it follows. A stream that starts from `next` misses no line.")
        .parameter(limit(BATCH_LINES_MAX))
        .answer(200, coded(json_of(reference::<Batch>(), "Lines after the position, at most one batch.")))
}

fn append() -> Call {
    let about = format!(
        "Lines to append, at most {APPEND_LINES_MAX}; all are appended or none. Plain text is split at LF, and one LF \
         at the end belongs to the last line. NDJSON has one object per line."
    );
    of_writer(of_deployment(Call::new("append_lines", LINES, "Append lines")))
        .about("Answered once the lines can be read and, with a durable store, survive power loss.")
        .parameter(idempotency_key(KEY))
        .body(
            [("text/plain", text(ONE_CHARACTER).into()), ("application/x-ndjson", reference::<NewLine>())],
            &about,
        )
        .answer(201, json_of(reference::<Appended>(), "The lines are in the log."))
        .refused(400, BODY)
        .refused(409, "The deployment has ended, or the server feeds it.")
        .refused(413, BODY_TOO_LARGE)
        .refused(415, "The content type is neither `text/plain` nor `application/x-ndjson`.")
        .refused(422, "The idempotency key was used with another body.")
        .unwritten()
}

fn idempotency_key(about: &str) -> ParameterBuilder {
    let key = text(&format!("^[!-~]{{1,{IDEMPOTENCY_KEY_BYTES_MAX}}}$"));
    parameter("Idempotency-Key", ParameterIn::Header, about).schema(Some(key))
}

fn finish() -> Call {
    of_writer(of_deployment(Call::new("finish_deployment", DEPLOYMENTS, "End a deployment")))
        .body([(JSON, reference::<Finish>())], "The status with which the deployment ends.")
        .answer(
            200,
            json_of(
                reference::<Deployment>(),
                "The deployment has ended. A repeated call with the same status changes nothing.",
            ),
        )
        .refused(400, BODY)
        .refused(409, "The deployment has ended with another status.")
        .refused(413, BODY_TOO_LARGE)
        .unwritten()
}

fn transports() -> Call {
    Call::new("list_transports", SERVER, "List the transports of this server").answer(
        200,
        json_of(
            list_of::<TransportInfo>(),
            "The transports, each with its path and who waits for the next line.",
        ),
    )
}

fn recordings() -> Call {
    Call::new("list_recordings", SERVER, "List the recordings that a replay can name")
        .answer(200, json_of(list_of::<RecordingInfo>(), "The recordings."))
        .refused(500, "The folder of recordings cannot be read.")
}

fn theory() -> Call {
    let number = |name: &str, about: &str| {
        let schema: Schema = ObjectBuilder::new().schema_type(SchemaType::Type(Type::Number)).into();
        parameter(name, ParameterIn::Query, about).schema(Some(schema))
    };
    let needed = |name: &str, about: &str| number(name, about).required(Required::True);
    let transport =
        parameter("transport", ParameterIn::Query, "A transport's name.").required(Required::True);
    Call::new("predict", SERVER, "Predict by formulas what one client will see")
        .about(
            "Computed, not measured: lines come at Poisson times; nothing lingers, adapts or is lost. `requests` counts \
             those in a window of `duration_s` once the client polls; for a stream it is 1, its opening.",
        )
        .parameter(transport.schema(Some(text(ANY))))
        .parameter(needed("rate_hz", "Lines per second."))
        .parameter(needed("duration_s", "Length of the window in seconds."))
        .parameter(number("interval_s", "Poll interval in seconds; required for short-poll."))
        .parameter(number("hold_s", "Hold of a long poll in seconds; default 25."))
        .parameter(number("subscribers", "Number of clients; default 1."))
        .parameter(number("round_trip_ms", "Round trip in milliseconds; default 0."))
        .answer(200, json_of(reference::<Theory>(), "The prediction, with its formulas and their constants."))
        .refused(400, "A parameter is missing, not a number, or out of range; `detail` says which.")
}

fn health() -> Call {
    Call::new("health", SERVER, "Ask whether the server answers")
        .answer(200, json_of(reference::<Health>(), "The server answers."))
}

fn ready() -> Call {
    Call::new("ready", SERVER, "Ask whether the server can take lines")
        .answer(200, json_of(reference::<Ready>(), "The server is ready, with this store."))
        .refused(
            503,
            "The store cannot be written now, or a deployment cannot until a restart: `detail` says why. Also as for \
             every call.",
        )
}

fn metrics() -> Call {
    let media_type = METRICS_TYPE.split(';').next().unwrap_or(METRICS_TYPE);
    Call::new("metrics", SERVER, "Read the counters and gauges for Prometheus")
        .answer(200, text_of(media_type, "OpenMetrics text."))
}

fn openapi() -> Call {
    let any = utoipa::openapi::schema::Schema::default();
    Call::new("openapi", SERVER, "Read this description")
        .answer(200, json_of(any.into(), "An OpenAPI 3.1 document."))
}
