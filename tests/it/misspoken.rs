//! Profiles whose server speaks something else: one final error that says what came, and no word of lost lines.

use std::fs;
use std::thread;

use tempfile::TempDir;

use crate::canned::answering;
use crate::server::wirelab;

const PAGE: &str = "<!doctype html><title>Sign in</title>";

/// Runs a profile of this wire against a server that takes lines and answers subscribers with `answer`. Returns the exit
/// code, what was said on stderr, and the number of subscribers' requests.
fn run(subscribe: &str, kind: &str, body: &str) -> (Option<i32>, String, usize) {
    let answer =
        format!("HTTP/1.1 200 OK\r\n{kind}connection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let taken = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_owned();
    let (authority, asked) =
        answering(move |_, head| Some(if head.starts_with("POST") { taken.clone() } else { answer.clone() }));
    let (project, results) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let targets = project.path().join("data/targets");
    fs::create_dir_all(&targets).unwrap();
    let profile = format!(
        "about = \"A test's.\"\nurl = \"http://{authority}\"\n\
         publish = {{ path = \"/lines\", body = \"{{text}}\", pipelining = false }}\n\
         subscribe = {{ {subscribe}, path = \"/stream\" }}\n"
    );
    fs::write(targets.join("other.toml"), profile).unwrap();
    let output = wirelab()
        .args(["run", "--target", "other", "--subscribers", "1", "--rate", "20", "--duration", "1s"])
        .arg("--data")
        .arg(project.path().join("data"))
        .arg("--results")
        .arg(results.path())
        .output()
        .unwrap();
    let gets = asked.try_iter().filter(|asked| asked.head.starts_with("GET")).count();
    let said = [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat();
    (output.status.code(), said, gets)
}

#[test]
fn another_content_type_is_one_final_error_that_names_it() {
    let cases = [
        ("wire = \"sse\"", "content-type: text/html\r\n", PAGE, "text/html"),
        ("wire = \"sse\"", "content-type: application/json\r\n", "{}", "application/json"),
        ("wire = \"sse\"", "", PAGE, "no content type"),
        ("wire = \"long-poll\"", "content-type: text/html; charset=utf-8\r\n", PAGE, "text/html"),
        ("wire = \"websocket\"", "content-type: text/html\r\n", PAGE, "text/html"),
    ];
    // Side by side: each waits for the end of its run.
    let running = cases.map(|(subscribe, kind, body, named)| {
        (subscribe, kind, named, thread::spawn(move || run(subscribe, kind, body)))
    });
    for (subscribe, kind, named, running) in running {
        let (code, said, gets) = running.join().unwrap();
        assert_eq!((code, gets), (Some(6), 1), "{subscribe}, {kind:?}: {said}");
        let named = format!("the server answered with {named}");
        assert!(
            said.contains(&named) || said.contains("200 OK and text/html"),
            "{subscribe}, {kind:?}: {said}"
        );
    }
}
