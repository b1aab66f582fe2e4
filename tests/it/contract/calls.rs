//! Deployments and the calls around them: create, list, show, finish, delete, transports, recordings, operations.

use std::fs;

use serde_json::{Value, json};
use wirelab_clients::wire::{
    Deployment, RecordingInfo, ServerFrame, Status, Transport, TransportInfo, cursor_of_entity_tag,
};

use crate::http::{Api, path};
use crate::server::{Server, Setup, wait_until};

const JSON: &str = "application/json";

fn create(api: &Api, body: &Value) -> crate::http::Answer {
    api.post("/api/deployments", JSON, body.to_string())
}

#[test]
fn a_created_deployment_is_where_location_says() {
    let server = Server::start();
    let answer = create(&server, &json!({"name": "web 42 — ü", "unknown": {"member": true}}));
    assert_eq!(answer.status, 201);
    let created: Deployment = answer.json();
    assert_eq!(answer.header("location"), Some(format!("/api/deployments/{}", created.id).as_str()));
    assert_eq!(created.name, "web 42 — ü");
    assert_eq!((created.ended, created.finished_us, created.lines), (None, None, 0));
    assert_eq!((created.first.after, created.next.after), (0, 0));
    assert_eq!(server.get(answer.header("location").unwrap()).json::<Deployment>(), created);

    let raw: Value = answer.json();
    assert_eq!(raw["status"], "running");
    assert_eq!(raw["finished_us"], Value::Null);
    assert!(raw["created_us"].as_u64().unwrap() > 1_600_000_000_000_000);
}

#[test]
fn names_are_not_unique_and_may_have_200_characters() {
    let server = Server::start();
    let longest = "ü".repeat(200);
    for _ in 0..2 {
        assert_eq!(create(&server, &json!({ "name": longest })).status, 201);
    }
}

#[test]
fn what_is_no_deployment_is_refused_and_leaves_nothing_behind() {
    let server = Server::start();
    let bad = [
        json!({"name": ""}),
        json!({"name": "x".repeat(201)}),
        json!({"name": 7}),
        json!({}),
        json!([]),
        json!(["an array is no object"]),
        json!({"name": "x", "source": {"kind": "replay"}}),
        json!({"name": "x", "source": {"kind": "replay", "recording": "no-such-recording"}}),
        json!({"name": "x", "source": {"kind": "replay", "recording": "../secret"}}),
        json!({"name": "x", "source": {"kind": "replay", "recording": "x", "speed": 0}}),
        json!({"name": "x", "source": {"kind": "replay", "recording": "x", "speed": 1000.1}}),
        json!({"name": "x", "source": {"kind": "replay", "recording": "x", "speed": "fast"}}),
        json!({"name": "x", "source": {"kind": "generate"}}),
        json!({"name": "x", "source": {"kind": "generate", "rate_hz": 0.009}}),
        json!({"name": "x", "source": {"kind": "generate", "rate_hz": 10_000.5}}),
        json!({"name": "x", "source": {"kind": "generate", "rate_hz": -1}}),
        json!({"name": "x", "source": {"kind": "dream"}}),
        json!({"name": "x", "source": "generate"}),
    ];
    for body in &bad {
        let answer = create(&server, body);
        assert_eq!(answer.status, 400, "{body}");
        answer.problem().unwrap();
    }
    for body in [&b"{"[..], b"", b"null", b"{\"name\":\"\xff\"}"] {
        server.post("/api/deployments", JSON, body).problem().unwrap();
    }
    assert_eq!(server.get("/api/deployments").json::<Vec<Deployment>>(), []);
}

