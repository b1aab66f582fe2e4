//! Who is let in: each rule, over HTTP/1.1 and HTTP/2, by requests as browsers, proxies and strangers send them.

use std::io::Read;
use std::net::{IpAddr, TcpStream};

use super::calls;
use crate::http::{Answer, Api, Connection, Headers, SOON};
use crate::http2::Http2;
use crate::nginx::{Nginx, documented_locations};
use crate::server::{Binary, Server, Setup, own_address};

const LISTED: &str = "https://lab.example";

/// A server that lets pages of [`LISTED`] do what pages may.
fn listing_server() -> Server {
    let mut setup = Setup::default();
    setup.options.allow_origins = vec![LISTED.to_owned()];
    setup.start()
}

fn port(api: &Api) -> &str {
    api.authority.rsplit_once(':').unwrap().1
}

/// An answer to a request that calls the server `host`.
fn called(api: &Api, host: &str, path: &str, headers: Headers) -> Answer {
    let socket = TcpStream::connect(&api.authority).unwrap();
    Connection::over(socket, host, SOON).unwrap().ask("GET", path, headers, b"").unwrap()
}

/// The same over HTTP/2, where the name stands in `:authority`.
async fn called_over_http2(api: &Api, host: &str, path: &str, headers: Headers<'_>) -> Answer {
    let mut connection = Http2::open(&api.authority).await;
    host.clone_into(&mut connection.authority);
    connection.ask("GET", path, headers, b"").await
}

