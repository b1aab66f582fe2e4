//! The regular API: deployments, lines, what there is, and how the server does.

use utoipa::openapi::Required;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use wirelab_clients::wire::{
    APPEND_LINES_MAX, Appended, BATCH_LINES_MAX, Batch, Deployment, Finish, IDEMPOTENCY_KEY_BYTES_MAX,
    LIST_MAX, NewDeployment, NewLine, RecordingInfo, TransportInfo,
};

use super::{
    ANY, Call, Described, Head, JSON, coded, json_of, limit, list_of, nothing, of_deployment, of_position,
    of_writer, parameter, reference, text, text_of, with_header,
};
use crate::api::theory::Theory;
use crate::api::{Health, METRICS_TYPE, Ready};

const DEPLOYMENTS: &str = "deployments";
const LINES: &str = "lines";
const SERVER: &str = "server";

/// A body of nothing holds no line.
const ONE_CHARACTER: &str = r"[\s\S]";
const BODY: &str = "The body, or a parameter, cannot be understood; `detail` says where and why.";
const BODY_TOO_LARGE: &str = "The body, or a line in it, is larger than allowed; nothing of it is kept.";
const KEY: &str = "Makes the append safe to repeat: the same key with the same body gets the same answer and appends \
                   nothing again, with another body 422.";

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
    Call::new("list_deployments", DEPLOYMENTS, "The newest deployments, newest first")
        .parameter(limit(LIST_MAX))
        .answer(200, json_of(list_of::<Deployment>(), "The deployments."))
        .refused(400, "The limit is no whole number from 1, or another parameter cannot be understood.")
        .refused(500, "The store failed.")
}

fn create() -> Call {
    let created = json_of(reference::<Deployment>(), "The deployment was created.");
    of_writer(Call::new("create_deployment", DEPLOYMENTS, "Create a deployment"))
        .about("Without a source, whoever appends feeds it; with one, the server does.")
        .body([(JSON, reference::<NewDeployment>())], "Its name, and what feeds it.")
        .answer(201, with_header(created, "Location", text("^/api/deployments/"), "Where it is."))
        .refused(400, BODY)
        .refused(413, BODY_TOO_LARGE)
        .refused(500, "The store failed.")
}

fn show() -> Call {
    of_deployment(Call::new("show_deployment", DEPLOYMENTS, "One deployment as it is now"))
        .answer(200, json_of(reference::<Deployment>(), "The deployment."))
}

fn delete() -> Call {
    of_writer(of_deployment(Call::new("delete_deployment", DEPLOYMENTS, "Forget a deployment for good")))
        .about("Ends its source; held polls end with 404, streams say `deleted`.")
        .answer(204, nothing("It is gone."))
}

fn lines() -> Call {
    of_position(Call::new("read_lines", LINES, "The log so far"))
        .about("The initial log. A stream that starts from its `next` loses nothing in between.")
        .parameter(limit(BATCH_LINES_MAX))
        .answer(200, coded(json_of(reference::<Batch>(), "Lines after the position, at most one batch.")))
}

fn append() -> Call {
    let about = format!(
        "Lines to append: all or none, at most {APPEND_LINES_MAX}. Plain text is split at LF, one LF at the end ends \
         the last line; NDJSON has one object per line."
    );
    let key = text(&format!("^[!-~]{{1,{IDEMPOTENCY_KEY_BYTES_MAX}}}$"));
    of_writer(of_deployment(Call::new("append_lines", LINES, "Append lines")))
        .about("Answered once the lines are readable and, from a durable store, would survive power loss.")
        .parameter(parameter("Idempotency-Key", ParameterIn::Header, KEY).schema(Some(key)))
        .body(
            [("text/plain", text(ONE_CHARACTER).into()), ("application/x-ndjson", reference::<NewLine>())],
            &about,
        )
        .answer(201, json_of(reference::<Appended>(), "The lines are in the log."))
        .refused(400, BODY)
        .refused(409, "The deployment has ended, or the server feeds it.")
        .refused(413, BODY_TOO_LARGE)
        .refused(415, "The content type is neither of the two.")
        .refused(422, "The idempotency key was used with another body.")
}

fn finish() -> Call {
    of_writer(of_deployment(Call::new("finish_deployment", DEPLOYMENTS, "End a deployment")))
        .body([(JSON, reference::<Finish>())], "How it ended.")
        .answer(200, json_of(reference::<Deployment>(), "It has ended; said again, nothing changes."))
        .refused(400, BODY)
        .refused(409, "It has ended in another way.")
        .refused(413, BODY_TOO_LARGE)
}

fn transports() -> Call {
    Call::new("list_transports", SERVER, "The transports of this server")
        .answer(200, json_of(list_of::<TransportInfo>(), "Each with its path and who waits."))
}

fn recordings() -> Call {
    Call::new("list_recordings", SERVER, "What a replay can name")
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
    Call::new("predict", SERVER, "What the formulas say that one client will see")
        .about(
            "Lines at Poisson times; nothing lingers, adapts or is lost. Computed, not measured. `requests` is for a \
             window of `duration_s` once the client polls; a stream's 1 is its opening.",
        )
        .parameter(transport.schema(Some(text(ANY))))
        .parameter(needed("rate_hz", "Lines per second."))
        .parameter(needed("duration_s", "For how long."))
        .parameter(number("interval_s", "Of a short poll, which needs it."))
        .parameter(number("hold_s", "Of a long poll; default 25."))
        .parameter(number("subscribers", "Clients; default 1."))
        .parameter(number("round_trip_ms", "There and back; default 0."))
        .answer(200, json_of(reference::<Theory>(), "With the formulas and their constants."))
        .refused(400, "A parameter is missing, no number, or out of bounds; `detail` says which.")
}

fn health() -> Call {
    Call::new("health", SERVER, "Whether the server answers")
        .answer(200, json_of(reference::<Health>(), "It does."))
}

fn ready() -> Call {
    Call::new("ready", SERVER, "Whether the server can do its work")
        .answer(200, json_of(reference::<Ready>(), "It can, with this store."))
        .refused(
            503,
            "The store failed: `detail` says which deployment takes no more lines, and why. Or as elsewhere.",
        )
}

fn metrics() -> Call {
    let media_type = METRICS_TYPE.split(';').next().unwrap_or(METRICS_TYPE);
    Call::new("metrics", SERVER, "Counters and gauges for Prometheus")
        .answer(200, text_of(media_type, "OpenMetrics text."))
}

fn openapi() -> Call {
    let any = utoipa::openapi::schema::Schema::default();
    Call::new("openapi", SERVER, "This description")
        .answer(200, json_of(any.into(), "An OpenAPI 3.1 document."))
}
