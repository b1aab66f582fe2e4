//! Which deployment a command means: the forms in which people copy its URL, through the real binary.

use std::process::Output;

use wirelab_clients::wire::{Deployment, Status};

use crate::server::{Binary, wirelab};

/// Runs `wirelab` with `arguments` until it ends.
fn ran(arguments: &[&str]) -> Output {
    wirelab().args(arguments).output().expect("it was built")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// How many deployments the server has.
fn listed(server: &Binary) -> usize {
    server.get("/api/deployments").json::<Vec<Deployment>>().len()
}

/// The forms of a deployment's URL, with what follows the server and `ID` in place of the id.
const FORMS: [&str; 6] = [
    "/api/deployments/ID",
    "/api/deployments/ID/",
    "/api/deployments/ID/sse",
    "/api/deployments/ID/long-poll?from=now",
    "/#/ID",
    "/#/ID/ndjson",
];

#[test]
fn every_form_of_a_deployments_url_means_that_deployment() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let id = server.create().id;
    let authority = &server.authority;
    let urls = |scheme: &str| {
        let id = id.to_string();
        FORMS.map(|form| format!("{scheme}{authority}{}", form.replace("ID", &id)))
    };
    for url in urls("HTTP://") {
        let publish = ran(&["publish", "--deployment", &url, "--keep-open", "--", "echo", "line"]);
        assert!(publish.status.success(), "{url}: {}", text(&publish.stderr));
    }
    let schemes_left_out = [format!("{authority}/#/{id}"), format!("{authority}/api/deployments/{id}")];
    for (url, then) in schemes_left_out.iter().zip([Some("--keep-open"), None]) {
        let arguments =
            ["publish", "--deployment", url].into_iter().chain(then).chain(["--", "echo", "line"]);
        let publish = ran(&arguments.collect::<Vec<_>>());
        assert!(publish.status.success(), "{url}: {}", text(&publish.stderr));
    }
    assert_eq!(listed(&server), 1, "a URL is the name of a new deployment");
    for url in urls("http://").into_iter().chain(schemes_left_out) {
        let tail = ran(&["tail", &url]);
        assert!(tail.status.success(), "{url}: {}", text(&tail.stderr));
        let lines = if url.ends_with("from=now") { 0 } else { FORMS.len() + 2 };
        assert_eq!(text(&tail.stdout), "line\n".repeat(lines), "{url}");
        let crowd = ran(&["crowd", "--deployment", &url, "--subscribers", "2"]);
        assert!(crowd.status.success(), "{url}: {}", text(&crowd.stderr));
    }
}

#[test]
fn a_server_is_found_by_every_form_of_its_url() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let id = server.create().id;
    server.append(&id, &["line"]);
    server.finish(&id, Status::Succeeded);
    let authority = &server.authority;
    for url in [
        authority.clone(),
        format!("{authority}/"),
        format!("http://{authority}/"),
        format!("HTTP://{authority}"),
        format!("http://{authority}/#/"),
    ] {
        let tail = ran(&["tail", id.as_str(), "--server", &url]);
        assert!(tail.status.success(), "{url}: {}", text(&tail.stderr));
        assert_eq!(text(&tail.stdout), "line\n", "{url}");
    }
}

fn is_refused(command: &[&str], why: &str, code: i32) {
    let refused = ran(command);
    let stderr = text(&refused.stderr);
    assert!(stderr.contains(why), "{command:?}: {stderr}");
    assert_eq!(refused.status.code(), Some(code), "{command:?}: {stderr}");
}

#[test]
fn a_url_that_is_no_deployments_is_refused_by_name_and_nothing_is_made() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let there = |path: &str| format!("http://{}{path}", server.authority);
    for (url, why) in [
        (there(""), "is not the URL of a deployment"),
        (there("/#/lessons/1"), "is not the URL of a deployment"),
        (there("/api/deployments/01k3aaaa/carrier-pigeon"), "is not the URL of a deployment"),
        ("ftp://a/b".to_owned(), "is not the URL of a deployment"),
        ("#/01k3aaaa".to_owned(), "is not the URL of a deployment"),
        ("01k3aaaa/".to_owned(), "is not the URL of a deployment"),
    ] {
        for command in [
            vec!["tail", &url],
            vec!["crowd", "--deployment", &url],
            vec!["publish", "--deployment", &url, "--", "true"],
        ] {
            is_refused(&command, why, 2);
        }
    }
    let absent = there("/api/deployments/01k3aaaa");
    let why = "has no deployment \"01k3aaaa\"";
    is_refused(&["tail", &absent], why, 2);
    is_refused(&["crowd", "--deployment", &absent], why, 2);
    // Only the server knows, and the command does not wait for what it says.
    is_refused(&["publish", "--deployment", &absent, "--", "true"], why, 6);
    is_refused(&["publish", "--deployment", &absent, "--", "sh", "-c", "exit 3"], why, 3);
    assert_eq!(listed(&server), 0);
}
