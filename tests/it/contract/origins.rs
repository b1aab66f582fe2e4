//! Pages of other origins may not write nor open sockets, unless they are listed (docs/protocol.md, "Who may ask").

use wirelab::context::ServerOptions;
use wirelab_clients::wire::Transport;

use crate::http::{Api, Headers, path};
use crate::server::{Server, Setup};

const LISTED: &str = "https://lab.example";

fn listing_server() -> Server {
    let mut setup = Setup::default();
    setup.options = ServerOptions { allow_origins: vec![LISTED.to_owned()], ..setup.options };
    setup.start()
}

/// The statuses of everything that changes something or opens a socket, asked from a page of `origin`.
fn statuses(api: &Api, origin: &str) -> Vec<u16> {
    let id = api.create().id;
    let origin: Headers = &[("origin", origin)];
    let post = |path: &str, kind: &str, body: &[u8]| {
        api.ask("POST", path, &[origin, &[("content-type", kind)]].concat(), body)
    };
    let upgraded = match api.websocket(&path(Transport::Websocket, &id, ""), origin) {
        Ok(socket) => socket.head.status,
        Err(answer) => answer.problem().unwrap().status,
    };
    vec![
        upgraded,
        post("/api/deployments", "application/json", b"{\"name\":\"x\"}").status,
        post(&format!("/api/deployments/{id}/lines"), "text/plain", b"x").status,
        post(&format!("/api/deployments/{id}/finish"), "application/json", b"{\"status\":\"failed\"}").status,
        api.ask("DELETE", &format!("/api/deployments/{id}"), origin, b"").status,
    ]
}

const DONE: [u16; 5] = [101, 201, 201, 200, 204];
const FORBIDDEN: [u16; 5] = [403; 5];

#[test]
fn a_page_of_another_origin_may_not_write() {
    let server = Server::start();
    let port = server.authority.split(':').nth(1).unwrap();
    let foreign = [
        "https://evil.example".to_owned(),
        format!("http://localhost:{port}"),
        "http://127.0.0.1".to_owned(),
        "http://127.0.0.1:1".to_owned(),
        format!("http://127.0.0.1:{port}.evil.example"),
        format!("ftp://{}", server.authority),
        "null".to_owned(),
        String::new(),
        LISTED.to_owned(),
    ];
    for origin in &foreign {
        assert_eq!(statuses(&server, origin), FORBIDDEN, "{origin:?}");
    }
    assert_eq!(statuses(&server, &format!("http://{}", server.authority)), DONE);
    assert_eq!(statuses(&server, &format!("https://{}", server.authority)), DONE);
}

#[test]
fn a_refused_write_changes_nothing() {
    let server = Server::start();
    let id = server.create().id;
    let headers: Headers = &[("origin", "https://evil.example"), ("content-type", "text/plain")];
    let answer = server.ask("POST", &format!("/api/deployments/{id}/lines"), headers, b"x\n");
    let problem = answer.problem().unwrap();
    assert!(problem.detail.contains("--allow-origin"), "{}", problem.detail);
    server.ask("DELETE", &format!("/api/deployments/{id}"), headers, b"");
    assert_eq!(server.show(&id).lines, 0);
}

#[test]
fn a_program_without_origin_may_do_everything() {
    let server = Server::start();
    let id = server.create().id;
    assert!(server.websocket(&path(Transport::Websocket, &id, ""), &[]).is_ok());
    server.append(&id, &["x"]);
    assert_eq!(server.ask("DELETE", &format!("/api/deployments/{id}"), &[], b"").status, 204);
}

#[test]
fn a_listed_origin_may_write_and_read_and_no_other_is_told_that_it_may() {
    let server = listing_server();
    assert_eq!(statuses(&server, LISTED), DONE);
    assert_eq!(statuses(&server, "https://evil.example"), FORBIDDEN);

    let allowed = |origin: &str| {
        let answer = server.ask("GET", "/api/deployments", &[("origin", origin)], b"");
        assert_eq!(answer.status, 200, "reading is not refused");
        answer.header("access-control-allow-origin").map(str::to_owned)
    };
    assert_eq!(allowed(LISTED).as_deref(), Some(LISTED));
    assert_eq!(allowed("https://evil.example"), None);
    let plain = Server::start();
    let answer = plain.ask("GET", "/api/deployments", &[("origin", LISTED)], b"");
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, None));
}

