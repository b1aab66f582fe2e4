//! The login and its cookie, and what pages of other origins can do with it: nothing.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use wirelab::context::ServerOptions;
use wirelab_clients::wire::Transport;

use super::*;
use crate::http::{Connection, SOON, UPGRADE};
use crate::server::wirelab;

const LISTED: &str = "https://lab.example";
const TRUSTED: &str = "https://board.example";

#[test]
fn a_login_gives_a_cookie_that_no_script_and_no_other_site_can_use() {
    let server = server();
    let answer = log_in(&server, READER);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let set = answer.header("set-cookie").unwrap();
    let attributes: Vec<_> = set.split("; ").skip(1).collect();
    assert_eq!(attributes, ["Path=/", "Max-Age=43200", "HttpOnly", "SameSite=Strict"]);
    assert!(!set.contains(READER), "the cookie is not the token: {set}");
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // Whitespace around a token that was copied does no harm.
    assert_eq!(server.ask("POST", "/login", FORM, format!("token=+{READER}%0A").as_bytes()).status, 303);
    let out = server.ask("POST", "/logout", &[], b"");
    let deleted = out.header("set-cookie").unwrap();
    assert!(out.status == 303 && deleted.contains("=; ") && deleted.contains("Max-Age=0"), "{deleted}");
}