#[track_caller]
fn refused(answer: &Answer, because: &str) {
    let problem = answer.problem().unwrap();
    assert_eq!(problem.status, 403, "{because}: {}", problem.detail);
    assert!(problem.detail.contains(because), "{because}: {}", problem.detail);
    assert!(problem.detail.contains("http://localhost"), "no remedy in {}", problem.detail);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn its_own_page_and_programs_at_this_machine_are_let_in() {
    let server = Server::start();
    let port = port(&server);
    for name in ["127.0.0.1", "localhost", "LOCALHOST", "lab.localhost", "127.200.3.4", "[::1]"] {
        for host in [name.to_owned(), format!("{name}:{port}"), format!("{name}:1")] {
            let origin = format!("http://{host}");
            let by_a_page: Headers = &[("origin", &origin), ("sec-fetch-site", "same-origin")];
            for headers in [&[], by_a_page, &[("sec-fetch-site", "none")]] {
                let answer = called(&server, &host, "/api/lab", headers);
                assert_eq!(answer.status, 200, "{host} {headers:?}: {}", answer.text());
                assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
                let answer = called_over_http2(&server, &host, "/api/lab", headers).await;
                assert_eq!(answer.status, 200, "{host} {headers:?} over HTTP/2: {}", answer.text());
            }
        }
    }
}

/// A server that a proxy may call by another name.
fn named_server(name: &str) -> Server {
    let mut setup = Setup::default();
    setup.options.hosts = vec![name.to_owned()];
    setup.start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_name_that_only_leads_here_is_refused_even_if_the_server_answers_to_it() {
    for name in ["rebound.example", "localhost.evil.example", "127.0.0.1.evil.example", "0.0.0.0"] {
        let server = named_server(name);
        let host = format!("{name}:{}", port(&server));
        let origin = format!("http://{host}");
        // What a browser says on a page of that name: all of it is one origin.
        let by_its_page: Headers = &[("origin", &origin), ("sec-fetch-site", "same-origin")];
        for headers in [&[], by_its_page] {
            assert_eq!(called(&server, &host, "/healthz", headers).status, 200);
            refused(&called(&server, &host, "/api/lab", headers), name);
            refused(&called_over_http2(&server, &host, "/api/lab", headers).await, name);
        }
        // Two names, or one in the target, are no way around.
        assert_eq!(called(&server, "localhost", "/api/lab", &[("host", name)]).status, 400);
        refused(&called(&server, "localhost", &format!("http://{name}/api/lab"), &[]), name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_came_through_a_proxy_is_refused() {
    let server = Server::start();
    let marks = [
        ("forwarded", "for=192.0.2.60"),
        ("forwarded", ""),
        ("x-forwarded-for", "127.0.0.1"),
        ("x-forwarded-host", "localhost"),
        ("x-forwarded-proto", "http"),
        ("X-Forwarded-Something-New", "1"),
        ("x-real-ip", "127.0.0.1"),
        ("via", "1.1 proxy.example"),
    ];
    for mark in marks {
        let because = mark.0.to_ascii_lowercase();
        refused(&called(&server, &server.authority, "/api/lab", &[mark]), &because);
        let lower: Headers = &[(&because, mark.1)];
        refused(&called_over_http2(&server, &server.authority, "/api/lab", lower).await, &because);
    }
    let answer = server.get_http_1_0("/api/lab");
    assert!(answer.starts_with("HTTP/1.0 403") && answer.contains("HTTP/1.0, as proxies"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn pages_of_other_origins_are_refused_also_one_that_may_do_everything_else() {
    let server = listing_server();
    let (host, port) = (server.authority.as_str(), port(&server));
    let elsewhere = [
        LISTED.to_owned(),
        "https://evil.example".to_owned(),
        // The same machine, another name or port: another server's page.
        format!("http://localhost:{port}"),
        "http://127.0.0.1:1".to_owned(),
        format!("https://{host}"),
        "null".to_owned(),
        String::new(),
    ];
    for origin in &elsewhere {
        let headers: Headers = &[("origin", origin)];
        refused(&called(&server, host, "/api/lab", headers), "the page that asks");
        refused(&called_over_http2(&server, host, "/api/lab", headers).await, "the page that asks");
        let json: Headers = &[("origin", origin), ("content-type", "application/json")];
        assert_eq!(server.ask("POST", "/api/lab/outage", json, b"{\"refuse_s\":1}").status, 403, "{origin}");
    }
    for site in ["cross-site", "same-site", "", "new-word"] {
        // An image or a script of another page: browsers say no Origin for these.
        let headers: Headers = &[("sec-fetch-site", site)];
        refused(&called(&server, host, "/api/lab", headers), "Sec-Fetch-Site");
        refused(&called_over_http2(&server, host, "/api/lab", headers).await, "Sec-Fetch-Site");
    }
    // Nothing was cut.
    assert_eq!(server.get("/api/lab").status, 200);
}

#[test]
fn nothing_of_the_lab_is_outside_its_guard() {
    let server = Server::start();
    let calls = calls(&server);
    assert!(calls.len() >= 8, "{calls:?}");
    for (method, path) in calls {
        let escaped = path.replace("/lab", "/l%61b");
        for path in [&path, &escaped, &format!("{path}/nothing")] {
            let answer = server.ask(&method, path, &[("x-forwarded-for", "192.0.2.1")], b"");
            assert_eq!(answer.status, 403, "{method} {path}");
        }
    }
}

/// Without another address than the loopback, the guard's own tests are what is left.
#[test]
fn whoever_comes_over_the_network_is_refused_whatever_they_call_the_server() {
    let Some(address) = own_address() else {
        return println!("this machine has no address but its loopback");
    };
    let server = Binary::serve("0.0.0.0:0", &["--store", "memory", "--open"]);
    let port = port(&server);
    let asked_at = |address: IpAddr, host: &str, path: &str| {
        let socket = TcpStream::connect(format!("{address}:{port}")).unwrap();
        Connection::over(socket, host, SOON).unwrap().ask("GET", path, &[], b"").unwrap()
    };
    for host in ["localhost".to_owned(), format!("127.0.0.1:{port}"), format!("{address}:{port}")] {
        refused(&asked_at(address, &host, "/api/lab"), &address.to_string());
        assert_eq!(asked_at(address, &host, "/api/transports").status, 200);
    }
    assert_eq!(asked_at([127, 0, 0, 1].into(), "localhost", "/api/lab").status, 200);
}

#[test]
fn no_client_of_an_nginx_on_this_machine_is_let_in() {
    let server = named_server("lab.example");
    let with_names = "proxy_http_version 1.1; proxy_set_header Host $http_host; \
                      proxy_set_header X-Forwarded-For $remote_addr;";
    let without_names = "proxy_http_version 1.1; proxy_set_header X-Forwarded-For $remote_addr;";
    // Whatever a client calls the proxy: a public name, or one that only this machine should be called by.
    for (settings, host, because) in [
        (with_names, "lab.example", "lab.example"),
        (with_names, "localhost", "x-forwarded-for"),
        (without_names, "lab.example", "x-forwarded-for"),
        // nginx as it came until 1.29.7: HTTP/1.0, and the upstream called by its own name.
        ("proxy_http_version 1.0;", "lab.example", "HTTP/1.0"),
    ] {
        let nginx = Nginx::before(&server, settings);
        assert_eq!(called(nginx.api(), host, "/healthz", &[]).status, 200, "nginx passes requests on");
        refused(&called(nginx.api(), host, "/api/lab", &[]), because);
    }
}

#[test]
fn an_nginx_as_documented_lets_nobody_in_whatever_they_call_it() {
    let server = named_server("lab.example");
    let documented = documented_locations(&server.authority);
    let nginx = Nginx::with(&documented);
    for host in ["localhost", "127.0.0.1", "[::1]", "lab.example"] {
        assert_eq!(called(nginx.api(), host, "/healthz", &[]).status, 200, "nginx passes requests on");
        for path in ["/api/lab", "/api/l%61b", "//api/lab", "/api/lab/outage", "/api/./lab/results"] {
            let answer = called(nginx.api(), host, path, &[]);
            assert_eq!(answer.status, 404, "{host} {path}: {}", answer.text());
            assert!(answer.text().contains("nginx"), "{host} {path} reached the server: {}", answer.text());
        }
    }
    // Nor does the server rely on that location.
    let (_, rest) = documented.split_once("location / {").expect("everything else has a location");
    let nginx = Nginx::with(&format!("location / {{{rest}"));
    for host in ["localhost", "127.0.0.1"] {
        refused(&called(nginx.api(), host, "/api/lab", &[]), "x-forwarded-for");
    }
}

#[test]
fn a_request_without_any_name_is_refused() {
    use std::io::Write;
    let server = Server::start();
    let mut connection = server.connection();
    connection.socket.write_all(b"GET /api/lab HTTP/1.1\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    connection.socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 40") && !answer.contains("outage_s"), "{answer}");
}
