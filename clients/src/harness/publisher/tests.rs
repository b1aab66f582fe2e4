//! The publisher against a small server of this file's own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

use super::*;
use crate::targets::profile::Profile;
use proptest::prelude::*;

const MS: Duration = Duration::from_millis(1);

/// Reads one request. Returns its head and its body's lines.
fn read_request(reader: &mut BufReader<TcpStream>) -> Option<(String, Vec<NewLine>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    Some((head, lines.map(|line| serde_json::from_slice(line).unwrap()).collect()))
}

fn created(first: Seq, last: Seq) -> String {
    let body = format!("{{\"first\":{first},\"last\":{last},\"cursor\":\"k.{last}\"}}");
    format!("HTTP/1.1 201 Created\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn refused(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} No\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// Starts a server that gives every connection to `serve`.
fn server(serve: impl Fn(BufReader<TcpStream>) + Send + 'static) -> PublisherTarget {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(BufReader::new(stream.unwrap()));
        }
    });
    PublisherTarget {
        addr,
        route: Route::Direct,
        server: addr.to_string().parse().unwrap(),
        append: Append::Contract { path: "/api/deployments/abcdefgh/lines".into() },
    }
}

/// Starts a server that answers every request well.
fn good_server() -> (PublisherTarget, mpsc::Receiver<(String, Vec<NewLine>)>) {
    let (requests, seen) = mpsc::channel();
    let next = AtomicU64::new(1);
    let target = server(move |mut reader| {
        while let Some((head, lines)) = read_request(&mut reader) {
            let first = next.fetch_add(lines.len() as u64, Ordering::Relaxed);
            let answer = created(first, first + lines.len() as u64 - 1);
            reader.get_mut().write_all(answer.as_bytes()).unwrap();
            let _ = requests.send((head, lines));
        }
    });
    (target, seen)
}

/// Makes numbered lines that are due at these milliseconds.
fn due_at(due_ms: &[u64]) -> Publication {
    let line = |(n, ms): (usize, &u64)| (Duration::from_millis(*ms), NewLine::plain(format!("line {n}")));
    let lines = due_ms.iter().enumerate().map(line).collect();
    Publication { lines, start: Instant::now(), warm_up: Duration::ZERO }
}

fn publish(target: PublisherTarget, publication: Publication) -> Published {
    Publisher::start(target, publication).unwrap().join()
}

#[test]
fn lines_arrive_in_order_and_those_of_one_instant_together() {
    let (target, seen) = good_server();
    let published = publish(target, due_at(&[0, 0, 0, 5, 6, 6]));
    assert_eq!(published.problem, None);
    assert_eq!(published.cost.is_some(), cfg!(target_os = "linux"), "both threads say what they cost");
    assert_eq!(published.lines_acknowledged, 6);
    assert_eq!((published.append.len(), published.send_lateness.len()), (6, 6));
    let requests: Vec<(String, Vec<NewLine>)> = seen.try_iter().collect();
    let texts: Vec<Vec<&str>> =
        requests.iter().map(|(_, lines)| lines.iter().map(|line| line.text.as_str()).collect()).collect();
    assert_eq!(texts, [vec!["line 0", "line 1", "line 2"], vec!["line 3"], vec!["line 4", "line 5"]]);
    let head = &requests[0].0;
    assert!(head.starts_with("POST /api/deployments/abcdefgh/lines HTTP/1.1\r\nHost: 127.0.0.1:"), "{head}");
    assert!(head.contains("\r\nContent-Type: application/x-ndjson\r\n"), "{head}");
}

#[test]
fn a_server_that_gives_up_on_an_idle_connection_is_connected_again() {
    let next = AtomicU64::new(0);
    let target = server(move |mut reader| {
        if next.fetch_add(1, Ordering::Relaxed) == 0 {
            reader.get_mut().write_all(refused(408, "").as_bytes()).unwrap();
            return;
        }
        while let Some((_, lines)) = read_request(&mut reader) {
            assert_eq!(lines.len(), 1);
            reader.get_mut().write_all(created(1, 1).as_bytes()).unwrap();
        }
    });
    // The line is due long after the server has closed, and after the moment at which the publisher looks.
    let published = publish(target, due_at(&[600]));
    assert_eq!((published.problem, published.lines_acknowledged), (None, 1));
    assert_eq!(published.connections_opened, 2);
}

/// This promise makes the loop open.
#[test]
fn no_answer_is_waited_for() {
    let target = server(|mut reader| {
        // Answers nothing before it has everything.
        for _ in 0..5 {
            read_request(&mut reader).unwrap();
        }
        for seq in 1..=5 {
            reader.get_mut().write_all(created(seq, seq).as_bytes()).unwrap();
        }
        read_request(&mut reader);
    });
    let published = publish(target, due_at(&[0, 10, 20, 30, 40]));
    assert_eq!((published.problem, published.lines_acknowledged), (None, 5));
    // The first was answered only after the last was sent.
    let [append_us, late_us] =
        [&published.append, &published.send_lateness].map(|times| times.quantile_us(1.0).unwrap());
    assert!(append_us + late_us >= 40_000, "{append_us} and {late_us}");
}

