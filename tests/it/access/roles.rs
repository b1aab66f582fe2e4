//! Every role against every call of `/openapi.json`: exactly the roles that suffice are let through.

use wirelab::access::Role;
use wirelab::context::WebsocketEngine;
use wirelab_clients::wire::{ServerFrame, Transport};

use super::*;
use crate::http::{TEXT, UPGRADE};
use crate::http2::Http2;
use crate::openapi::Document;

/// Who asks, and what that counts for.
const ASKERS: [(Option<&str>, Option<Role>); 5] = [
    (None, None),
    (Some(UNKNOWN), None),
    (Some(READER), Some(Role::Reader)),
    (Some(PUBLISHER), Some(Role::Publisher)),
    (Some(OWNER), Some(Role::Owner)),
];

/// Operations that the description has at least. A walk over none would prove nothing.
const OPERATIONS_MIN: usize = 50;

/// The role that a call needs by its description. A call without a word about it was forgotten in `src/access/calls.rs`.
fn described_role(document: &Document, method: &str, template: &str) -> Option<Role> {
    let operation = &document.0["paths"][template][method.to_lowercase()];
    let role = operation["x-role"].as_str();
    let role = role.unwrap_or_else(|| panic!("{method} {template} has no role in src/access/calls.rs"));
    let schemes = operation["security"].as_array().unwrap_or_else(|| panic!("{method} {template}: security"));
    if role == "none" {
        assert!(schemes.is_empty(), "{method} {template} is open and asks for {schemes:?}");
        return None;
    }
    let known = document.0["components"]["securitySchemes"].as_object().unwrap();
    assert_eq!(schemes.len(), known.len(), "{method} {template}");
    Some(Role::of(role).unwrap())
}

#[test]
fn every_call_lets_through_exactly_the_roles_that_suffice() {
    let server = server();
    let document = Document::of(&server);
    let cookies: Vec<_> = ASKERS
        .iter()
        .map(|(token, has)| token.filter(|_| has.is_some()).map(|token| cookie(&server, token)))
        .collect();
    let origin = format!("http://{}", server.authority);
    let mut walked = 0;
    for (template, methods) in document.paths() {
        for method in methods {
            walked += 1;
            let needed = described_role(&document, &method, template);
            let is_socket = template.ends_with("/websocket") || template.starts_with("/api/lanes/");
            let upgrade: Headers = if is_socket { UPGRADE } else { &[] };
            for ((token, has), cookie) in ASKERS.iter().zip(&cookies) {
                let by_token = token.map(|token| vec![("authorization".to_owned(), bearer(token))]);
                let by_cookie = cookie.as_ref().map(|cookie| {
                    vec![("cookie".to_owned(), cookie.clone()), ("origin".to_owned(), origin.clone())]
                });
                let mut ways: Vec<Vec<(String, String)>> =
                    [by_token, by_cookie].into_iter().flatten().collect();
                if token.is_none() {
                    ways.push(Vec::new());
                }
                for way in ways {
                    // An ended log holds nothing open.
                    let id = created(&server);
                    let json: Headers = &[("content-type", "application/json")];
                    let finish = format!("/api/deployments/{id}/finish");
                    ask_as(&server, OWNER, "POST", &finish, json, br#"{"status":"failed"}"#);
                    let path = template.replace("{id}", &id).replace("{page}", "k3x9q2w7");
                    let way: Vec<_> =
                        way.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                    let headers = [upgrade, &way].concat();
                    let answer = server.ask(&method, &path, &headers, b"");
                    let case = format!("{method} {template} by {has:?}, {way:?}: {answer:?}");
                    match (needed, *has) {
                        (None, _) => assert!(answer.status != 403, "{case}"),
                        (Some(_), None) => {
                            assert_eq!(answer.status, 401, "{case}");
                            assert!(
                                answer.header("www-authenticate").unwrap().starts_with("Bearer"),
                                "{case}"
                            );
                            document.check(&method, template, &answer);
                        }
                        (Some(needed), Some(has)) if has < needed => {
                            assert_eq!(answer.status, 403, "{case}");
                            document.check(&method, template, &answer);
                            if method != "HEAD" {
                                let detail = answer.problem().unwrap().detail;
                                assert!(detail.contains(needed.name()), "{case}: {detail}");
                            }
                        }
                        (Some(_), Some(_)) => assert!(![401, 403, 429].contains(&answer.status), "{case}"),
                    }
                }
            }
        }
    }
    assert!(walked >= OPERATIONS_MIN, "only {walked} operations");
}

/// Both protocols ask one function; a change that parts them is seen here.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn roles_hold_over_http_2_as_well() {
    let server = server();
    let id = created(&server);
    let path = format!("/api/deployments/{id}");
    let mut http2 = Http2::open(&server.authority).await;
    assert_eq!(http2.get(&path).await.problem().unwrap().status, 401);
    for (token, read, deleted) in
        [(UNKNOWN, 401, 401), (READER, 200, 403), (PUBLISHER, 200, 403), (OWNER, 200, 204)]
    {
        let bearer = bearer(token);
        let by_token: Headers = &[("authorization", &bearer)];
        assert_eq!(http2.ask("GET", &path, by_token, b"").await.status, read, "{token}");
        assert_eq!(http2.ask("DELETE", &path, by_token, b"").await.status, deleted, "{token}");
    }
}

