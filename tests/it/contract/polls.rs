//! Short poll, long poll and the regular `lines`: batches, tags, holds.

use std::time::{Duration, Instant};

use wirelab_clients::wire::{Batch, Status, Transport};

use crate::http::path;
use crate::server::{Server, wait_until};

/// How long "at once" may take on a busy machine. Far below any hold asked for here.
const AT_ONCE: Duration = Duration::from_secs(2);

fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("line {number}")).collect()
}

#[test]
fn a_batch_ends_at_its_limit_and_says_that_there_is_more() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &numbered(600));
    server.finish(&id, Status::Succeeded);
    for target in ["lines", "short-poll", "long-poll"] {
        let get = |query: &str| server.get(&format!("/api/deployments/{id}/{target}{query}"));
        let shape = |query: &str| {
            let batch: Batch = get(query).json();
            (batch.lines.len(), batch.next.after, batch.more, batch.finished)
        };
        let epoch = server.show(&id).next.epoch;
        assert_eq!(shape(""), (512, 512, true, false), "{target}");
        assert_eq!(shape("?limit=1"), (1, 1, true, false), "{target}");
        assert_eq!(shape("?limit=9999"), (512, 512, true, false), "{target}");
        assert_eq!(shape(&format!("?from={epoch}.512")), (88, 600, false, true), "{target}");
        assert_eq!(shape(&format!("?from={epoch}.512&limit=87")), (87, 599, true, false), "{target}");
        assert_eq!(shape(&format!("?from={epoch}.600")), (0, 600, false, true), "{target}");
        for limit in ["0", "-1", "x", "", "1.0", "1&limit=1"] {
            assert_eq!(get(&format!("?limit={limit}")).problem().unwrap().status, 400, "{target} {limit:?}");
        }
    }
}

#[test]
fn a_batch_ends_at_256_kibibytes_but_holds_one_line() {
    let server = Server::start();
    let id = server.create().id;
    let large = "x".repeat(200 << 10);
    server.append(&id, &[large.as_str(), &"y".repeat(300 << 10), &large]);
    for seq in 1..=3 {
        let epoch = server.show(&id).next.epoch;
        let batch = server.lines(&id, &format!("?from={epoch}.{}", seq - 1));
        assert_eq!((batch.lines.len(), batch.next.after, batch.more), (1, seq, seq < 3));
    }
}

#[test]
fn a_short_poll_answers_at_once_and_304_only_when_its_tag_matches() {
    let server = Server::start();
    let id = server.create().id;
    let poll = |query: &str, tags: &[&str]| {
        let headers: Vec<_> = tags.iter().map(|tag| ("if-none-match", *tag)).collect();
        server.ask("GET", &path(Transport::ShortPoll, &id, query), &headers, b"")
    };
    let asked = Instant::now();
    let empty = poll("", &[]);
    assert!(asked.elapsed() < AT_ONCE);
    assert_eq!((empty.status, empty.json::<Batch>().lines.len()), (200, 0));
    let tag = empty.header("etag").unwrap();
    assert_eq!(tag, format!("\"{}\"", empty.json::<Batch>().next));

    let weak = format!("W/{tag}");
    for tags in [&[tag][..], &[&weak], &["*"], &["\"other\", \"k.1\"", tag], &[&format!("\"x\" , {tag},")]] {
        let answer = poll("", tags);
        assert_eq!(
            (answer.status, answer.header("etag"), answer.body.len()),
            (304, Some(tag), 0),
            "{tags:?}"
        );
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_eq!(answer.header("content-type"), None);
    }
    for tags in [&["\"other\""][..], &[tag.trim_matches('"')], &[""], &["\"\""]] {
        assert_eq!(poll("", tags).status, 200, "{tags:?}");
    }
    // Every append changes the tag, and so does the end.
    server.append(&id, &["x"]);
    let grown = poll("", &[tag]);
    assert_eq!((grown.status, grown.json::<Batch>().lines.len()), (200, 1));
    let tag = grown.header("etag").unwrap();
    server.finish(&id, Status::Failed);
    let ended = poll("?from=now", &[tag]);
    assert_eq!((ended.status, ended.json::<Batch>().finished), (200, true));
    assert_eq!(ended.header("etag"), Some(format!("{}.end\"", tag.trim_end_matches('"')).as_str()));
    assert_eq!(poll("?from=now", &[ended.header("etag").unwrap()]).status, 304);
}