#[test]
fn the_list_is_newest_first_and_limited() {
    let server = Server::start();
    let mut ids: Vec<_> = (0..5).map(|_| server.create().id).collect();
    ids.reverse();
    let listed = |query: &str| {
        let listed: Vec<Deployment> = server.get(&format!("/api/deployments{query}")).json();
        listed.into_iter().map(|deployment| deployment.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(""), ids);
    assert_eq!(listed("?limit=2"), ids[..2]);
    assert_eq!(listed("?limit=1000"), ids);
    assert_eq!(listed("?limit=99999999999999999999"), ids);
    for limit in ["0", "-1", "x", "", "1.5", "1&limit=2"] {
        let answer = server.get(&format!("/api/deployments?limit={limit}"));
        assert_eq!(answer.problem().unwrap().status, 400, "{limit:?}");
    }
}

#[test]
fn finishing_is_idempotent_and_final() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x"]);
    let path = format!("/api/deployments/{id}/finish");
    let finished: Deployment = server.post(&path, JSON, r#"{"status":"failed","why":"unknown"}"#).json();
    assert_eq!((finished.ended, finished.lines), (Some(Status::Failed), 1));
    assert!(finished.finished_us >= Some(finished.created_us));

    let again = server.post(&path, JSON, r#"{"status":"failed"}"#);
    assert_eq!((again.status, again.json::<Deployment>()), (200, finished.clone()));
    for status in ["succeeded", "cancelled"] {
        let answer = server.post(&path, JSON, json!({ "status": status }).to_string());
        assert_eq!(answer.problem().unwrap().status, 409);
    }
    let late = server.post(&format!("/api/deployments/{id}/lines"), "text/plain", "late\n");
    assert_eq!(late.problem().unwrap().status, 409);
    assert_eq!(server.show(&id), finished);
}

#[test]
fn only_the_three_ends_finish_a_deployment() {
    let server = Server::start();
    let id = server.create().id;
    let path = format!("/api/deployments/{id}/finish");
    for body in [
        r#"{"status":"running"}"#,
        r#"{"status":"done"}"#,
        r#"{"status":null}"#,
        r#"["failed"]"#,
        "{}",
        "",
        "failed",
    ] {
        assert_eq!(server.post(&path, JSON, body).problem().unwrap().status, 400, "{body}");
    }
    assert_eq!(server.show(&id).ended, None);
    for status in [Status::Succeeded, Status::Failed, Status::Cancelled] {
        let id = server.create().id;
        server.finish(&id, status);
        assert_eq!(server.show(&id).ended, Some(status));
    }
}

#[test]
fn deleting_ends_held_polls_and_streams_and_leaves_404() {
    let server = Server::start();
    let id = server.create().id;
    let mut poll = server.connection();
    poll.send("GET", &path(Transport::LongPoll, &id, "?wait=55"), &[], b"").unwrap();
    let mut sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    let mut ndjson = server.stream(&path(Transport::Ndjson, &id, ""), &[]).unwrap();
    let mut socket = server.websocket(&path(Transport::Websocket, &id, ""), &[]).unwrap();
    sse.until("hello").unwrap();
    ndjson.until("hello").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);

    let answer = server.ask("DELETE", &format!("/api/deployments/{id}"), &[], b"");
    assert_eq!((answer.status, answer.body.len()), (204, 0));

    assert_eq!(poll.answer("GET").unwrap().problem().unwrap().status, 404);
    let sse = sse.rest().unwrap();
    assert!(sse.ends_with("event: deleted\ndata: {}\n\n"), "{sse}");
    let ndjson = ndjson.rest().unwrap();
    assert!(ndjson.ends_with("\n{\"deleted\":{}}\n"), "{ndjson}");
    let frames = [socket.told().unwrap(), socket.told().unwrap(), socket.told().unwrap()];
    assert_eq!(frames[2], ServerFrame::Deleted { deployment: id.clone() });
    assert_eq!(socket.close_code(), Ok(1000));

    for (method, path) in [
        ("GET", format!("/api/deployments/{id}")),
        ("DELETE", format!("/api/deployments/{id}")),
        ("GET", format!("/api/deployments/{id}/lines")),
        ("POST", format!("/api/deployments/{id}/lines")),
        ("POST", format!("/api/deployments/{id}/finish")),
    ] {
        let kind = if path.ends_with("finish") { JSON } else { "text/plain" };
        let answer = server.ask(method, &path, &[("content-type", kind)], br#"{"status":"failed"}"#);
        assert_eq!(answer.problem().unwrap().status, 404, "{method} {path}");
    }
    assert_eq!(server.get("/api/deployments").json::<Vec<Deployment>>(), []);
}

#[test]
fn a_generated_deployment_feeds_itself_until_it_is_finished() {
    let server = Server::start();
    let source = json!({"name": "x", "source": {"kind": "generate", "rate_hz": 1000.0}});
    let id = create(&server, &source).json::<Deployment>().id;
    let appended = server.post(&format!("/api/deployments/{id}/lines"), "text/plain", "mine\n");
    assert_eq!(appended.problem().unwrap().status, 409);
    wait_until("lines come by themselves", || server.show(&id).lines > 20);
    server.finish(&id, Status::Cancelled);
    let ended = server.show(&id);
    let lines = server.lines(&id, "").lines;
    assert!(lines.iter().zip(1..).all(|(line, seq)| line.seq == seq));
    assert_eq!(server.show(&id), ended);
}

#[test]
fn a_replayed_deployment_ends_as_it_was_recorded() {
    let recordings = tempfile::tempdir().unwrap();
    let recording = concat!(
        "{\"offset_us\":0,\"text\":\"first\",\"stream\":\"stdout\"}\n",
        "{\"offset_us\":200000,\"text\":\"second\",\"stream\":\"stderr\"}\n",
        "{\"offset_us\":400000,\"status\":\"failed\"}\n",
    );
    fs::write(recordings.path().join("short.ndjson"), recording).unwrap();
    fs::write(recordings.path().join("broken.ndjson"), "{}").unwrap();
    let server = Setup { recordings: recordings.path().to_owned(), ..Setup::default() }.start();

    let listed: Vec<RecordingInfo> = server.get("/api/recordings").json();
    let names: Vec<_> = listed.iter().map(|recording| recording.name.as_str()).collect();
    assert_eq!(
        names,
        ["cargo-build", "debian-install", "pip-install", "short"],
        "those of the binary, and of the folder"
    );
    assert_eq!(listed[3], RecordingInfo { name: "short".to_owned(), lines: 2, duration_ms: 400 });

    let source = json!({"name": "x", "source": {"kind": "replay", "recording": "short", "speed": 100}});
    let id = create(&server, &source).json::<Deployment>().id;
    wait_until("the replay ends", || server.show(&id).ended.is_some());
    assert_eq!(server.show(&id).ended, Some(Status::Failed));
    let lines = server.get(&format!("/api/deployments/{id}/lines")).json::<Value>();
    assert_eq!(lines["lines"][0]["text"], "first");
    assert_eq!(lines["lines"][0]["stream"], "stdout");
    assert_eq!(lines["lines"][1]["stream"], "stderr");
    assert_eq!(lines["finished"], true);

    let broken = json!({"name": "x", "source": {"kind": "replay", "recording": "broken"}});
    assert_eq!(create(&server, &broken).problem().unwrap().status, 400);
}

#[test]
fn the_server_says_which_transports_it_has() {
    let server = Server::start();
    let listed: Vec<TransportInfo> = server.get("/api/transports").json();
    assert_eq!(listed.len(), Transport::ALL.len());
    let id = server.create().id;
    for (info, transport) in listed.iter().zip(Transport::ALL) {
        assert_eq!((info.name.as_str(), &info.path), (transport.name(), &transport.path()));
        assert_eq!(
            (info.wire.as_str(), info.waits.as_str()),
            (transport.wire().name(), transport.waits().name())
        );
        assert!(!info.summary.is_empty());
        // What is listed is there: asked wrongly it refuses, and not as an unknown path does.
        let answer = server.get(&(info.path.replace("{id}", id.as_str()) + "?from=x"));
        assert_eq!(answer.status, 400, "{}", info.name);
    }
}

#[test]
fn operations_are_told_what_they_need() {
    let server = Server::start();
    assert_eq!(server.get("/healthz").status, 200);
    assert_eq!(server.get("/readyz").json::<Value>(), json!({"store": "memory", "durable": false}));
    for absent in
        ["/api/nothing", "/nothing", "/api/deployments/", "/api/deployments/01k3aaaaaaaa/carrier-pigeon"]
    {
        assert_eq!(server.get(absent).problem().unwrap().status, 404, "{absent}");
    }
}

#[test]
fn the_page_is_served_with_its_kinds_and_a_strict_policy() {
    let server = Server::start();
    let rows = [
        ("/", "text/html; charset=utf-8"),
        ("/lab.js", "text/javascript; charset=utf-8"),
        ("/lab.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/transports/sse.js", "text/javascript; charset=utf-8"),
    ];
    for (path, kind) in rows {
        let answer = server.get(path);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'self';"), "{path}: {policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
        let tag = answer.header("etag").unwrap();
        let again = server.ask("GET", path, &[("if-none-match", tag)], b"");
        assert_eq!((again.status, again.header("etag")), (304, Some(tag)), "{path}");
        let other = server.ask("GET", path, &[("if-none-match", "\"other\"")], b"");
        assert_eq!((other.status, other.body), (200, answer.body), "{path}");
    }
    for absent in [
        "/index.html",
        "/lab.mjs",
        "/transports",
        "/transports/",
        "/transports/../lab.js",
        "/%2e%2e/Cargo.toml",
    ] {
        assert_eq!(server.get(absent).problem().unwrap().status, 404, "{absent}");
    }
}

#[test]
fn another_method_is_refused_with_what_is_allowed() {
    let server = Server::start();
    let id = server.create().id;
    let deployment = format!("/api/deployments/{id}");
    let rows = [
        ("PUT", "/api/deployments".to_owned(), "GET, HEAD, POST"),
        ("DELETE", "/api/deployments".to_owned(), "GET, HEAD, POST"),
        ("POST", deployment.clone(), "GET, HEAD, DELETE"),
        ("PATCH", deployment.clone(), "GET, HEAD, DELETE"),
        ("DELETE", format!("{deployment}/lines"), "GET, HEAD, POST"),
        ("GET", format!("{deployment}/finish"), "POST"),
        ("POST", format!("{deployment}/short-poll"), "GET, HEAD"),
        ("POST", format!("{deployment}/long-poll"), "GET, HEAD"),
        ("POST", format!("{deployment}/sse"), "GET"),
        ("DELETE", format!("{deployment}/ndjson"), "GET"),
        ("POST", format!("{deployment}/websocket"), "GET"),
        ("POST", "/metrics".to_owned(), "GET, HEAD"),
        ("POST", "/healthz".to_owned(), "GET, HEAD"),
        ("POST", "/".to_owned(), "GET, HEAD"),
        ("PUT", "/lab.js".to_owned(), "GET, HEAD"),
    ];
    for (method, path, allowed) in rows {
        let answer = server.ask(method, &path, &[], b"");
        assert_eq!(answer.problem().unwrap().status, 405, "{method} {path}");
        assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
    }
    assert_eq!(server.show(&id).id, id);
}

#[test]
fn head_is_get_without_the_body() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x"]);
    for path in [
        "/api/deployments".to_owned(),
        format!("/api/deployments/{id}"),
        format!("/api/deployments/{id}/lines"),
        format!("/api/deployments/{id}/short-poll"),
        format!("/api/deployments/{id}/long-poll"),
        "/api/transports".to_owned(),
        "/healthz".to_owned(),
        "/".to_owned(),
        "/lab.js".to_owned(),
    ] {
        let (get, mut connection) = (server.get(&path), server.connection());
        let head = connection.ask("HEAD", &path, &[], b"").unwrap();
        assert_eq!(head.status, get.status, "{path}");
        for name in ["content-type", "content-length", "etag", "cache-control"] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
        // The connection is still in step: no body came after the head.
        assert_eq!(connection.ask("GET", "/healthz", &[], b"").unwrap().status, 200);
    }
}

#[test]
fn no_answer_is_sniffed_and_each_kind_says_how_it_is_cached() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x"]);
    let rows = [
        (200, format!("/api/deployments/{id}/lines"), Some("no-store")),
        (200, path(Transport::LongPoll, &id, ""), Some("no-store")),
        (204, path(Transport::LongPoll, &id, "?from=now&wait=0"), Some("no-store")),
        (200, path(Transport::ShortPoll, &id, ""), Some("no-cache")),
        (400, path(Transport::ShortPoll, &id, "?from=x"), Some("no-store")),
        (404, "/nothing".to_owned(), Some("no-store")),
        (200, "/".to_owned(), Some("no-cache")),
        (200, "/metrics".to_owned(), Some("no-store")),
    ];
    for (status, path, cache_control) in rows {
        let answer = server.get(&path);
        assert_eq!((answer.status, answer.header("cache-control")), (status, cache_control), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), None, "{path}");
    }
    let tag = server.get(&path(Transport::ShortPoll, &id, "")).header("etag").unwrap().to_owned();
    let not_modified =
        server.ask("GET", &path(Transport::ShortPoll, &id, ""), &[("if-none-match", &tag)], b"");
    let sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    let ndjson = server.stream(&path(Transport::Ndjson, &id, ""), &[]).unwrap();
    let socket = server.websocket(&path(Transport::Websocket, &id, ""), &[]).unwrap();
    let rows = [
        (&not_modified, 304, "no-cache"),
        (&sse.head, 200, "no-store"),
        (&ndjson.head, 200, "no-store"),
        (&socket.head, 101, "no-store"),
    ];
    for (answer, status, cache_control) in rows {
        assert_eq!((answer.status, answer.header("cache-control")), (status, Some(cache_control)));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    }
    assert_eq!(sse.head.header("content-type"), Some("text/event-stream"));
    assert_eq!(sse.head.header("x-accel-buffering"), Some("no"));
    assert_eq!(ndjson.head.header("content-type"), Some("application/x-ndjson"));
    assert!(cursor_of_entity_tag(&tag).is_some());
}