#[test]
fn a_line_is_never_sent_before_it_is_due() {
    let (arrivals, arrived) = mpsc::channel();
    let target = server(move |mut reader| {
        while let Some((_, lines)) = read_request(&mut reader) {
            lines.iter().for_each(|_| arrivals.send(Instant::now()).unwrap());
        }
    });
    let publication = Publication { start: Instant::now() + 20 * MS, ..due_at(&[0, 3, 3, 25, 40]) };
    Publisher::start(target, publication.clone()).unwrap();
    for (due, _) in publication.lines.iter() {
        let (due, at) = (publication.start + *due, arrived.recv_timeout(Duration::from_secs(60)).unwrap());
        assert!(at >= due, "sent {:?} early", due - at);
    }
}

#[test]
fn warm_up_lines_are_sent_but_not_measured() {
    let (target, _seen) = good_server();
    let published = publish(target, Publication { warm_up: 5 * MS, ..due_at(&[0, 4, 5, 6]) });
    assert_eq!(published.lines_acknowledged, 4);
    assert_eq!((published.append.len(), published.send_lateness.len()), (2, 2));
}

#[test]
fn a_schedule_in_the_past_shows_as_lateness() {
    let (target, _seen) = good_server();
    let start = Instant::now() - Duration::from_secs(1);
    let published = publish(target, Publication { start, ..due_at(&[0]) });
    assert!(published.send_lateness.quantile_us(1.0).unwrap() >= 999_000);
}

#[test]
fn a_wrong_answer_is_reported_and_ends_the_publication() {
    let problem =
        r#"{"type":"about:blank","title":"Conflict","status":409,"detail":"deployment x has ended"}"#;
    for (answers, said, acknowledged) in [
        (refused(409, problem), "lines 1 to 1 were refused with 409: deployment x has ended", 0),
        (refused(404, ""), "lines 1 to 1 were refused with 404 and an empty body; check the path", 0),
        (refused(500, "oops"), "lines 1 to 1 were refused with 500: oops", 0),
        (created(7, 7), "lines 1 to 1 became lines 7 to 7: another client writes", 0),
        (created(1, 1).replace("content-length", "x"), "an answer with status 201 has no Content-Length", 0),
        ("SSH-2.0-OpenSSH\r\n\r\n".to_owned(), "the answer is not HTTP", 0),
        (refused(201, "{}"), "the server sent an invalid answer to lines 1 to 1: ", 0),
        (created(1, 1) + &created(2, 2), "the server sent an answer without a request, status 201", 1),
    ] {
        let target = server(move |mut reader| {
            read_request(&mut reader);
            reader.get_mut().write_all(answers.as_bytes()).unwrap();
            while read_request(&mut reader).is_some() {}
        });
        // The second line is due much later: a publisher that knows it has failed does not sleep until then.
        let (began, published) = (Instant::now(), publish(target, due_at(&[0, 60_000])));
        let problem = published.problem.unwrap();
        assert!(problem.contains(said), "{problem:?} instead of {said:?}");
        assert_eq!(published.lines_acknowledged, acknowledged, "{problem}");
        assert!(began.elapsed() < Duration::from_secs(30), "{problem}");
    }
}

#[test]
fn a_server_that_goes_away_is_reported() {
    let target = server(|mut reader| {
        read_request(&mut reader);
    });
    let published = publish(target.clone(), due_at(&[0]));
    let problem = published.problem.unwrap();
    assert_eq!(problem, "the server closed the connection with 1 appends unanswered");
    assert_eq!(published.lines_acknowledged, 0);
}

#[test]
fn a_server_that_is_not_there_is_an_error_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let target = PublisherTarget {
        addr,
        route: Route::Direct,
        server: "x:1".parse().unwrap(),
        append: Append::Contract { path: "/".into() },
    };
    assert!(Publisher::start(target, due_at(&[0])).is_err());
}

#[test]
fn answers_are_waited_for_only_so_long() {
    let target = server(|mut reader| while read_request(&mut reader).is_some() {});
    let mut connection = Connection::open(&target).unwrap();
    let line = NewLine::plain("x");
    let post = Post { first: 1, last: 1, asked: Instant::now(), measured: true };
    connection.send(post, &encode(&target, [&line].into_iter())).unwrap();
    let answers = connection.finish(50 * MS);
    assert_eq!(answers.problem.unwrap(), "1 appends were not answered in time");
}

