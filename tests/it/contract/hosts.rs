//! By which names the server may be called (docs/protocol.md, "Who may ask"), and what a proxy in front of it must say.

use std::net::TcpStream;

use wirelab_clients::wire::Transport;

use crate::http::{Answer, Api, Connection, Headers, SOON, UPGRADE, path};
use crate::http2::Http2;
use crate::nginx::Nginx;
use crate::server::{Binary, Server};

/// A request that calls the server `host`, on a connection of its own.
fn called(api: &Api, host: &str, method: &str, path: &str, headers: Headers, body: &[u8]) -> Answer {
    let socket = TcpStream::connect(&api.authority).unwrap();
    Connection::over(socket, host, SOON).unwrap().ask(method, path, headers, body).unwrap()
}

fn got(api: &Api, host: &str, path: &str) -> Answer {
    called(api, host, "GET", path, &[], b"")
}

/// What a page can do whose name was made to lead to the loopback: it is one origin for its browser.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_foreign_name_on_the_loopback_may_do_nothing() {
    let server = Server::start();
    let id = server.create().id;
    let foreign = format!("evil.example:{}", server.authority.split_once(':').unwrap().1);
    let origin = format!("http://{foreign}");
    let by_its_page: Headers = &[("origin", &origin), ("content-type", "text/plain")];
    let deployment = format!("/api/deployments/{id}");
    for (method, path, body) in [
        ("GET", "/".to_owned(), ""),
        ("GET", "/api/deployments".to_owned(), ""),
        ("POST", "/api/deployments".to_owned(), r#"{"name":"x"}"#),
        ("POST", format!("{deployment}/lines"), "x"),
        ("GET", format!("{deployment}/lines"), ""),
        ("GET", path(Transport::Sse, &id, ""), ""),
        ("DELETE", deployment.clone(), ""),
        ("OPTIONS", "/api/deployments".to_owned(), ""),
    ] {
        let answer = called(&server, &foreign, method, &path, by_its_page, body.as_bytes());
        let problem = answer.problem().unwrap();
        assert_eq!(problem.status, 421, "{method} {path}");
        assert!(problem.detail.contains("--host evil.example"), "no remedy in {}", problem.detail);
    }
    let socket = path(Transport::Websocket, &id, "");
    assert_eq!(called(&server, &foreign, "GET", &socket, UPGRADE, b"").status, 421);
    let mut http2 = Http2::open(&server.authority).await;
    http2.authority = foreign.clone();
    assert_eq!(http2.get("/api/deployments").await.status, 421);
    // A target in absolute form is the name that counts, whatever Host says.
    assert_eq!(got(&server, "localhost", &format!("http://{foreign}/healthz")).status, 421);
    assert_eq!(server.show(&id).lines, 0);
}

#[test]
fn a_server_is_called_by_the_names_of_the_loopback_and_those_that_it_is_told() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory", "--host", "lab.example"]);
    for host in [
        "localhost",
        "localhost:1",
        "lab.localhost",
        "127.0.0.1",
        "[::1]:8080",
        "Lab.Example",
        "lab.example:443",
    ] {
        assert_eq!(got(&server, host, "/healthz").status, 200, "{host}");
    }
    for host in ["www.lab.example", "example", "192.0.2.1"] {
        assert_eq!(got(&server, host, "/healthz").status, 421, "{host}");
    }
    // HTTP/1.0 knows requests without a name.
    let elsewhere = Binary::serve("0.0.0.0:0", &["--store", "memory", "--open"]);
    let (_, port) = elsewhere.authority.rsplit_once(':').unwrap();
    let elsewhere = Api::new(format!("127.0.0.1:{port}"));
    assert_eq!(got(&elsewhere, "lab.example", "/healthz").status, 200, "a server elsewhere has any name");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_host_that_names_no_server_is_400() {
    let server = Server::start();
    for host in [
        "",
        ":8080",
        "user@localhost",
        "localhost:http",
        "localhost/path",
        "local host",
        "[::1",
        "::1",
        "localhost:99999",
    ] {
        let answer = got(&server, host, "/healthz");
        assert_eq!(answer.status, 400, "{host:?}");
        assert_eq!(answer.problem().unwrap().status, 400, "{host:?}");
    }
    let twice = called(&server, "localhost", "GET", "/healthz", &[("host", "localhost")], b"");
    assert_eq!(twice.status, 400);
    let mut http2 = Http2::open(&server.authority).await;
    let other = http2.ask("GET", "/healthz", &[("host", "lab.localhost")], b"").await;
    assert_eq!(other.problem().unwrap().status, 400, "Host differs from :authority");
    let same = server.authority.clone();
    assert_eq!(http2.ask("GET", "/healthz", &[("host", &same)], b"").await.status, 200);
}

#[test]
fn a_proxy_that_passes_on_its_own_name_needs_it_told() {
    let server = Server::start();
    let passes_on = Nginx::before(&server, "proxy_http_version 1.1; proxy_set_header Host $http_host;");
    assert_eq!(got(passes_on.api(), "lab.example", "/healthz").status, 421);
    // Without that line nginx calls the server by the name in proxy_pass.
    let own_name = Nginx::before(&server, "proxy_http_version 1.1;");
    assert_eq!(got(own_name.api(), "lab.example", "/healthz").status, 200);
    let named = Binary::serve("127.0.0.1:0", &["--store", "memory", "--no-lab", "--host", "lab.example"]);
    let passes_on = Nginx::before(&named, "proxy_http_version 1.1; proxy_set_header Host $http_host;");
    assert_eq!(got(passes_on.api(), "lab.example", "/healthz").status, 200);
}