#[test]
fn requests_are_counted_by_outcome() {
    let server = Server::start();
    let id = server.create().id;
    let count = |transport: &str, outcome: &str| {
        server.metric(&format!("wirelab_requests_total{{transport=\"{transport}\",outcome=\"{outcome}\"}}"))
    };
    let counts = |transport: Transport| {
        ["data", "empty", "timeout", "refused", "error"].map(|outcome| count(transport.name(), outcome))
    };
    server.append(&id, &["x", "y"]);
    assert_eq!(server.metric("wirelab_lines_appended_total"), 2);

    for query in ["", "?from=now", "?from=x"] {
        server.get(&path(Transport::ShortPoll, &id, query));
        server.get(&path(
            Transport::LongPoll,
            &id,
            &format!("{query}{}wait=0", if query.is_empty() { "?" } else { "&" }),
        ));
    }
    let tag = server.get(&path(Transport::ShortPoll, &id, "?from=now")).header("etag").unwrap().to_owned();
    server.ask("GET", &path(Transport::ShortPoll, &id, ""), &[("if-none-match", &tag)], b"");
    assert_eq!(counts(Transport::ShortPoll), [1, 3, 0, 1, 0]);
    assert_eq!(counts(Transport::LongPoll), [1, 0, 1, 1, 0]);
    let delivered =
        |transport| server.metric(&format!("wirelab_lines_delivered_total{{transport=\"{transport}\"}}"));
    assert_eq!((delivered(Transport::ShortPoll), delivered(Transport::LongPoll)), (2, 2));

    let mut sse = server.stream(&path(Transport::Sse, &id, ""), &[]).unwrap();
    sse.until("\"y\"").unwrap();
    assert_eq!((counts(Transport::Sse), server.waiters(Transport::Sse)), ([1, 0, 0, 0, 0], 1));
    assert_eq!(delivered(Transport::Sse), 2);
    server.get(&path(Transport::Websocket, &id, "?from=x"));
    assert_eq!(counts(Transport::Websocket), [0, 0, 0, 1, 0]);
    server.finish(&id, Status::Succeeded);
    sse.rest().unwrap();
    server.get(&path(Transport::Sse, &id, "?from=now"));
    assert_eq!(counts(Transport::Sse), [1, 1, 0, 0, 0]);
    wait_until("the stream's waiter is gone", || server.waiters(Transport::Sse) == 0);

    let errors = count("api", "error");
    assert_eq!(errors, 0);
    assert!(count("api", "data") > 0);
    let up = server.metric("wirelab_bytes_total{transport=\"sse\",direction=\"up\"}");
    let down = server.metric("wirelab_bytes_total{transport=\"sse\",direction=\"down\"}");
    assert!(up > 100 && down > 300, "{up} {down}");
}

#[test]
fn lines_appended_counts_each_line_once_whoever_appends_it() {
    let server = Server::start();
    let id = server.create().id;
    let lines = format!("/api/deployments/{id}/lines");
    for _ in 0..2 {
        // The second is the same append again.
        let headers = [("content-type", "text/plain"), ("idempotency-key", "k1")];
        assert_eq!(server.ask("POST", &lines, &headers, b"a\nb\n").status, 201);
    }
    assert_eq!(server.metric("wirelab_lines_appended_total"), 2);
    let body = r#"{"name":"fed","source":{"kind":"generate","rate_hz":500}}"#;
    let fed: Deployment = server.post("/api/deployments", "application/json", body).json();
    wait_until("the source has fed", || server.show(&fed.id).lines >= 20);
    server.finish(&fed.id, Status::Cancelled);
    wait_until("each is counted", || {
        server.metric("wirelab_lines_appended_total").cast_unsigned() == 2 + server.show(&fed.id).lines
    });
}