#[test]
fn an_expired_hold_is_a_204_that_says_where_it_is() {
    let server = Server::start();
    let id = server.create().id;
    let cursor = server.append(&id, &["x"]).cursor;
    let asked = Instant::now();
    let expired = server.get(&path(Transport::LongPoll, &id, "?from=now&wait=0.3"));
    let took = asked.elapsed();
    assert_eq!((expired.status, expired.body.len()), (204, 0));
    assert_eq!(expired.header("etag"), Some(format!("\"{cursor}\"").as_str()));
    assert_eq!(expired.header("preference-applied"), None);
    assert!((Duration::from_millis(300)..AT_ONCE).contains(&took), "{took:?}");

    let asked = Instant::now();
    let at_once = server.get(&path(Transport::LongPoll, &id, "?from=now&wait=0"));
    assert_eq!(at_once.status, 204);
    assert!(asked.elapsed() < AT_ONCE);
}

#[test]
fn a_held_poll_is_answered_by_the_next_line() {
    let server = Server::start();
    let id = server.create().id;
    let mut held = server.connection();
    held.send("GET", &path(Transport::LongPoll, &id, "?wait=50"), &[], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    let asked = Instant::now();
    let cursor = server.append(&id, &["news"]).cursor;
    let answer = held.answer("GET").unwrap();
    assert!(asked.elapsed() < AT_ONCE);
    assert_eq!((answer.status, answer.json::<Batch>().next), (200, cursor.clone()));
    assert_eq!(answer.header("etag"), Some(format!("\"{cursor}\"").as_str()));

    // And by the end. `If-None-Match` is not for long polls.
    let tag = format!("\"{cursor}.end\"");
    held.send("GET", &path(Transport::LongPoll, &id, "?from=now"), &[("if-none-match", &tag)], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    server.finish(&id, Status::Succeeded);
    let answer = held.answer("GET").unwrap();
    assert_eq!((answer.status, answer.header("etag")), (200, Some(tag.as_str())));
    assert_eq!(answer.json::<Batch>(), Batch { lines: vec![], next: cursor, more: false, finished: true });
}

#[test]
fn two_held_polls_of_one_client_are_both_answered() {
    let server = Server::start();
    let id = server.create().id;
    let path = path(Transport::LongPoll, &id, "");
    let mut held: Vec<_> = (0..2).map(|_| server.connection()).collect();
    for connection in &mut held {
        connection.send("GET", &path, &[], b"").unwrap();
    }
    wait_until("both are held", || server.waiters(Transport::LongPoll) == 2);
    server.append(&id, &["x"]);
    for connection in &mut held {
        assert_eq!(connection.answer("GET").unwrap().json::<Batch>().lines.len(), 1);
    }
}

#[test]
fn a_pipelined_long_poll_is_answered_in_its_turn() {
    let server = Server::start();
    let id = server.create().id;
    let mut connection = server.connection();
    connection.send("GET", &path(Transport::LongPoll, &id, "?wait=50"), &[], b"").unwrap();
    connection.send("GET", "/readyz", &[], b"").unwrap();
    wait_until("the poll is held", || server.waiters(Transport::LongPoll) == 1);
    server.append(&id, &["x"]);
    assert_eq!(connection.answer("GET").unwrap().json::<Batch>().lines.len(), 1);
    assert!(connection.answer("GET").unwrap().text().contains("durable"));
}

#[test]
fn the_smaller_of_wait_and_preference_is_applied_and_told() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x"]);
    let poll = |query: &str, prefer: &[&str]| {
        let headers: Vec<_> = prefer.iter().map(|prefer| ("prefer", *prefer)).collect();
        let answer = server.ask("GET", &path(Transport::LongPoll, &id, query), &headers, b"");
        assert!(answer.status < 300, "{query} {prefer:?}");
        answer.header("preference-applied").map(str::to_owned)
    };
    let applied = |seconds: u32| Some(format!("wait={seconds}"));
    assert_eq!(poll("", &[]), None);
    assert_eq!(poll("?wait=7", &[]), None);
    assert_eq!(poll("", &["wait=25"]), applied(25));
    assert_eq!(poll("", &["respond-async, WAIT=9"]), applied(9));
    assert_eq!(poll("", &["respond-async", "wait=9"]), applied(9));
    assert_eq!(poll("", &["wait=9999"]), applied(55));
    assert_eq!(poll("?wait=30", &["wait=20"]), applied(20));
    assert_eq!(poll("?wait=10", &["wait=20"]), applied(10));
    for bad in ["wait=soon", "wait=-1", "wait=1.5", "wait", "wait=", "await=5"] {
        assert_eq!(poll("", &[bad]), None, "{bad}");
    }
}

#[test]
fn a_wait_that_is_none_is_refused() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x"]);
    for wait in ["", "-1", "x", "1e1", "inf", "NaN", ".5", "1,5", "0x1", "1&wait=1"] {
        let answer = server.get(&path(Transport::LongPoll, &id, &format!("?wait={wait}")));
        assert_eq!(answer.problem().unwrap().status, 400, "{wait:?}");
    }
    for wait in ["0", "0.0", "55", "55.0", "999999999999999999999"] {
        assert_eq!(
            server.get(&path(Transport::LongPoll, &id, &format!("?wait={wait}"))).status,
            200,
            "{wait:?}"
        );
    }
}

