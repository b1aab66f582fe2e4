//! X3, X4, X8: where a reader starts, how the end is told, what is refused and when.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use wirelab_clients::SubscribeError;
use wirelab_clients::wire::{
    Batch, Cursor, Deployment, NdjsonControl, NdjsonRecord, Position, Problem, ServerFrame, Status,
    Transport, Wire, cursor_of_entity_tag, entity_tag,
};

use super::{Kept, follow, is_the_log, subscriber};
use crate::http::{Answer, Api, Headers, Stream, path, upgrade};
use crate::server::wait_until;

/// How long "immediate" may take on a busy machine. Far below any hold.
const IMMEDIATE: Duration = Duration::from_secs(1);
/// How long a running log must stay silent. An end told too early would be there at once.
const UNTOLD: Duration = Duration::from_millis(100);
/// Lines that the store keeps in tests of retention.
pub(crate) const KEPT_LINES: u64 = 3;
/// Lines of the log that positions are tried on.
const LINES: u64 = 5;

/// How a transport answers a request for a position.
#[derive(Debug)]
enum Opening {
    /// It starts after this cursor.
    After(Cursor),
    /// It refuses, before anything began.
    Refused(Answer),
}

/// Asks a transport for a position, by hand. `query` as in `?from=…`, or empty.
fn open(
    transport: Transport,
    api: &Api,
    id: &impl ToString,
    query: &str,
    headers: Headers,
) -> Result<Opening, String> {
    let path = transport.path().replace("{id}", &id.to_string()) + query;
    match transport.wire() {
        Wire::ShortPoll | Wire::LongPoll => {
            // A poll that found nothing is asked not to hold.
            let wait = [&[("prefer", "wait=0")], headers].concat();
            let answer = api.ask("GET", &path, &wait, b"");
            if answer.status >= 300 {
                return Ok(Opening::Refused(answer));
            }
            let tag = answer.header("etag").and_then(cursor_of_entity_tag).ok_or("an answer without ETag")?;
            if answer.status == 204 {
                return Ok(Opening::After(tag));
            }
            let batch: Batch = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
            if tag != batch.next {
                return Err(format!("the ETag says {tag}, the batch {}", batch.next));
            }
            let after = batch.lines.first().map_or(batch.next.after, |line| line.seq - 1);
            Ok(Opening::After(Cursor { after, ..batch.next }))
        }
        Wire::Sse => match api.stream(&path, headers) {
            Ok(mut stream) => {
                stream.until("}\n\n")?;
                let hello = stream.until("event: hello\n")?;
                let data = hello.split("data: ").nth(1).unwrap_or_default();
                let id = hello.split("id: ").nth(1).and_then(|rest| rest.lines().next());
                let cursor = cursor_in(data.lines().next().unwrap_or_default())?;
                if id != Some(&cursor.to_string()) {
                    return Err(format!("the first event's id is not its cursor: {hello:?}"));
                }
                Ok(Opening::After(cursor))
            }
            Err(answer) => Ok(Opening::Refused(answer)),
        },
        Wire::Ndjson => match api.stream(&path, headers) {
            Ok(mut stream) => match records(stream.until("\n")?)?.first() {
                Some(NdjsonRecord::Control(NdjsonControl::Hello(hello))) => {
                    Ok(Opening::After(hello.cursor.clone()))
                }
                first => Err(format!("the first record is {first:?}")),
            },
            Err(answer) => Ok(Opening::Refused(answer)),
        },
        Wire::Websocket => match api.websocket(&path, headers) {
            Ok(mut socket) => match (socket.told()?, socket.told()?) {
                (ServerFrame::Hello { .. }, ServerFrame::Subscribed { cursor, .. }) => {
                    Ok(Opening::After(cursor))
                }
                frames => Err(format!("the first frames are {frames:?}")),
            },
            Err(answer) => Ok(Opening::Refused(answer)),
        },
    }
}

fn cursor_in(json: &str) -> Result<Cursor, String> {
    let hello: wirelab_clients::wire::Hello =
        serde_json::from_str(json).map_err(|error| format!("{error} in {json:?}"))?;
    Ok(hello.cursor)
}

