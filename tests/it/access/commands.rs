//! wirelab's own commands on a server with tokens: they show theirs, hand it to nobody, and say what they lack.

use std::process::{Command, Output};

use super::*;
use crate::server::{wait_until, wirelab};

/// A command that has this token, or none.
fn command(token: Option<&str>, arguments: &[&str]) -> Command {
    let mut command = wirelab();
    command.args(arguments).env_remove("WIRELAB_TOKEN");
    command.envs(token.map(|token| ("WIRELAB_TOKEN", token)));
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn publish_and_tail_use_the_token_of_their_environment_and_hand_it_to_no_command() {
    let server = server();
    let url = format!("http://{}", server.authority);
    let id = created(&server);
    let publish = ["publish", "--server", &url, "--deployment", &id, "--", "env"];
    let output = command(Some(PUBLISHER), &publish).env("OTHER", "stays").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let output = command(Some(READER), &["tail", "--server", &url, &id]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let lines = String::from_utf8_lossy(&output.stdout);
    assert!(lines.contains("OTHER=stays") && !lines.contains("wl_"), "{lines}");
}

#[test]
fn a_command_says_what_its_token_lacks() {
    let server = server();
    let url = format!("http://{}", server.authority);
    let id = created(&server);
    for (token, because) in [(None, "WIRELAB_TOKEN"), (Some(UNKNOWN), "not known")] {
        let output = command(token, &["tail", "--server", &url, &id]).output().unwrap();
        assert!(!output.status.success() && said(&output).contains(because), "{token:?}: {}", said(&output));
        assert!(!said(&output).contains("wl_"), "{}", said(&output));
    }
    let publish = ["publish", "--server", &url, "--deployment", &id, "--", "true"];
    let output = command(Some(READER), &publish).output().unwrap();
    assert_eq!(output.status.code(), Some(6), "{}", said(&output));
    assert!(said(&output).contains("needs the role publisher"), "{}", said(&output));
}

/// The crowd is a process of its own, which calls this server as a reader.
#[test]
fn a_crowd_of_the_lab_follows_a_server_with_tokens() {
    let server = server();
    let id = created(&server);
    let json: Headers = &[("content-type", "application/json")];
    let body = format!(r#"{{"deployment":"{id}","transport":"websocket","subscribers":3}}"#);
    let started = ask_as(&server, OWNER, "POST", "/api/lab/crowds", json, body.as_bytes());
    assert_eq!(started.status, 201, "{}", started.text());
    let crowd = || {
        let listed = ask_as(&server, OWNER, "GET", "/api/lab/crowds", &[], b"");
        listed.json::<Vec<serde_json::Value>>().remove(0)
    };
    wait_until("all are connected", || {
        let crowd = crowd();
        assert_eq!(crowd["problem"], serde_json::Value::Null, "{crowd}");
        crowd["connected"] == 3
    });
    let lines = format!("/api/deployments/{id}/lines");
    ask_as(&server, PUBLISHER, "POST", &lines, &[("content-type", "text/plain")], b"x");
    wait_until("all have the line", || crowd()["lines"] == 3);
}
