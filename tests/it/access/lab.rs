//! The lab on a server with tokens: for owners, from anywhere, and for no page of another server.

use std::fs;
use std::net::{IpAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::http::{Connection, SOON};
use crate::server::{Binary, own_address, wait_until};

#[test]
fn an_owner_uses_the_lab_through_a_proxy_and_no_foreign_page_does() {
    let server = server();
    let by_a_proxy: Headers = &[("via", "1.1 nginx"), ("x-forwarded-for", "192.0.2.9")];
    assert_eq!(ask_as(&server, OWNER, "GET", "/api/lab", by_a_proxy, b"").status, 200);
    let (cookie, origin) = (cookie(&server, OWNER), format!("http://{}", server.authority));
    let page: Headers = &[("cookie", &cookie), ("origin", &origin), ("sec-fetch-site", "same-origin")];
    assert_eq!(server.ask("GET", "/api/lab", page, b"").status, 200);
    assert_eq!(server.ask("DELETE", "/api/lab/network", page, b"").status, 200);
    for foreign in [
        &[("origin", "http://evil.example")] as Headers,
        &[("sec-fetch-site", "cross-site")],
        &[("origin", &origin), ("sec-fetch-site", "same-site")],
    ] {
        for (method, path) in [("GET", "/api/lab"), ("DELETE", "/api/lab/network")] {
            let answer = ask_as(&server, OWNER, method, path, foreign, b"");
            assert_eq!(answer.problem().unwrap().status, 403, "{method} {path} {foreign:?}");
        }
    }
    assert_eq!(ask_as(&server, PUBLISHER, "GET", "/api/lab", &[], b"").status, 403, "at this machine, too");
    assert_eq!(server.get("/api/lab").status, 401);
}

/// Without another address than the loopback, the requests through a proxy are what is left.
#[test]
fn an_owner_uses_the_lab_from_another_machine() {
    let Some(address) = own_address() else {
        return println!("this machine has no address but its loopback");
    };
    let folder = tempfile::tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, token_lines()).unwrap();
    fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
    let arguments = ["--store", "memory", "--access", tokens.to_str().unwrap()];
    let server = Binary::serve("0.0.0.0:0", &arguments);
    let (_, port) = server.authority.rsplit_once(':').unwrap();
    let asked = |address: IpAddr, token: &str| {
        let host = format!("{address}:{port}");
        let mut connection = Connection::over(TcpStream::connect(&host).unwrap(), &host, SOON).unwrap();
        let bearer = bearer(token);
        connection.ask("GET", "/api/lab", &[("authorization", &bearer)], b"").unwrap().status
    };
    assert_eq!((asked(address, OWNER), asked(address, READER), asked(address, UNKNOWN)), (200, 403, 401));
}

/// The program of a crowd calls this server, so it needs a token; everybody on the machine can read its arguments.
#[test]
fn a_child_gets_a_token_in_its_environment_that_reads_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (program, said) = (folder.path().join("program"), folder.path().join("said"));
    let script = format!(
        "#!/bin/sh\necho \"$@\" > {said}.part\nenv >> {said}.part\nmv {said}.part {said}\n",
        said = said.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut setup = setup();
    setup.options.lab.as_mut().unwrap().program = program;
    let server = setup.start();
    let body = format!(r#"{{"deployment":"{}","transport":"sse","subscribers":1}}"#, created(&server));
    let json: Headers = &[("content-type", "application/json")];
    let started = ask_as(&server, OWNER, "POST", "/api/lab/crowds", json, body.as_bytes());
    assert_eq!(started.status, 201, "{}", started.text());
    wait_until("the program was started", || said.exists());
    let said = fs::read_to_string(said).unwrap();
    let (arguments, environment) = said.split_once('\n').unwrap();
    let token = environment.lines().find_map(|line| line.strip_prefix("WIRELAB_TOKEN=")).unwrap();
    assert!(!arguments.contains(token) && arguments.starts_with("crowd"), "{arguments}");
    assert!(!environment.contains(OWNER) && !environment.contains("WIRELAB_ACCESS"));
    assert_eq!(ask_as(&server, token, "GET", "/api/deployments", &[], b"").status, 200);
    assert_eq!(ask_as(&server, token, "POST", "/api/deployments", json, br#"{"name":"x"}"#).status, 403);
    assert_eq!(
        ask_as(&super::server(), token, "GET", "/api/deployments", &[], b"").status,
        401,
        "another server"
    );
}