fn records(body: &str) -> Result<Vec<NdjsonRecord>, String> {
    let records = body.lines().filter(|line| !line.is_empty());
    records
        .map(|record| serde_json::from_str(record).map_err(|error| format!("{error} in {record:?}")))
        .collect()
}

/// A position, and that the transport starts there.
fn starts_after(
    after: u64,
    transport: Transport,
    api: &Api,
    deployment: &Deployment,
    query: &str,
    headers: Headers,
) -> Kept {
    let what = format!("{query:?} with {headers:?}");
    let start = Cursor { after, ..deployment.next.clone() };
    match open(transport, api, &deployment.id, query, headers).map_err(|why| format!("{what}: {why}"))? {
        Opening::After(cursor) if cursor == start => Ok(()),
        Opening::After(cursor) => Err(format!("{what} started after {cursor}, not after {start}")),
        Opening::Refused(answer) => {
            Err(format!("{what} was refused with {}: {}", answer.status, answer.text()))
        }
    }
}

/// A position, and that the transport refuses it with a problem document.
fn refused(
    status: u16,
    transport: Transport,
    api: &Api,
    id: &impl ToString,
    query: &str,
    headers: Headers,
) -> Result<Problem, String> {
    let what = format!("{query:?} with {headers:?}");
    match open(transport, api, id, query, headers).map_err(|why| format!("{what}: {why}"))? {
        Opening::Refused(answer) if answer.status == status => {
            answer.problem().map_err(|why| format!("{what}: {why}"))
        }
        Opening::Refused(answer) => Err(format!("{what} gave {} instead of {status}", answer.status)),
        Opening::After(cursor) => Err(format!("{what} started after {cursor} instead of giving {status}")),
    }
}

fn numbered(count: u64) -> Vec<String> {
    (1..=count).map(|number| format!("line {number}")).collect()
}

/// A running deployment with [`LINES`] lines.
fn given(api: &Api) -> Deployment {
    let id = api.create().id;
    api.append(&id, &numbered(LINES));
    api.show(&id)
}

pub(crate) async fn x3_a_position_starts_where_the_table_says(transport: Transport, api: &Api) -> Kept {
    let deployment = given(api);
    let epoch = &deployment.next.epoch;
    let starts = |after, query: &str, headers: Headers| {
        starts_after(after, transport, api, &deployment, query, headers)
    };
    starts(0, "", &[])?;
    starts(0, "?unknown=parameter", &[])?;
    starts(LINES, "?from=now", &[])?;
    for after in 0..=LINES {
        let cursor = format!("{epoch}.{after}");
        starts(after, &format!("?from={cursor}"), &[])?;
        starts(after, "", &[("last-event-id", &cursor)])?;
        starts(after, &format!("?from={epoch}.1"), &[("last-event-id", &cursor)])?;
        starts(after, "?from=now", &[("last-event-id", &cursor)])?;
    }
    // Beside it `from` is not looked at: each of these would be refused by itself.
    let cursor = format!("{epoch}.2");
    for query in ["?from=0ther.9", "?from=x", "?from=", "?from=now&from=now"] {
        starts(2, query, &[("last-event-id", &cursor)])?;
    }
    // An empty Last-Event-ID is as good as none.
    starts(2, &format!("?from={epoch}.2"), &[("last-event-id", "")])?;
    starts(0, "", &[("last-event-id", "")])
}

pub(crate) async fn x3_a_position_outside_the_log_is_gone(transport: Transport, api: &Api) -> Kept {
    let (deployment, other) = (given(api), given(api));
    let epoch = &deployment.next.epoch;
    let beyond = [format!("{epoch}.{}", LINES + 1), format!("{epoch}.9007199254740991")];
    let elsewhere =
        [format!("{}.0", other.next.epoch), other.next.to_string(), "zzzzzzzzzzzzzzzz.3".to_owned()];
    for cursor in beyond.iter().chain(&elsewhere) {
        let by_header: Headers = &[("last-event-id", cursor)];
        for (query, headers) in [(format!("?from={cursor}"), &[][..]), (String::new(), by_header)] {
            is_gone(transport, api, &deployment, &query, headers)?;
        }
    }
    Ok(())
}

