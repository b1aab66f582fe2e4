//! Tokens appear nowhere but where they belong: in no answer, line on stderr, metric, argument or cookie.

use std::fs;
use std::process::{Command, Stdio};

use super::*;
use crate::server::{Binary, wait_until, wirelab};

/// What the processes of wirelab say to those who list the processes of this machine.
fn arguments_of_all_processes() -> String {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n");
    lines.filter(|line| line.split(' ').next().is_some_and(|program| program.ends_with("wirelab"))).collect()
}

#[test]
fn a_token_is_in_no_answer_line_metric_or_argument() {
    let folder = tempfile::tempdir().unwrap();
    let (said, data) = (folder.path().join("stderr"), folder.path().join("data"));
    let mut command = wirelab();
    command.args(["serve", "--bind", "127.0.0.1:0", "--access", "env", "--data"]).arg(&data);
    command.arg("--results").arg(folder.path().join("results"));
    command.env("WIRELAB_ACCESS", token_lines()).stderr(fs::File::create(&said).unwrap());
    let server = Binary::of(&mut command);
    let id = created(&server);
    let mut heard = String::new();
    for token in [UNKNOWN, READER, PUBLISHER, OWNER] {
        for (method, path, body) in [
            ("GET", "/api/deployments".to_owned(), ""),
            ("GET", format!("/api/deployments/{id}/lines?from={token}"), ""),
            ("POST", format!("/api/deployments/{id}/lines"), "x"),
            ("POST", format!("/api/deployments/{id}/finish"), "{}"),
            ("DELETE", "/api/deployments/x".to_owned(), ""),
            ("GET", "/api/lab".to_owned(), ""),
            ("GET", "/api/lab/plans".to_owned(), ""),
            ("GET", "/api/access".to_owned(), ""),
            ("GET", "/metrics".to_owned(), ""),
            ("GET", "/nothing".to_owned(), ""),
        ] {
            let answer =
                ask_as(&server, token, method, &path, &[("content-type", "text/plain")], body.as_bytes());
            // What is asked for by a token in the place of a cursor comes back: that was said, not held.
            let said = format!("{answer:?} {}", answer.text());
            heard += &if path.contains(token) { said.replace(token, "") } else { said };
        }
        let answer = log_in(&server, token);
        heard += &format!("{answer:?} {}", answer.text());
        let page: Headers = &[FORM[0], ("accept", "text/html")];
        heard += server.ask("POST", "/login", page, format!("token={token}").as_bytes()).text();
    }
    let crowd = format!(r#"{{"deployment":"{id}","transport":"sse","subscribers":1}}"#);
    let json: Headers = &[("content-type", "application/json")];
    let started = ask_as(&server, OWNER, "POST", "/api/lab/crowds", json, crowd.as_bytes());
    assert_eq!(started.status, 201, "{}", started.text());
    wait_until("the crowd is there", || arguments_of_all_processes().contains(&format!("--deployment={id}")));
    heard += &arguments_of_all_processes();
    heard += server.get("/openapi.json").text();
    heard += server.get("/").text();
    assert!(server.terminate().0.success());
    heard += &fs::read_to_string(&said).unwrap();
    let kept =
        Command::new("grep").args(["-r", "-e", "wl_"]).arg(&data).stdout(Stdio::piped()).output().unwrap();
    heard += &String::from_utf8_lossy(&kept.stdout);
    assert!(heard.len() > 10_000, "something was said: {}", heard.len());
    // The child's own token begins like every one that wirelab makes.
    let said: Vec<_> = heard.lines().filter(|line| line.contains("wl_")).collect();
    assert!(said.is_empty(), "tokens were said: {said:#?}");
}
