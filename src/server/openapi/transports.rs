//! Descriptions of the transports: one path each, in the order in which they are served.

use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Content, ResponseBuilder};
use wirelab_clients::wire::{BATCH_LINES_MAX, Batch, NdjsonRecord, Transport, WAIT_S_DEFAULT};

use super::{
    ANY, Call, Described, Head, coded, count_from_1, json_of, limit, nothing, of_position, of_upgrade,
    parameter, reference, text, text_of, upgraded, varied, with_header,
};

const TAG: &str = "transports";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const ETAG: &str = "^(W/)?\"[a-z0-9]{1,16}\\.[0-9]{1,16}(\\.end)?\"$";
const ETAG_ABOUT: &str = "The cursor for the next request, in quotes; with `.end` when the log is finished there. Weak if the body is coded.";

pub(super) fn paths(served: &[Transport]) -> Vec<Described> {
    let described = |&transport: &Transport| {
        let (head, call) = match transport {
            Transport::ShortPoll => (Head::Answered, short_poll(call(transport))),
            Transport::LongPoll => (Head::Answered, long_poll(call(transport))),
            Transport::Sse => (Head::Refused, sse(call(transport))),
            Transport::Ndjson => (Head::Refused, ndjson(call(transport))),
            Transport::Websocket => (Head::Refused, websocket(call(transport))),
        };
        Described::new(transport.path()).get(head, call)
    };
    served.iter().map(described).collect()
}

fn call(transport: Transport) -> Call {
    let id = format!("follow_by_{}", transport.name().replace('-', "_"));
    of_position(Call::new(&id, TAG, transport.summary()))
}

fn tagged(response: ResponseBuilder) -> ResponseBuilder {
    with_header(response, "ETag", text(ETAG), ETAG_ABOUT)
}

fn batch(about: &str) -> ResponseBuilder {
    tagged(coded(json_of(reference::<Batch>(), about)))
}

/// Adds the poll interval that the server advises if it was started to.
fn advised(response: ResponseBuilder) -> ResponseBuilder {
    let about =
        "Seconds until the next poll, if there was no new line and the server was started to advise pollers.";
    with_header(response, "Retry-After", count_from_1(), about)
}

fn short_poll(call: Call) -> Call {
    let tags = "The entity tag of the last answer, a list of entity tags, or `*`.";
    call.parameter(limit(BATCH_LINES_MAX))
        .parameter(parameter("If-None-Match", ParameterIn::Header, tags).schema(Some(text(ANY))))
        .answer(200, advised(batch("The lines after the position, often none.")))
        .answer(
            304,
            advised(varied(tagged(nothing("Nothing has changed since the answer with this entity tag.")))),
        )
}

fn long_poll(call: Call) -> Call {
    let seconds = |kind| -> Schema {
        ObjectBuilder::new().schema_type(SchemaType::Type(kind)).minimum(Some(0.0)).into()
    };
    let wait = format!(
        "Seconds for which the server may hold the request, decimals allowed; default {WAIT_S_DEFAULT}. More than the \
         server's longest hold counts as that hold."
    );
    let prefer = "`wait=25`, in whole seconds (RFC 7240). If `wait` is given too, the smaller one counts.";
    let applied = "The hold in whole seconds, if `Prefer` asked for one.";
    let applied = |response| with_header(response, "Preference-Applied", text("^wait=[0-9]+$"), applied);
    call.parameter(limit(BATCH_LINES_MAX))
        .parameter(parameter("wait", ParameterIn::Query, &wait).schema(Some(seconds(Type::Number))))
        .parameter(parameter("Prefer", ParameterIn::Header, prefer).schema(Some(text(ANY))))
        .answer(200, applied(batch("Lines, as soon as there is one, or the end of the log.")))
        .answer(
            204,
            applied(tagged(nothing(
                "The hold expired without a line; the entity tag holds the client's cursor.",
            ))),
        )
}

fn sse(call: Call) -> Call {
    let heartbeat =
        "`event`: signs of life are events named `heartbeat`, without an id, instead of comments.";
    let heartbeat = parameter("heartbeat", ParameterIn::Query, heartbeat).schema(Some(text("^event$")));
    call.parameter(heartbeat).about(
        "An event stream for browsers. First comes `event: hello` with the cursor, then one unnamed event per line: its \
         data is the line, its id the cursor after it. The last event is `finished`, `gap` or `deleted`. Comments are \
         signs of life, unless `heartbeat=event` asks for events. An overloaded server answers 200 with `retry:` \
         alone, because a browser gives up after any other status.",
    )
    .answer(200, coded(text_of("text/event-stream", "The stream.")))
    .answer(204, nothing("The log is finished at this position; the status makes an EventSource stop."))
}

fn ndjson(call: Call) -> Call {
    let stream = ResponseBuilder::new()
        .description("The stream. Blank lines are signs of life. The schema describes one record.")
        .content("application/x-ndjson", Content::new(Some(reference::<NdjsonRecord>())));
    call.about("One record per LF: first `hello`, then the lines, last `finished`, `gap` or `deleted`.")
        .answer(200, coded(stream))
}

fn websocket(call: Call) -> Call {
    let answer = "What was taken of the offer, if the server was started to compress; else absent.";
    let upgraded = with_header(upgraded(), EXTENSIONS, text("^permessage-deflate;"), answer);
    of_upgrade(call, upgraded)
        .about(
            "The handshake of RFC 6455, over HTTP/1.1. The server sends `hello`, `subscribed`, then one `line` frame \
             per line, and last `finished`, `gap` or `deleted`. Messages may be compressed (RFC 7692) if the server \
             was started to.",
        )
        .parameter(
            parameter(EXTENSIONS, ParameterIn::Header, "Offers, such as `permessage-deflate`.")
                .schema(Some(text(ANY))),
        )
}
