//! Who may do what, on a server with tokens: over every call, by browsers and by programs (docs/operations.md).

mod bounds;
mod browsers;
mod lab;
mod roles;
mod secrets;
mod start;

use crate::http::{Answer, Api, Headers};
use crate::server::{Server, Setup};
use wirelab::access::Access;

const READER: &str = "wl_reader_0123456789";
const PUBLISHER: &str = "wl_publisher_0123456789";
const OWNER: &str = "wl_owner_0123456789";
/// In no file.
const UNKNOWN: &str = "wl_unknown_0123456789";

/// The lines of a token file.
fn token_lines() -> String {
    format!("# for tests\nreader {READER} class 7b\npublisher {PUBLISHER}\nowner {OWNER} the teacher\n")
}

fn setup() -> Setup {
    let mut setup = Setup::default();
    setup.options.access = Access::of_text(&token_lines(), "the tokens of a test").unwrap();
    setup
}

fn server() -> Server {
    setup().start()
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// A request by a program that has this token.
fn ask_as(api: &Api, token: &str, method: &str, path: &str, headers: Headers, body: &[u8]) -> Answer {
    let bearer = bearer(token);
    api.ask(method, path, &[&[("authorization", bearer.as_str())], headers].concat(), body)
}

/// The id of a new deployment, which the publisher made.
fn created(api: &Api) -> String {
    let json: Headers = &[("content-type", "application/json")];
    let answer = ask_as(api, PUBLISHER, "POST", "/api/deployments", json, br#"{"name":"test"}"#);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json::<serde_json::Value>()["id"].as_str().unwrap().to_owned()
}

/// The number of lines of a deployment.
fn lines_of(api: &Api, id: &str) -> u64 {
    let shown = ask_as(api, READER, "GET", &format!("/api/deployments/{id}"), &[], b"");
    shown.json::<serde_json::Value>()["lines"].as_u64().unwrap()
}

const FORM: Headers = &[("content-type", "application/x-www-form-urlencoded")];

/// Gives a token to the login, as a program does.
fn log_in(api: &Api, token: &str) -> Answer {
    api.ask("POST", "/login", FORM, format!("token={token}").as_bytes())
}

/// The `Cookie` header of one who has logged in.
fn cookie(api: &Api, token: &str) -> String {
    let answer = log_in(api, token);
    assert_eq!(answer.status, 303, "{}", answer.text());
    answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
}