#[test]
fn a_wrong_token_gets_no_cookie_and_a_person_gets_the_page_again() {
    let server = server();
    let answer = log_in(&server, UNKNOWN);
    assert_eq!(answer.problem().unwrap().status, 401);
    assert_eq!((answer.header("set-cookie"), answer.header("www-authenticate").is_some()), (None, true));
    let by_browser: Headers = &[FORM[0], ("accept", "text/html,application/xhtml+xml,*/*;q=0.8")];
    let answer = server.ask("POST", "/login", by_browser, format!("token={UNKNOWN}").as_bytes());
    assert_eq!((answer.status, answer.header("content-type")), (401, Some("text/html; charset=utf-8")));
    assert!(answer.text().contains("id=\"refused\" class") && !answer.text().contains(UNKNOWN));
    let page = server.get("/login");
    assert!(page.text().contains("id=\"refused\" hidden"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("form-action 'self'") && policy.contains("script-src 'none'"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
}

#[test]
fn every_transport_carries_the_cookie_and_what_it_may_not_do_is_refused() {
    let server = server();
    let id = created(&server);
    let cookie = cookie(&server, READER);
    let origin = format!("http://{}", server.authority);
    let page: Headers = &[("cookie", &cookie), ("origin", &origin), ("sec-fetch-site", "same-origin")];
    for transport in Transport::ALL {
        let path = transport.path().replace("{id}", &id) + "?wait=0";
        let headers = [crate::http::upgrade(transport), page].concat();
        let mut connection = server.connection();
        connection.send("GET", &path, &headers, b"").unwrap();
        let head = connection.head().unwrap();
        assert!([101, 200, 204].contains(&head.status), "{transport}: {head:?}");
        // Refused before the stream or the upgrade, as plain HTTP.
        let refused = server.ask("GET", &path, crate::http::upgrade(transport), b"");
        assert_eq!(refused.problem().unwrap().status, 401, "{transport}");
    }
    let refused = server.ask("DELETE", &format!("/api/deployments/{id}"), page, b"");
    let detail = refused.problem().unwrap().detail;
    assert!(refused.status == 403 && detail.contains("owner") && detail.contains("reader"), "{detail}");
}

/// What a page may try that its visitor's browser adds the cookie to: a form, a script, a socket.
#[test]
fn a_cookie_counts_for_no_write_that_another_page_makes() {
    let server = server();
    let id = created(&server);
    let cookie = cookie(&server, OWNER);
    let origin = format!("http://{}", server.authority);
    let lines = format!("/api/deployments/{id}/lines");
    let one = format!("/api/deployments/{id}");
    let socket = Transport::Websocket.path().replace("{id}", &id);
    let lanes = "/api/lanes/k3x9q2w7";
    // Over plain HTTP browsers do not send Sec-Fetch-Site; a form with `Referrer-Policy: no-referrer` says `null`.
    let foreign: [Headers; 8] = [
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1:1"), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", &origin), ("sec-fetch-site", "same-site")],
        &[("origin", ""), ("sec-fetch-site", "none")],
        &[],
    ];
    for headers in foreign {
        let ask = |method: &str, path: &str, more: Headers, body: &[u8]| {
            let answer =
                server.ask(method, path, &[&[("cookie", cookie.as_str())], headers, more].concat(), body);
            assert_eq!(answer.problem().unwrap().status, 403, "{method} {path} {headers:?}");
        };
        for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
            ask("POST", &lines, &[("content-type", kind)], b"x=y");
            ask("POST", "/api/deployments", &[("content-type", kind)], br#"{"name":"x"}"#);
        }
        ask("POST", &lines, &[], b"x");
        ask("DELETE", &one, &[], b"");
        ask("POST", "/api/lab/outage", &[("content-type", "text/plain")], br#"{"refuse_s":1}"#);
        ask("GET", &socket, UPGRADE, b"");
        ask("GET", lanes, UPGRADE, b"");
    }
    assert_eq!(lines_of(&server, &id), 0);
    for own in [
        &[("origin", origin.as_str())] as Headers,
        &[("sec-fetch-site", "same-origin")],
        &[("origin", &origin), ("sec-fetch-site", "same-origin")],
    ] {
        let headers = [&[("cookie", cookie.as_str()), ("content-type", "text/plain")], own].concat();
        assert_eq!(server.ask("POST", &lines, &headers, b"x").status, 201, "{own:?}");
        assert!(
            server.websocket(&socket, &[&[("cookie", cookie.as_str())], own].concat()).is_ok(),
            "{own:?}"
        );
    }
    // A program's token is no cookie: no browser adds it to what a page asks for.
    assert_eq!(ask_as(&server, OWNER, "POST", &lines, &[("content-type", "text/plain")], b"x").status, 201);
}

#[test]
fn a_name_that_was_made_to_lead_here_gets_nothing_with_any_cookie_or_token() {
    let server = server();
    let (cookie, bearer) = (cookie(&server, OWNER), bearer(OWNER));
    let port = server.authority.rsplit_once(':').unwrap().1;
    let host = format!("evil.example:{port}");
    let origin = format!("http://{host}");
    for way in [
        [("cookie", cookie.as_str()), ("origin", &origin)],
        [("authorization", &bearer), ("origin", &origin)],
    ] {
        for (method, path) in [("GET", "/api/deployments"), ("POST", "/api/deployments"), ("GET", "/api/lab")]
        {
            let socket = TcpStream::connect(&server.authority).unwrap();
            let mut connection = Connection::over(socket, &host, SOON).unwrap();
            let answer = connection.ask(method, path, &way, b"").unwrap();
            assert_eq!(answer.problem().unwrap().status, 421, "{method} {path} {way:?}");
        }
    }
}

#[test]
fn other_origins_use_a_cookie_only_if_they_are_listed_for_credentials() {
    let mut setup = setup();
    setup.options = ServerOptions {
        allow_origins: vec![LISTED.to_owned()],
        allow_credentials: vec![TRUSTED.to_owned()],
        ..setup.options
    };
    let server = setup.start();
    let id = created(&server);
    let (lines, cookie) = (format!("/api/deployments/{id}/lines"), cookie(&server, PUBLISHER));
    let append = |origin: &str, way: (&str, &str)| {
        let headers: Headers =
            &[way, ("origin", origin), ("sec-fetch-site", "same-site"), ("content-type", "text/plain")];
        server.ask("POST", &lines, headers, b"x")
    };
    let trusted = append(TRUSTED, ("cookie", &cookie));
    assert_eq!((trusted.status, trusted.header("access-control-allow-credentials")), (201, Some("true")));
    let listed = append(LISTED, ("cookie", &cookie));
    assert_eq!((listed.status, listed.header("access-control-allow-credentials")), (403, None));
    // By a token it may write: its script has been given one.
    assert_eq!(append(LISTED, ("authorization", &bearer(PUBLISHER))).status, 201);
    // A preflight has no credentials by nature.
    let preflight: Headers = &[
        ("origin", LISTED),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization"),
    ];
    assert_eq!(server.ask("OPTIONS", &lines, preflight, b"").status, 200);
}

#[test]
fn everybody_can_ask_who_they_are() {
    let server = server();
    let told = |headers: Headers| server.ask("GET", "/api/access", headers, b"").json::<serde_json::Value>();
    let with_role = |role: Option<&str>| serde_json::json!({ "has_tokens": true, "role": role });
    assert_eq!(told(&[]), with_role(None));
    assert_eq!(told(&[("authorization", &bearer(PUBLISHER))]), with_role(Some("publisher")));
    assert_eq!(told(&[("cookie", &cookie(&server, READER))]), with_role(Some("reader")));
    assert_eq!(told(&[("cookie", "wirelab_1=x")]), with_role(None));
    let over = cookie(&server, READER).replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(told(&[("cookie", &over)]), with_role(None));
    assert_eq!(server.ask("GET", "/api/access", &[("authorization", &bearer(UNKNOWN))], b"").status, 401);
    let open = Server::start();
    let told = open.get("/api/access").json::<serde_json::Value>();
    assert_eq!(told, serde_json::json!({ "has_tokens": false, "role": "owner" }));
}

/// By curl, which speaks TLS as a browser does: with `Secure` the cookie is never sent without it.
#[test]
fn over_tls_the_cookie_is_secure() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = wirelab();
    serve.args(["serve", "--bind", "127.0.0.1:0", "--store", "memory", "--access", "env"]);
    serve.args(["--tls", "self-signed", "--stop-at-stdin-end", "--tls-folder"]).arg(folder.path());
    serve.env("WIRELAB_ACCESS", token_lines()).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = serve.stderr(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(server.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let url = first.trim().strip_prefix("listening on ").unwrap();
    let curl = |arguments: &[&str]| {
        let output = Command::new("curl").args(["-sk", "-i"]).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let form = format!("token={READER}");
    let answer = curl(&["--data", &form, &format!("{url}/login")]);
    let set = answer.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    assert!(set.ends_with("; HttpOnly; SameSite=Strict; Secure"), "{set}");
    let cookie = format!("cookie: {}", set.split(';').next().unwrap());
    let listed = curl(&["--header", &cookie, &format!("{url}/api/deployments")]);
    assert!(listed.contains(" 200 ") && listed.trim_end().ends_with("[]"), "{listed}");
    // The page's own origin has another scheme now.
    let own = format!("origin: {url}");
    let ledgers = format!("{url}/api/deployments/x/finish");
    let refused = curl(&["--header", &cookie, "--header", &own, "--request", "POST", &ledgers]);
    assert!(refused.contains("needs the role publisher"), "{refused}");
    drop(server.stdin.take());
    assert!(server.wait().unwrap().success());
}