/// 410, saying what can be read.
fn is_gone(transport: Transport, api: &Api, deployment: &Deployment, query: &str, headers: Headers) -> Kept {
    let problem = refused(410, transport, api, &deployment.id, query, headers)?;
    let told = (problem.earliest.as_ref(), problem.latest.as_ref());
    if told != (Some(&deployment.first), Some(&deployment.next)) {
        return Err(format!("{query:?}: a 410 that says {told:?}"));
    }
    Ok(())
}

pub(crate) async fn x3_a_position_that_is_none_is_refused(transport: Transport, api: &Api) -> Kept {
    let deployment = given(api);
    let epoch = &deployment.next.epoch;
    let upper_case = epoch.to_string().to_uppercase();
    let bad = [
        String::new(),
        epoch.to_string(),
        format!("{epoch}."),
        ".1".to_owned(),
        "1".to_owned(),
        format!("{epoch}.-1"),
        format!("{epoch}.%2B1"),
        format!("{epoch}.01"),
        format!("{epoch}.00"),
        format!("{epoch}.1%20"),
        format!("{epoch}.9007199254740992"),
        format!("{epoch}.99999999999999999999999999999999"),
        format!("{epoch}.1.1"),
        format!("{epoch}.1%00"),
        format!("{epoch}.1%0d%0a"),
        format!("{epoch}.%D9%A1"),
        format!("A{upper_case}.1"),
        "abcdefghijklmnopq.1".to_owned(),
        "NOW".to_owned(),
        "now.1x".to_owned(),
        format!("{epoch}.1&from={epoch}.1"),
        format!("now&from={epoch}.1"),
    ];
    for from in &bad {
        refused(400, transport, api, &deployment.id, &format!("?from={from}"), &[])?;
    }
    for id in ["now", "x", &format!("{epoch}.01"), &format!("{epoch}.9007199254740992")] {
        refused(400, transport, api, &deployment.id, "", &[("last-event-id", id)])?;
    }
    // Wins also when it is bad.
    refused(400, transport, api, &deployment.id, &format!("?from={epoch}.1"), &[("last-event-id", "x")])?;
    refused(404, transport, api, &"01k3aaaaaaaa", "", &[])?;
    refused(404, transport, api, &"01k3aaaaaaaa", &format!("?from={epoch}.1"), &[])?;
    Ok(())
}

/// On a store that keeps [`KEPT_LINES`] lines.
pub(crate) async fn x3_lines_dropped_by_retention_are_gone(transport: Transport, api: &Api) -> Kept {
    let deployment = given(api);
    let (first, epoch) = (LINES - KEPT_LINES, &deployment.next.epoch);
    for dropped in 1..first {
        is_gone(transport, api, &deployment, &format!("?from={epoch}.{dropped}"), &[])?;
    }
    if deployment.first.after != first {
        return Err(format!("the first kept line follows {}, not {first}", deployment.first));
    }
    starts_after(first, transport, api, &deployment, "", &[])?;
    for (after, start) in [(0, first), (first, first), (first + 1, first + 1), (LINES, LINES)] {
        starts_after(start, transport, api, &deployment, &format!("?from={epoch}.{after}"), &[])?;
    }
    Ok(())
}

pub(crate) async fn x3_now_starts_with_the_next_line(transport: Transport, api: &Api) -> Kept {
    let deployment = given(api);
    let mut subscriber = subscriber(transport, api, &deployment.id, Position::Now);
    let first = tokio::spawn(async move { timeout(crate::http::SOON, subscriber.next_batch()).await });
    let idle = format!("wirelab_requests_total{{transport=\"{transport}\",outcome=\"empty\"}}");
    wait_until("the subscriber is there", || {
        api.waiters(transport) > 0 || api.metric(&idle) > 0 || first.is_finished()
    });
    let appended = api.append(&deployment.id, &["next", "and after"]);
    let first = first.await.map_err(|error| error.to_string())?.map_err(|_| "nothing came".to_owned())?;
    let first = first.map_err(|error| error.to_string())?.batch;
    match first.lines.first() {
        Some(line) if (line.seq, line.line.text.as_str()) == (appended.first, "next") => Ok(()),
        line => Err(format!("the first line is {line:?}, appended was {appended:?}")),
    }
}