#[test]
fn a_listed_origin_may_read_the_headers_that_clients_need() {
    let server = listing_server();
    let id = server.create().id;
    let poll = path(Transport::ShortPoll, &id, "");
    let exposed = server.ask("GET", &poll, &[("origin", LISTED)], b"");
    let exposed = exposed.header("access-control-expose-headers").unwrap().to_ascii_lowercase();
    for name in ["etag", "location", "retry-after", "preference-applied"] {
        assert!(exposed.contains(name), "{name} is not in {exposed}");
    }
    let preflight = |origin: &str| {
        let headers: Headers = &[
            ("origin", origin),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "idempotency-key, content-type"),
        ];
        server.ask("OPTIONS", &format!("/api/deployments/{id}/lines"), headers, b"")
    };
    let answer = preflight(LISTED);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some(LISTED)));
    let answer = preflight("https://evil.example");
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert!(answer.text().contains("--allow-origin"), "{}", answer.text());
}

/// Credentials are the login of a person: a listed origin gets them only where that was asked for.
#[test]
fn a_listed_origin_may_not_ask_with_credentials_unless_it_is_listed_for_that() {
    let server = listing_server();
    let answer = server.ask("GET", "/api/deployments", &[("origin", LISTED), ("cookie", "a=b")], b"");
    assert_eq!(answer.header("access-control-allow-origin"), Some(LISTED));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    let preflight: Headers = &[("origin", LISTED), ("access-control-request-method", "POST")];
    let answer = server.ask("OPTIONS", "/api/deployments", preflight, b"");
    assert_eq!((answer.status, answer.header("access-control-allow-credentials")), (200, None));
}

/// Packages around `EventSource` and `fetch` send these, and ask with credentials.
#[test]
fn an_origin_listed_for_credentials_may_send_what_event_source_helpers_send() {
    let mut setup = Setup::default();
    setup.options = ServerOptions { allow_credentials: vec![LISTED.to_owned()], ..setup.options };
    let server = setup.start();
    assert_eq!(statuses(&server, LISTED), DONE, "it may do all that a listed origin may");
    let sse = path(Transport::Sse, &server.create().id, "");
    let asked = ["cache-control", "accept", "authorization", "last-event-id"];
    for headers in
        asked.into_iter().chain(["cache-control,last-event-id", "accept, authorization, cache-control"])
    {
        let preflight: Headers = &[
            ("origin", LISTED),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", headers),
        ];
        let answer = server.ask("OPTIONS", &sse, preflight, b"");
        assert_eq!(answer.status, 200, "{headers}: {}", answer.text());
        let allowed = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
        for name in headers.split(',').map(str::trim) {
            assert!(allowed.contains(name), "{name} is not in {allowed}");
        }
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert_eq!(answer.header("access-control-allow-origin"), Some(LISTED));
    }
    let headers: Headers = &[("origin", LISTED), ("cache-control", "no-cache"), ("cookie", "a=b")];
    let stream = server.stream(&sse, headers).unwrap();
    assert_eq!(stream.head.header("access-control-allow-credentials"), Some("true"));
    // A wildcard would be refused by browsers that ask with credentials.
    assert_eq!(stream.head.header("access-control-allow-origin"), Some(LISTED));
    let foreign = server.stream(&sse, &[("origin", "https://evil.example")]).unwrap();
    assert_eq!(foreign.head.header("set-cookie"), None);
    for name in ["allow-origin", "allow-credentials", "expose-headers"] {
        assert_eq!(
            foreign.head.header(&format!("access-control-{name}")),
            None,
            "{name} for an origin that is not listed"
        );
    }
}