/// Servers close idle connections, and a request sent into that close would be lost.
#[test]
fn a_silence_is_followed_by_a_new_connection() {
    let (target, seen) = good_server();
    let silence_ms = (IDLE_MAX + 50 * MS).as_millis() as u64;
    let published = publish(target, due_at(&[0, silence_ms]));
    assert_eq!((published.problem, published.lines_acknowledged), (None, 2));
    assert_eq!(published.connections_opened, 2);
    assert_eq!(seen.try_iter().count(), 2);
}

#[test]
fn a_server_may_close_an_idle_connection() {
    let next = AtomicU64::new(1);
    let target = server(move |mut reader| {
        if read_request(&mut reader).is_some() {
            let seq = next.fetch_add(1, Ordering::Relaxed);
            reader.get_mut().write_all(created(seq, seq).as_bytes()).unwrap();
        }
    });
    let published = publish(target, due_at(&[0, 500, 1_000]));
    assert_eq!((published.problem, published.lines_acknowledged), (None, 3));
    assert_eq!(published.connections_opened, 3);
}

/// Makes the target one that a profile describes.
fn profiled(target: PublisherTarget, pipelining: Pipelining) -> PublisherTarget {
    let text = r#"
about = "A test's."
url = "http://127.0.0.1:1"
publish = { method = "PUT", path = "/logs/{deployment}", content_type = "text/x", body = '{"t":{json}}' }
subscribe = { wire = "sse", path = "/" }
"#;
    let publish = PublishRequest { pipelining, ..Profile::parse("test", text).unwrap().publish };
    PublisherTarget { append: Append::Profile { publish, deployment: "web".into() }, ..target }
}