pub(crate) async fn x4_the_end_is_signalled_to_who_waits_at_the_tail(
    transport: Transport,
    api: &Api,
) -> Kept {
    for status in [Status::Succeeded, Status::Failed, Status::Cancelled] {
        let deployment = given(api);
        let mut subscriber = subscriber(transport, api, &deployment.id, Position::Start);
        let mut lines = Vec::new();
        while lines.len() < LINES as usize {
            let batch = subscriber.next_batch().await.map_err(|error| error.to_string())?.batch;
            if batch.finished {
                return Err("the end was signalled before it came".to_owned());
            }
            lines.extend(batch.lines);
        }
        is_the_log(&lines, &numbered(LINES), 0)?;
        let mut waiting = tokio::spawn(async move { subscriber.next_batch().await });
        if timeout(UNTOLD, &mut waiting).await.is_ok() {
            return Err("the end was signalled before it came".to_owned());
        }
        api.finish(&deployment.id, status);
        let end = timeout(IMMEDIATE, waiting).await.map_err(|_| "the end was not signalled".to_owned())?;
        let end = end.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?.batch;
        if !(end.finished && end.lines.is_empty() && end.next == deployment.next) {
            return Err(format!("the end is told as {end:?}"));
        }
        if api.show(&deployment.id).ended != Some(status) {
            return Err(format!("the deployment does not say {status}"));
        }
    }
    Ok(())
}

pub(crate) async fn x4_the_end_is_signalled_to_who_is_far_behind(transport: Transport, api: &Api) -> Kept {
    // More than one batch, so that the end must be told after lines that are still to be sent.
    let texts = numbered(1_300);
    let id = api.create().id;
    api.append(&id, &texts);
    api.finish(&id, Status::Failed);
    let followed = timeout(4 * IMMEDIATE, follow(transport, api.clone(), id, Position::Start)).await;
    is_the_log(&followed.map_err(|_| "the end was not signalled".to_owned())??, &texts, 0)
}

pub(crate) async fn x4_at_the_end_the_answer_is_immediate(transport: Transport, api: &Api) -> Kept {
    let status = Status::Cancelled;
    let deployment = given(api);
    api.finish(&deployment.id, status);
    let from = format!("?from={}", deployment.next);
    let last: Headers = &[("last-event-id", &deployment.next.to_string())];
    for (query, headers) in [(from.as_str(), &[][..]), ("?from=now", &[]), ("", last)] {
        is_told_the_end(transport, api, &deployment, status, query, headers)
            .map_err(|why| format!("at the end: {why}"))?;
    }
    let empty = api.create();
    api.finish(&empty.id, status);
    is_told_the_end(transport, api, &empty, status, "", &[])
}

fn is_told_the_end(
    transport: Transport,
    api: &Api,
    deployment: &Deployment,
    status: Status,
    query: &str,
    headers: Headers,
) -> Kept {
    let asked = Instant::now();
    let path = path(transport, &deployment.id, query);
    let api = api.impatient(IMMEDIATE);
    let ask = || api.try_ask("GET", &path, headers, b"").map_err(|error| format!("no answer: {error}"));
    let told = match transport.wire() {
        Wire::ShortPoll | Wire::LongPoll => {
            let answer = ask()?;
            let tag = entity_tag(&deployment.next, true);
            let batch =
                Batch { lines: Vec::new(), next: deployment.next.clone(), more: false, finished: true };
            answer.status == 200
                && answer.header("etag") == Some(&tag)
                && serde_json::from_slice(&answer.body).ok() == Some(batch)
        }
        Wire::Sse => {
            let answer = ask()?;
            answer.status == 204 && answer.header("cache-control") == Some("no-store")
        }
        Wire::Ndjson => {
            let stream = api.stream(&path, headers).map_err(|answer| answer.status.to_string())?;
            let finished = &records(&Stream::rest(stream)?)?[..];
            matches!(finished, [
                NdjsonRecord::Control(NdjsonControl::Hello(hello)),
                NdjsonRecord::Control(NdjsonControl::Finished(end)),
            ] if hello.cursor == deployment.next && end.cursor == deployment.next && end.status == status)
        }
        Wire::Websocket => {
            let mut socket = api.websocket(&path, headers).map_err(|answer| answer.status.to_string())?;
            let frames = [socket.told()?, socket.told()?, socket.told()?];
            let code = socket.close_code()?;
            matches!(&frames, [
                ServerFrame::Hello { .. },
                ServerFrame::Subscribed { cursor: start, .. },
                ServerFrame::Finished { cursor: end, status: told, .. },
            ] if *start == deployment.next && *end == deployment.next && *told == status)
                && code == 1000
        }
    };
    if !told {
        return Err(format!("{query:?} with {headers:?} at the end is answered otherwise"));
    }
    let took = asked.elapsed();
    if took > IMMEDIATE { Err(format!("the end took {took:?}")) } else { Ok(()) }
}