/// P3: a cache must ask each time; without `no-cache` it could guess a lifetime from other fields (RFC 9111 §4.2.2).
#[test]
fn a_short_polls_answer_is_revalidated_and_never_guessed() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x"]);
    let fresh = server.get(&path(Transport::ShortPoll, &id, ""));
    let tag = fresh.header("etag").unwrap().to_owned();
    let same = server.ask("GET", &path(Transport::ShortPoll, &id, ""), &[("if-none-match", &tag)], b"");
    assert_eq!((fresh.status, same.status), (200, 304));
    for answer in [fresh, same] {
        assert_eq!(answer.header("cache-control"), Some("no-cache"));
        assert_eq!(answer.header("etag"), Some(tag.as_str()));
        for guessed in ["expires", "last-modified", "age"] {
            assert_eq!(answer.header(guessed), None, "{guessed}");
        }
    }
}

/// P4.
#[test]
fn head_of_a_poll_tells_what_get_would() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x"]);
    let path = path(Transport::ShortPoll, &id, "");
    let tag = server.get(&path).header("etag").unwrap().to_owned();
    let mut connection = server.connection();
    for (headers, status) in [(&[][..], 200), (&[("if-none-match", tag.as_str())], 304)] {
        let head = connection.ask("HEAD", &path, headers, b"").unwrap();
        assert_eq!((head.status, head.header("etag")), (status, Some(tag.as_str())));
    }
    // The connection is in step: no body came after either head.
    assert_eq!(connection.ask("GET", &path, &[], b"").unwrap().json::<Batch>().lines.len(), 1);
}

/// L1.
#[test]
fn a_long_poll_for_lines_that_are_there_is_not_held() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x", "y"]);
    let impatient = server.impatient(AT_ONCE);
    let asked = impatient.try_ask("GET", &path(Transport::LongPoll, &id, "?wait=55"), &[], b"");
    assert_eq!(asked.expect("it is not held").json::<Batch>().lines.len(), 2);
}

/// L8: a wake-up that is lost would leave the poll held until the next append, and at the end for the whole hold.
#[test]
fn a_burst_of_ten_thousand_appends_loses_no_wake_up() {
    const APPENDS: usize = 10_000;
    let server = Server::start();
    let id = server.create().id;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut writer, lines) = (server.connection(), format!("/api/deployments/{id}/lines"));
            const PIPELINED: usize = 16;
            for _ in 0..APPENDS / PIPELINED {
                for _ in 0..PIPELINED {
                    writer.send("POST", &lines, &[("content-type", "text/plain")], b"x\n").unwrap();
                }
                for _ in 0..PIPELINED {
                    assert_eq!(writer.answer("POST").unwrap().status, 201);
                }
            }
        });
        let mut poller = server.connection();
        let (mut query, mut count) = (String::new(), 0);
        while count < APPENDS {
            let answer = poller.ask("GET", &path(Transport::LongPoll, &id, &query), &[], b"").unwrap();
            assert_eq!(answer.status, 200, "held to the end after {count} lines");
            let batch: Batch = answer.json();
            assert!(!batch.lines.is_empty(), "woken for nothing after {count} lines");
            count += batch.lines.len();
            query = format!("?from={}&wait=15", batch.next);
        }
        assert_eq!(count, APPENDS);
    });
}

/// HTTP/1.0 knows neither chunks nor connections that stay.
#[test]
fn a_poll_of_http_1_0_has_a_length_and_its_connection_ends() {
    let server = Server::start();
    let id = server.create().id;
    server.append(&id, &["x"]);
    for transport in [Transport::ShortPoll, Transport::LongPoll] {
        let answer = server.get_http_1_0(&path(transport, &id, ""));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let head = head.to_ascii_lowercase();
        assert!(
            head.contains(&format!("content-length: {}", body.len())) && !head.contains("chunked"),
            "{head}"
        );
        assert_eq!(serde_json::from_str::<Batch>(body).unwrap().lines.len(), 1);
    }
}