/// Reads one request whole. Returns its head and its body.
fn read_raw(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    Some((head, String::from_utf8(body).unwrap()))
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
const CLOSING: &str = "HTTP/1.0 200 OK\r\n\r\nok";

#[test]
fn a_profile_gets_a_request_per_line_as_it_says() {
    let (requests, seen) = mpsc::channel();
    let target = server(move |mut reader| {
        while let Some(request) = read_raw(&mut reader) {
            reader.get_mut().write_all(CHUNKED.as_bytes()).unwrap();
            requests.send(request).unwrap();
        }
    });
    let published = publish(profiled(target, Pipelining::Pipelined), due_at(&[0, 0, 5]));
    assert_eq!((published.problem, published.lines_acknowledged), (None, 3));
    let requests: Vec<_> = seen.try_iter().collect();
    let bodies: Vec<_> = requests.iter().map(|(_, body)| body.as_str()).collect();
    assert_eq!(bodies, [r#"{"t":"line 0"}"#, r#"{"t":"line 1"}"#, r#"{"t":"line 2"}"#]);
    assert!(requests[0].0.starts_with("PUT /logs/web HTTP/1.1\r\nHost: "), "{}", requests[0].0);
    assert!(requests[0].0.contains("\r\nContent-Type: text/x\r\n"), "{}", requests[0].0);
}

#[test]
fn a_server_that_closes_after_each_answer_gets_one_at_a_time_in_order() {
    let (requests, seen) = mpsc::channel();
    let target = server(move |mut reader| {
        let (_, body) = read_raw(&mut reader).unwrap();
        requests.send(body).unwrap();
        thread::sleep(20 * MS);
        reader.get_mut().write_all(CLOSING.as_bytes()).unwrap();
    });
    let published = publish(profiled(target.clone(), Pipelining::OneAtATime), due_at(&[0, 0, 0, 0]));
    assert_eq!((published.problem, published.lines_acknowledged), (None, 4));
    assert_eq!(published.connections_opened, 4);
    let bodies: Vec<_> = seen.try_iter().collect();
    assert_eq!(bodies, [0, 1, 2, 3].map(|n| format!(r#"{{"t":"line {n}"}}"#)));
    // The last request waited for three others. That is the server's time: it is in the append and not in the lateness.
    assert!(published.append.quantile_us(1.0).unwrap() >= 80_000);
    assert!(published.send_lateness.quantile_us(1.0).unwrap() < published.append.quantile_us(1.0).unwrap());

    // With pipelining the server breaks, and the error names the remedy.
    let published = publish(profiled(target, Pipelining::Pipelined), due_at(&[0, 0, 0, 0]));
    let problem = published.problem.unwrap();
    assert!(problem.contains("publish.pipelining = false") || problem.contains("cannot send"), "{problem}");
}

/// Otherwise the time to connect would be in the time of the next line.
#[test]
fn a_server_that_closes_after_each_answer_is_connected_again_long_before_the_next_line() {
    let (connections, accepted) = mpsc::channel();
    let target = server(move |mut reader| {
        connections.send(()).unwrap();
        if read_raw(&mut reader).is_some() {
            reader.get_mut().write_all(CLOSING.as_bytes()).unwrap();
        }
    });
    // The third line is due long after the test has ended.
    let target = profiled(target, Pipelining::OneAtATime);
    Publisher::start(target, due_at(&[0, 50, 600_000])).unwrap();
    for connection in 1..=3 {
        let seen = accepted.recv_timeout(Duration::from_secs(60));
        assert_eq!(seen, Ok(()), "connection {connection}");
    }
}

#[test]
fn a_server_that_closes_unused_connections_is_not_connected_to_without_end() {
    let next = AtomicU64::new(0);
    let target = server(move |mut reader| {
        // Answers on the first, and drops all others at once.
        if next.fetch_add(1, Ordering::Relaxed) == 0 && read_raw(&mut reader).is_some() {
            reader.get_mut().write_all(CLOSING.as_bytes()).unwrap();
        }
    });
    let published = publish(profiled(target, Pipelining::OneAtATime), due_at(&[0, 600]));
    assert_eq!((published.problem.is_some(), published.lines_acknowledged), (true, 1));
    // The first connection, one after its answer, one shortly before the line is due and one when it is due.
    assert!(published.connections_opened <= 4, "{}", published.connections_opened);
}

#[test]
fn only_the_wait_for_an_answer_is_not_the_harnesss_lateness() {
    let start = Instant::now();
    for (due, free_since, sent, late) in [
        // Nothing was in the way.
        (10, None, 10, 0),
        (10, None, 13, 3),
        // Free before the line was due: a late wake-up, or connecting too late, is the harness's lateness.
        (10, Some(4), 13, 3),
        (10, Some(10), 13, 3),
        // The answer came after the line was due: from then on the lateness is the harness's.
        (10, Some(12), 13, 1),
        (10, Some(13), 13, 0),
        (10, Some(14), 13, 0),
    ] {
        let told = lateness(start + due * MS, free_since.map(|at: u32| start + at * MS), start + sent * MS);
        assert_eq!(told, late * MS, "due {due}, free since {free_since:?}, sent {sent}");
    }
}

#[test]
fn a_connection_that_replaces_another_is_free_as_much_later_as_connecting_took() {
    let (target, _seen) = good_server();
    assert_eq!(Connection::open(&target).unwrap().free_since(), None);
    let began = Instant::now();
    let before = began - Duration::from_secs(5);
    let replacing = Connection::open_after(&target, Some(before)).unwrap();
    let connecting = replacing.free_since().unwrap() - before;
    assert!(connecting > Duration::ZERO && connecting <= began.elapsed(), "{connecting:?}");
}

#[test]
fn a_profiles_server_that_refuses_is_reported() {
    let target = server(|mut reader| {
        read_raw(&mut reader);
        reader.get_mut().write_all(refused(404, "no such room").as_bytes()).unwrap();
    });
    let published = publish(profiled(target, Pipelining::OneAtATime), due_at(&[0]));
    assert_eq!(published.problem.unwrap(), "lines 1 to 1 were refused with 404: no such room");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn posts_keep_every_line_in_order_within_bounds(
        lines in proptest::collection::vec((0..3u64, 0..3usize), 0..1_500),
    ) {
        let mut due = Duration::ZERO;
        let text = |size: usize| NewLine::plain("x".repeat([0, 2_000, POST_BYTES_MAX / 2][size]));
        let lines: Vec<(Duration, NewLine)> = lines
            .into_iter()
            // Mostly bursts.
            .map(|(gap, size)| { due += MS * (gap as u32 / 2); (due, text(if size == 2 && gap > 0 { 2 } else { size % 2 })) })
            .collect();
        let posts: Vec<_> = Posts { lines: &lines, lines_max: POST_LINES_MAX }.collect();
        prop_assert_eq!(posts.concat().len(), lines.len());
        let mut at = 0;
        for post in &posts {
            prop_assert!(std::ptr::eq(post.as_ptr(), &lines[at]), "the next POST begins where the last ended");
            prop_assert!(!post.is_empty() && post.len() <= POST_LINES_MAX);
            prop_assert!(post.iter().all(|(due, _)| *due == post[0].0));
            let bytes: usize = post.iter().map(|(_, line)| line.text.len()).sum();
            prop_assert!(post.len() == 1 || bytes <= POST_BYTES_MAX);
            at += post.len();
        }
        // There are no more posts than needed: lines of one instant were not split without a reason.
        for pair in posts.windows(2).filter(|pair| pair[0][0].0 == pair[1][0].0) {
            let bytes: usize = pair[0].iter().chain(&pair[1][..1]).map(|(_, line)| line.text.len()).sum();
            prop_assert!(pair[0].len() == POST_LINES_MAX || bytes > POST_BYTES_MAX);
        }
    }
}