/// Written beside the table on purpose: a change of what a role may do is seen here.
#[test]
fn readers_follow_publishers_write_and_owners_delete() {
    let server = server();
    let document = Document::of(&server);
    let role = |method: &str, template: &str| described_role(&document, method, template);
    let one = "/api/deployments/{id}";
    for transport in Transport::ALL {
        assert_eq!(role("GET", &transport.path()), Some(Role::Reader));
    }
    for path in ["/api/deployments", one, "/api/deployments/{id}/lines", "/metrics", "/api/lanes/{page}"] {
        assert_eq!(role("GET", path), Some(Role::Reader), "{path}");
    }
    for path in ["/api/deployments", "/api/deployments/{id}/lines", "/api/deployments/{id}/finish"] {
        assert_eq!(role("POST", path), Some(Role::Publisher), "{path}");
    }
    assert_eq!(role("DELETE", one), Some(Role::Owner));
    let of_lab = document.paths().filter(|(path, _)| path.starts_with("/api/lab"));
    for (path, methods) in of_lab {
        for method in methods {
            assert_eq!(role(&method, path), Some(Role::Owner), "{method} {path}");
        }
    }
    let open = document.paths().flat_map(|(path, methods)| methods.into_iter().map(move |m| (m, path)));
    let open: Vec<_> =
        open.filter(|(method, path)| role(method, path).is_none()).map(|(_, path)| path).collect();
    for path in open {
        let is_known = ["/healthz", "/readyz", "/openapi.json", "/login", "/logout", "/api/access"];
        assert!(is_known.contains(&path.as_str()), "{path} is open to everybody");
    }
}

#[test]
fn what_is_not_there_is_for_owners_alone_and_the_page_is_for_all() {
    let server = server();
    for path in ["/api/new", "/nothing", "/login.html", "/api/deployments/x/y", "/api/lab/x", "//healthz"] {
        assert_eq!(server.get(path).status, 401, "{path}");
        assert_eq!(ask_as(&server, PUBLISHER, "GET", path, &[], b"").status, 403, "{path}");
        assert_eq!(ask_as(&server, OWNER, "GET", path, &[], b"").status, 404, "{path}");
    }
    for path in ["/", "/lab.js", "/transports/sse.js", "/lab.css", "/login", "/healthz", "/healthz?lane="] {
        assert_ne!(server.get(path).status, 401, "{path}");
    }
    // An escaped path is the same call.
    assert_eq!(server.ask("DELETE", "/api/deployments/%78", &[], b"").status, 401);
    assert_eq!(ask_as(&server, READER, "DELETE", "/%61pi/deployments/x", &[], b"").status, 403);
    assert_eq!(ask_as(&server, READER, "POST", "/api/deployments/x/line%73", &[], b"x").status, 403);
}

/// Reading is not writing, also where both share a connection.
#[test]
fn a_reader_cannot_publish_over_a_websocket() {
    for engine in WebsocketEngine::ALL {
        let mut setup = setup();
        setup.options.websocket_engine = engine;
        let server = setup.start();
        let id = created(&server);
        let path = Transport::Websocket.path().replace("{id}", &id);
        let publish = format!(r#"{{"type":"publish","deployment":"{id}","text":"x","ref":7}}"#);
        let said = |token: &str| {
            let bearer = bearer(token);
            let mut socket = server.websocket(&path, &[("authorization", &bearer)]).unwrap();
            socket.send(TEXT, publish.as_bytes()).unwrap();
            loop {
                match socket.told().unwrap() {
                    ServerFrame::Error { problem, .. } => return Some(problem),
                    ServerFrame::Published { .. } => return None,
                    _ => {}
                }
            }
        };
        let refused = said(READER).unwrap();
        assert_eq!(refused.status, 403);
        assert!(refused.detail.contains("publisher"), "{}", refused.detail);
        assert_eq!(lines_of(&server, &id), 0);
        assert!(said(PUBLISHER).is_none());
        assert_eq!(lines_of(&server, &id), 1);
    }
}
