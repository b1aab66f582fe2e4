//! `POST …/lines`: what is a line, what is refused, and that a refusal appends nothing.

use serde_json::{Value, json};
use wirelab::store::disk::DiskStore;
use wirelab_clients::wire::{Appended, DeploymentId, LINE_BYTES_MAX, Problem, Status};

use crate::http::{Answer, Api, Headers, ndjson};
use crate::server::Server;

const NDJSON: &str = "application/x-ndjson";

fn post(api: &Api, id: &DeploymentId, kind: &str, body: impl AsRef<[u8]>) -> Answer {
    api.post(&format!("/api/deployments/{id}/lines"), kind, body)
}

/// The texts of a fresh log after one append.
fn split(api: &Api, kind: &str, body: impl AsRef<[u8]>) -> Vec<String> {
    let id = api.create().id;
    let answer = post(api, &id, kind, body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    texts(api, &id)
}

fn texts(api: &Api, id: &DeploymentId) -> Vec<String> {
    api.lines(id, "").lines.into_iter().map(|line| line.line.text).collect()
}

/// The problem, and that nothing was appended.
#[track_caller]
fn refused(api: &Api, status: u16, kind: &str, body: impl AsRef<[u8]>) -> Problem {
    let id = api.create().id;
    let problem = post(api, &id, kind, body).problem().unwrap();
    assert_eq!((problem.status, api.show(&id).lines), (status, 0), "{}", problem.detail);
    problem
}

#[test]
fn an_append_says_where_its_lines_are() {
    let server = Server::start();
    let id = server.create().id;
    let first: Appended = post(&server, &id, "text/plain", "a\nb\nc\n").json();
    assert_eq!((first.first, first.last, first.cursor.after), (1, 3, 3));
    let second = post(&server, &id, "text/plain; charset=utf-8", "d");
    assert_eq!((second.status, second.json::<Appended>().last), (201, 4));
    assert_eq!(server.show(&id).next, second.json::<Appended>().cursor);
    let lines = server.lines(&id, "").lines;
    assert!(lines.iter().all(|line| line.at_us > 1_600_000_000_000_000));
}

#[test]
fn plain_text_is_split_at_lf_and_nothing_else() {
    let server = Server::start();
    let rows: [(&str, &[&str]); 10] = [
        ("a", &["a"]),
        ("a\n", &["a"]),
        ("a\nb", &["a", "b"]),
        ("\n", &[""]),
        ("\n\n", &["", ""]),
        ("a\n\n", &["a", ""]),
        ("a\r\nb\r", &["a\r", "b\r"]),
        ("\u{feff}a\0b\n", &["\u{feff}a\0b"]),
        ("a\u{2028}b\u{85}c\u{b}d", &["a\u{2028}b\u{85}c\u{b}d"]),
        (" \n\t", &[" ", "\t"]),
    ];
    for (body, lines) in rows {
        assert_eq!(split(&server, "text/plain", body), lines, "{body:?}");
    }
    assert_eq!(split(&server, "Text/PLAIN ; charset=UTF-8", "a"), ["a"]);
}

#[test]
fn invalid_utf8_is_refused_with_its_place() {
    let server = Server::start();
    assert!(refused(&server, 400, "text/plain", b"good\nb\xffd\n").detail.contains("byte 6"));
    assert!(
        refused(&server, 400, "text/plain", "cut ü".as_bytes().split_last().unwrap().1)
            .detail
            .contains("byte 4")
    );
    refused(&server, 400, NDJSON, b"{\"text\":\"\xff\"}\n");
}

/// Editors and shells write it before JSON, where a parser may pass over it (RFC 8259 §8.1). In plain text it is text.
#[test]
fn one_byte_order_mark_before_json_is_no_part_of_it() {
    let server = Server::start();
    assert_eq!(
        split(&server, NDJSON, "\u{feff}{\"text\":\"a\"}\n{\"text\":\"\u{feff}b\"}\n"),
        ["a", "\u{feff}b"]
    );
    assert_eq!(split(&server, NDJSON, "\u{feff}\n{\"text\":\"a\"}"), ["a"]);
    assert_eq!(split(&server, "text/plain", "\u{feff}a"), ["\u{feff}a"]);
    let json = "application/json";
    let created = server.post("/api/deployments", json, "\u{feff}{\"name\":\"x\"}");
    assert_eq!(created.status, 201, "{}", created.text());
    let id = created.json::<wirelab_clients::wire::Deployment>().id;
    let finish = format!("/api/deployments/{id}/finish");
    assert_eq!(server.post(&finish, json, "\u{feff}{\"status\":\"failed\"}").status, 200);
    // One, and only at the start.
    assert_eq!(server.post("/api/deployments", json, "\u{feff}\u{feff}{\"name\":\"x\"}").status, 400);
    refused(&server, 400, NDJSON, "{\"text\":\"a\"}\n\u{feff}{\"text\":\"b\"}\n".as_bytes());
}

#[test]
fn ndjson_carries_any_text_and_its_stream_and_level() {
    let server = Server::start();
    let id = server.create().id;
    let body = concat!(
        r#"{"text":"a\nb\r\u0000","stream":"stderr","level":"warning","unknown":[1]}"#,
        "\n\r\n",
        r#"  {"text":"","stream":"stdout"}  "#,
        "\n",
        r#"{"text":"last, without LF"}"#,
    );
    assert_eq!(post(&server, &id, NDJSON, body).json::<Appended>().last, 3);
    let lines: Value = server.get(&format!("/api/deployments/{id}/lines")).json();
    let mut lines = lines["lines"].as_array().unwrap().clone();
    for line in &mut lines {
        line.as_object_mut().unwrap().remove("at_us");
    }
    assert_eq!(
        lines,
        [
            json!({"seq": 1, "text": "a\nb\r\0", "stream": "stderr", "level": "warning"}),
            json!({"seq": 2, "text": "", "stream": "stdout"}),
            json!({"seq": 3, "text": "last, without LF"}),
        ]
    );
}

#[test]
fn one_bad_line_refuses_all() {
    let server = Server::start();
    for bad in [
        r#"{"txet":"x"}"#,
        r#"{"text":7}"#,
        r#"{"text":null}"#,
        r#"{"text":"x""#,
        r#"["x"]"#,
        r#""x""#,
        "x",
        r#"{"text":"x","stream":"stdin"}"#,
        r#"{"text":"x"}{"text":"y"}"#,
        r#"{"text":"\ud800"}"#,
    ] {
        let problem = refused(&server, 400, NDJSON, format!("{{\"text\":\"good\"}}\n{bad}\n"));
        assert!(problem.detail.contains("line 2"), "{bad}: {}", problem.detail);
    }
    let level = json!({"text": "x", "level": "x".repeat(33)}).to_string();
    refused(&server, 400, NDJSON, level);
}

#[test]
fn a_body_without_a_line_is_refused() {
    let server = Server::start();
    refused(&server, 400, "text/plain", "");
    refused(&server, 400, NDJSON, "");
    refused(&server, 400, NDJSON, "\n \n");
}

#[test]
fn other_media_types_are_refused() {
    let server = Server::start();
    for kind in ["application/json", "text/html", "application/octet-stream", "", "text/plainish"] {
        refused(&server, 415, kind, "x\n");
    }
    let id = server.create().id;
    let answer = server.ask("POST", &format!("/api/deployments/{id}/lines"), &[], b"x\n");
    assert_eq!(answer.problem().unwrap().status, 415);
}

#[test]
fn a_line_of_a_mebibyte_is_taken_and_one_byte_more_is_not() {
    let server = Server::start();
    let largest = "x".repeat(LINE_BYTES_MAX);
    assert_eq!(split(&server, "text/plain", format!("{largest}\n")), [largest.as_str()]);
    refused(&server, 413, "text/plain", format!("fine\n{largest}x\n"));
    refused(&server, 413, NDJSON, ndjson(&["fine", &format!("{largest}x")]));
    // Decoded bytes count, not those of the JSON.
    assert_eq!(split(&server, NDJSON, ndjson(&["\0".repeat(LINE_BYTES_MAX)])).len(), 1);
    refused(&server, 413, "text/plain", "ü".repeat(LINE_BYTES_MAX / 2 + 1));
}

#[test]
fn a_body_of_more_than_8_mebibytes_is_refused() {
    let server = Server::start();
    let line = "x".repeat(1023) + "\n";
    assert_eq!(post(&server, &server.create().id, "text/plain", line.repeat(8 << 10)).status, 201);
    refused(&server, 413, "text/plain", line.repeat(8 << 10) + "x");
}

#[test]
fn a_hundred_thousand_lines_are_taken_and_one_more_is_not() {
    let server = Server::start();
    let id = server.create().id;
    assert_eq!(post(&server, &id, "text/plain", "\n".repeat(100_000)).json::<Appended>().last, 100_000);
    refused(&server, 413, "text/plain", "\n".repeat(100_001));
    refused(&server, 413, NDJSON, "{\"text\":\"\"}\n".repeat(100_001));
}

#[test]
fn pipelined_requests_are_applied_and_answered_in_order() {
    let server = Server::start();
    let id = server.create().id;
    let mut connection = server.connection();
    let path = format!("/api/deployments/{id}/lines");
    for number in 1..=100 {
        let body = format!("line {number}");
        connection.send("POST", &path, &[("content-type", "text/plain")], body.as_bytes()).unwrap();
    }
    let finish = format!("/api/deployments/{id}/finish");
    connection.send("POST", &finish, &[], br#"{"status":"succeeded"}"#).unwrap();
    for number in 1..=100 {
        assert_eq!(connection.answer("POST").unwrap().json::<Appended>().first, number);
    }
    assert_eq!(connection.answer("POST").unwrap().status, 200);
    let posted: Vec<_> = (1..=100).map(|number| format!("line {number}")).collect();
    assert_eq!(texts(&server, &id), posted);
}

fn keyed(api: &Api, id: &DeploymentId, key: &str, kind: &str, body: &str) -> Answer {
    let headers: Headers = &[("idempotency-key", key), ("content-type", kind)];
    api.ask("POST", &format!("/api/deployments/{id}/lines"), headers, body.as_bytes())
}

#[test]
fn a_repeated_key_gives_the_same_answer_and_appends_once() {
    let server = Server::start();
    let (id, other) = (server.create().id, server.create().id);
    let first: Appended = keyed(&server, &id, "k1", "text/plain", "a\nb\n").json();
    server.append(&id, &["between"]);
    let again = keyed(&server, &id, "k1", "text/plain", "a\nb\n");
    assert_eq!((again.status, again.json::<Appended>()), (201, first.clone()));
    assert_eq!(keyed(&server, &id, "k1", "text/plain", "c\n").problem().unwrap().status, 422);
    assert_eq!(keyed(&server, &other, "k1", "text/plain", "c\n").status, 201);
    server.finish(&id, Status::Succeeded);
    assert_eq!(keyed(&server, &id, "k1", "text/plain", "a\nb\n").json::<Appended>(), first);
    assert_eq!(texts(&server, &id), ["a", "b", "between"]);
}

#[test]
fn a_key_is_1_to_64_visible_characters() {
    let server = Server::start();
    let id = server.create().id;
    let longest = "~".repeat(64);
    assert_eq!(keyed(&server, &id, &longest, "text/plain", "a").status, 201);
    for key in ["", "two words", "tab\there", "ü", &"x".repeat(65)] {
        assert_eq!(keyed(&server, &id, key, "text/plain", "a").problem().unwrap().status, 400, "{key:?}");
    }
    let twice: Headers =
        &[("idempotency-key", "a"), ("idempotency-key", "b"), ("content-type", "text/plain")];
    let answer = server.ask("POST", &format!("/api/deployments/{id}/lines"), twice, b"x");
    assert_eq!(answer.problem().unwrap().status, 400);
    assert_eq!(server.show(&id).lines, 1);
}

#[test]
fn concurrent_twins_append_once_and_are_answered_alike() {
    let server = Server::start();
    let id = server.create().id;
    let answers: Vec<Appended> = std::thread::scope(|scope| {
        let twins: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| keyed(&server, &id, "twin", "text/plain", "a\nb\n").json()))
            .collect();
        twins.into_iter().map(|twin| twin.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(server.show(&id).lines, 2);
}

/// A twin that waits for the first use of its key sees an older head than that use leaves behind.
#[test]
fn lines_of_concurrent_twins_are_counted_once() {
    const KEYS: i64 = 20;
    let data = tempfile::tempdir().unwrap();
    // On disk a first use takes its time, so that the others come while it is under way.
    let server = Server::over(DiskStore::open(data.path().to_owned(), 0).unwrap());
    let id = server.create().id;
    for key in 0..KEYS {
        let key = format!("twin-{key}");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| assert_eq!(keyed(&server, &id, &key, "text/plain", "a\nb\n").status, 201));
            }
        });
    }
    assert_eq!(server.show(&id).lines.cast_signed(), 2 * KEYS);
    assert_eq!(server.metric("wirelab_lines_appended_total"), 2 * KEYS);
}
