//! What a server was started to offer: `--poll-advice` and `--transports`.

use std::time::Duration;

use serde_json::Value;
use wirelab_clients::wire::{Status, Transport, TransportInfo};

use crate::http::path;
use crate::server::{Server, Setup};

#[test]
fn pollers_without_news_are_advised_and_nobody_else() {
    let mut setup = Setup::default();
    setup.options.poll_advice = Some(Duration::from_secs(7));
    let server = setup.start();
    let id = server.create().id;
    let poll = |query: &str, tag: &str| {
        let headers = [("if-none-match", tag)];
        let answer = server.ask("GET", &path(Transport::ShortPoll, &id, query), &headers, b"");
        (answer.status, answer.header("retry-after").map(str::to_owned))
    };
    let advised = Some("7".to_owned());
    assert_eq!(poll("", "\"other\""), (200, advised.clone()));
    assert_eq!(poll("", "*"), (304, advised.clone()));
    let head = server.ask("HEAD", &path(Transport::ShortPoll, &id, ""), &[], b"");
    assert_eq!(head.header("retry-after"), Some("7"));

    server.append(&id, &["news"]);
    assert_eq!(poll("", "\"other\""), (200, None));
    assert_eq!(poll("?from=now", "\"other\""), (200, advised));
    assert_eq!(server.get(&path(Transport::LongPoll, &id, "?from=now&wait=0")).header("retry-after"), None);
    // Nothing more will come: there is nothing to stay away from.
    server.finish(&id, Status::Succeeded);
    assert_eq!(poll("?from=now", "\"other\""), (200, None));
    assert_eq!(poll("?from=now", "*"), (304, None));
}

#[test]
fn nobody_is_advised_by_default() {
    let server = Server::start();
    let id = server.create().id;
    assert_eq!(server.get(&path(Transport::ShortPoll, &id, "")).header("retry-after"), None);
}

#[test]
fn a_transport_that_is_not_served_is_as_unknown_as_any_path() {
    let mut setup = Setup::default();
    setup.options.transports = vec![Transport::ShortPoll, Transport::Ndjson];
    let server = setup.start();
    let id = server.create().id;
    assert_eq!(server.get(&path(Transport::ShortPoll, &id, "")).status, 200);
    for transport in Transport::ALL {
        if [Transport::ShortPoll, Transport::Ndjson].contains(&transport) {
            continue;
        }
        let answer = server.ask("GET", &path(transport, &id, ""), crate::http::upgrade(transport), b"");
        let problem = answer.problem().unwrap();
        assert_eq!(problem.status, 404, "{transport}");
        assert_eq!(
            problem.detail,
            format!("{transport} is not served here; choose one of short-poll, ndjson")
        );
        let refused = format!("wirelab_requests_total{{transport=\"{transport}\",outcome=\"refused\"}}");
        assert_eq!(server.metric(&refused), 1);
    }
    server.stream(&path(Transport::Ndjson, &id, ""), &[]).unwrap().until("hello").unwrap();

    let listed: Vec<TransportInfo> = server.get("/api/transports").json();
    assert_eq!(listed.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["short-poll", "ndjson"]);
    let described: Value = server.get("/openapi.json").json();
    for transport in Transport::ALL {
        let is_served = [Transport::ShortPoll, Transport::Ndjson].contains(&transport);
        assert_eq!(!described["paths"][transport.path()].is_null(), is_served, "{transport}");
    }
    assert_eq!(server.get("/").status, 200);
}
