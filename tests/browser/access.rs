//! A server with tokens, as a student and a teacher see it: the login, what each role is offered, the end of a login.

use serde_json::json;
use wirelab_clients::wire::{Deployment, DeploymentId};

use crate::browser::{Engine, in_every_browser};
use crate::http::{Headers, ndjson};
use crate::looks::look;
use crate::page::{Page, wait_until};
use crate::server::{Binary, wirelab};

const READER: &str = "wl_reader_0123456789";
const PUBLISHER: &str = "wl_publisher_0123456789";
const OWNER: &str = "wl_owner_0123456789";

fn serve() -> Binary {
    let mut command = wirelab();
    command.args(["serve", "--bind", "127.0.0.1:0", "--store", "memory", "--access", "env"]);
    let tokens = format!("reader {READER}\npublisher {PUBLISHER}\nowner {OWNER}\n");
    Binary::of(command.env("WIRELAB_ACCESS", tokens))
}

/// A call by the teacher's program.
fn post(server: &Binary, path: &str, kind: &str, body: &str) -> crate::http::Answer {
    let bearer = format!("Bearer {OWNER}");
    let headers: Headers = &[("authorization", &bearer), ("content-type", kind)];
    let answer = server.ask("POST", path, headers, body.as_bytes());
    assert!([200, 201].contains(&answer.status), "{}", answer.text());
    answer
}

/// A running deployment with these lines.
fn created(server: &Binary, lines: &[&str]) -> DeploymentId {
    let deployment = post(server, "/api/deployments", "application/json", r#"{"name":"web"}"#);
    let id = deployment.json::<Deployment>().id;
    post(server, &format!("/api/deployments/{id}/lines"), "application/x-ndjson", &ndjson(lines));
    id
}

fn log_in(engine: Engine, server: &Binary, token: &str) -> Page {
    let page = Page::before_login(engine, server);
    page.give(token);
    wait_until("the overview is shown", || page.is_at("/") && page.is_shown("#overview"));
    page
}

/// What the page says when it tries to delete a deployment: the button is not there, but a script may try.
fn deletion(page: &Page, id: &DeploymentId) -> String {
    let script = "return import('/call.js').then(({ call }) => call(arguments[0], { method: 'DELETE' }))
        .then(() => 'deleted', (error) => error.message)";
    // The arguments belong to the outer function.
    let script = script.replace("arguments[0]", &json!(format!("/api/deployments/{id}")).to_string());
    page.run(&script, &[])
}

in_every_browser! {
    a_student_logs_in_follows_a_log_and_deletes_nothing;
    a_wrong_token_is_said_to_be_one;
}

fn a_student_logs_in_follows_a_log_and_deletes_nothing(engine: Engine) {
    let server = serve();
    let id = created(&server, &["one", "two"]);
    let page = log_in(engine, &server, READER);
    assert_eq!(page.text("#role"), "reader");
    let cookie: String = page.run("return document.cookie", &[]);
    assert_eq!(cookie, "", "no script can read the cookie");
    let address: String = page.run("return location.href", &[]);
    assert!(!address.contains("wl_"), "{address}");
    for (transport, line) in [("sse", "by sse"), ("websocket", "by websocket"), ("long-poll", "by long poll")]
    {
        page.open(&id, transport);
        page.wait_for("live", transport);
        post(&server, &format!("/api/deployments/{id}/lines"), "text/plain", line);
        wait_until(line, || page.lines().last().is_some_and(|(_, text)| text == line));
        assert!(!page.is_shown("#publish"), "what a reader may not do is not offered");
    }
    let said = deletion(&page, &id);
    assert!(said.contains("needs the role owner") && said.contains("has the role reader"), "{said}");
    page.overview();
    assert!(!page.is_shown("#create") && page.is_shown("#reader-title"), "a sentence stands in its place");
    page.reports();
    assert!(
        page.text("#reports-refusal").contains("needs the role owner"),
        "{}",
        page.text("#reports-refusal")
    );
    page.click("#log-out");
    wait_until("the login is shown", || page.is_at("/login"));
    let status: u16 = page.run("return fetch('/api/deployments').then(({ status }) => status)", &[]);
    assert_eq!(status, 401);
}

fn a_wrong_token_is_said_to_be_one(engine: Engine) {
    let server = serve();
    let page = Page::before_login(engine, &server);
    assert!(!page.is_shown("#refused"));
    page.give("wl_not_a_token_of_anybody");
    wait_until("the refusal is shown", || page.is_at("/login") && page.is_shown("#refused"));
    page.give(READER);
    wait_until("the overview is shown", || page.is_at("/") && page.is_shown("#overview"));
}

#[test]
fn a_publisher_creates_and_an_owner_deletes() {
    let server = serve();
    let id = created(&server, &["one"]);
    let page = log_in(Engine::Chromium, &server, PUBLISHER);
    assert!(page.is_shown("#create") && !page.is_shown("#reader-title"));
    page.open(&id, "sse");
    wait_until("the source is shown", || page.is_shown("#publish"));
    assert!(page.is_shown("#finish") && !page.is_shown("#delete") && page.is_shown("#token-note"));
    page.click("#finish");
    wait_until("it is finished", || page.text("#status") == "succeeded");
    assert!(deletion(&page, &id).contains("needs the role owner"));
    page.click("#log-out");
    wait_until("the login is shown", || page.is_at("/login"));
    page.give(OWNER);
    wait_until("the overview is shown", || page.is_at("/") && page.is_shown("#overview"));
    assert_eq!(page.text("#role"), "owner");
    page.reports();
    assert!(page.is_shown("#plans"), "the lab is for owners");
    page.beside(&id);
    wait_until("the source is shown", || page.is_shown("#publish"));
    page.run::<()>("document.getElementById('publish').open = true", &[]);
    page.click("#delete");
    page.click("#delete");
    let bearer = format!("Bearer {OWNER}");
    wait_until("it is gone", || {
        let path = format!("/api/deployments/{id}");
        server.ask("GET", &path, &[("authorization", &bearer)], b"").status == 404
    });
}

#[test]
fn a_login_that_ends_is_said_to_be_over() {
    let server = serve();
    let page = log_in(Engine::Chromium, &server, READER);
    assert!(!page.is_shown("#login-over"));
    page.devtools("Network.clearBrowserCookies", json!({}));
    wait_until("the page says so", || page.is_shown("#login-over"));
    page.click("#login-over a");
    wait_until("the login is shown", || page.is_at("/login"));
}

#[test]
fn the_login_and_the_page_of_a_reader_fit_their_windows() {
    let server = serve();
    let id = created(&server, &["one"]);
    let page = Page::before_login(Engine::Chromium, &server);
    page.give("wl_not_a_token_of_anybody");
    wait_until("the refusal is shown", || page.is_at("/login") && page.is_shown("#refused"));
    look(&page, "login");
    page.give(READER);
    wait_until("the list is shown", || page.is_at("/") && page.is_shown("#list-table"));
    look(&page, "reader");
    page.beside(&id);
    page.wait_for_lanes("live");
    assert!(!page.is_shown(".lane [data-part='publish']"), "no line is published by a reader");
    look(&page, "reader-lanes");
}