pub(crate) async fn x4_a_finished_subscriber_asks_no_more(transport: Transport, api: &Api) -> Kept {
    let deployment = given(api);
    api.finish(&deployment.id, Status::Succeeded);
    let mut subscriber = subscriber(transport, api, &deployment.id, Position::Start);
    let finished = async {
        while !subscriber.next_batch().await.map_err(|error| error.to_string())?.batch.finished {}
        Ok::<_, String>(())
    };
    timeout(4 * IMMEDIATE, finished).await.map_err(|_| "the end was not signalled".to_owned())??;
    let traffic = subscriber.traffic();
    for _ in 0..100 {
        let again = timeout(IMMEDIATE, subscriber.next_batch()).await;
        let again = again.map_err(|_| "the end is not told again".to_owned())?;
        let again = again.map_err(|error| error.to_string())?.batch;
        if !(again.finished && again.lines.is_empty() && again.next == deployment.next) {
            return Err(format!("told again, the end is {again:?}"));
        }
    }
    if subscriber.traffic() != traffic {
        return Err(format!("after the end came {:?}", subscriber.traffic() - traffic));
    }
    Ok(())
}

pub(crate) async fn x8_a_refusal_comes_before_any_stream(transport: Transport, api: &Api) -> Kept {
    let deployment = given(api);
    let (id, epoch) = (deployment.id.as_str(), &deployment.next.epoch);
    let deleted = api.create().id;
    api.ask("DELETE", &format!("/api/deployments/{deleted}"), &[], b"");
    let rows = [
        (404, "01k3aaaaaaaa", String::new()),
        (404, "x", String::new()),
        (404, deleted.as_str(), String::new()),
        (400, id, "?from=x".to_owned()),
        (400, id, "?from=".to_owned()),
        (410, id, format!("?from={epoch}.99")),
        (410, id, "?from=zzzz.1".to_owned()),
    ];
    for (status, id, query) in rows {
        let path = transport.path().replace("{id}", id) + query.as_str();
        let upgrade = upgrade(transport);
        let mut connection = api.impatient(4 * IMMEDIATE).connection();
        connection.send("GET", &path, upgrade, b"").map_err(|error| error.to_string())?;
        // The status first: what should be a refusal may be a stream without end.
        let head = connection.head().map_err(|error| format!("{path} gave no {status}: {error}"))?;
        if head.status != status {
            return Err(format!("{path} gave {} instead of {status}", head.status));
        }
        let answer = connection.body_of(head, "GET").map_err(|error| format!("{path}: {error}"))?;
        answer.problem().map_err(|why| format!("{path}: {why}"))?;
    }
    Ok(())
}

pub(crate) async fn x8_a_subscriber_is_told_why_it_was_refused(transport: Transport, api: &Api) -> Kept {
    let deployment = given(api);
    let beyond = Cursor { after: LINES + 1, ..deployment.next.clone() };
    let mut refused = subscriber(transport, api, &deployment.id, Position::After(beyond));
    let told = timeout(4 * IMMEDIATE, refused.next_batch()).await;
    match told.map_err(|_| "410 is told as nothing at all".to_owned())? {
        Err(SubscribeError::Gap(gap)) if gap.latest == deployment.next => {}
        told => return Err(format!("410 is told as {told:?}")),
    }
    let unknown = "01k3aaaaaaaa".parse().expect("a well-formed id");
    let mut refused = subscriber(transport, api, &unknown, Position::Start);
    let told = timeout(4 * IMMEDIATE, refused.next_batch()).await;
    match told.map_err(|_| "404 is told as nothing at all".to_owned())? {
        Err(SubscribeError::Refused { status: 404, detail }) if detail.contains("01k3aaaaaaaa") => Ok(()),
        told => Err(format!("404 is told as {told:?}")),
    }
}
