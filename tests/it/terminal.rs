//! What a terminal is given: text of other people commands no terminal, and a pipe gets the very bytes.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;

use tempfile::TempDir;
use wirelab_clients::wire::{Deployment, Status};

use crate::server::{Binary, wirelab};

/// Sets the title, empties the screen, moves the cursor; the last by one character of C1.
const COMMANDS: &str = "\u{1b}]2;HACKED\u{7}\u{1b}[2J\u{1b}[1;1Hall fine\u{9b}2J";
/// How it looks.
const SHOWN: &str = r"\u{1b}]2;HACKED\u{7}\u{1b}[2J\u{1b}[1;1Hall fine\u{9b}2J";

/// Runs `wirelab` with a terminal as its stdin, stdout and stderr; returns what the terminal was given.
fn in_a_terminal(arguments: &[&str]) -> String {
    let quoted = arguments.iter().map(|argument| format!(" '{argument}'"));
    let command = format!("'{}'{}", env!("CARGO_BIN_EXE_wirelab"), quoted.collect::<String>());
    // script(1) of util-linux opens the terminal.
    let mut script = Command::new("script");
    let output = script.args(["-q", "-c", &command, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}

fn piped(arguments: &[&str]) -> Output {
    wirelab().args(arguments).output().unwrap()
}

#[test]
fn a_line_commands_no_terminal_keeps_its_colours_and_is_piped_byte_for_byte() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let id = server.create().id;
    let lines = [COMMANDS, "\u{1b}[32mok\u{1b}[0m", "\u{1b}[31mred", "plain é 🦀\tx", " 1%\r100%", "win\r"];
    server.append(&id, &lines);
    server.finish(&id, Status::Succeeded);
    let url = format!("http://{}/api/deployments/{id}", server.authority);
    let shown = in_a_terminal(&["tail", &url]);
    let seen = [
        SHOWN,
        "\u{1b}[32mok\u{1b}[0m\u{1b}[0m",
        "\u{1b}[31mred\u{1b}[0m",
        "plain é 🦀\tx",
        r" 1%\u{d}100%",
        "win\r",
        "succeeded",
    ];
    assert_eq!(shown.replace("win\n", "win\r\n"), seen.map(|line| format!("{line}\n")).concat());
    let raw = piped(&["tail", &url]);
    assert_eq!(String::from_utf8(raw.stdout).unwrap(), lines.map(|line| format!("{line}\n")).concat());
}

#[test]
fn the_name_of_a_deployment_commands_no_terminal() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let body = serde_json::json!({ "name": COMMANDS }).to_string();
    let made: Deployment = server.post("/api/deployments", "application/json", body).json();
    let url = format!("http://{}", server.authority);
    let shown =
        in_a_terminal(&["publish", "--server", &url, "--deployment", made.id.as_str(), "--", "echo", "line"]);
    assert!(shown.contains(SHOWN) && shown.contains("line\n"), "{shown:?}");
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{9b}'), "{shown:?}");
}

/// A server that refuses every request with this detail; its URL.
fn refusing(detail: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let problem =
        serde_json::json!({"type": "about:blank", "title": detail, "status": 400, "detail": detail});
    let problem = problem.to_string();
    thread::spawn(move || {
        for socket in listener.incoming() {
            let socket = socket.unwrap();
            let mut head = String::new();
            let mut reader = BufReader::new(&socket);
            while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap() > 0 {}
            let head = format!(
                "HTTP/1.1 400 X\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                problem.len()
            );
            // The client may have enough.
            let _ = (&socket).write_all(format!("{head}{problem}").as_bytes());
        }
    });
    url
}

#[test]
fn a_refusal_of_a_server_commands_no_terminal() {
    let url = refusing(COMMANDS);
    for arguments in [
        vec!["tail", "web", "--server", &url],
        vec!["crowd", "--deployment", "web", "--server", &url],
        vec!["run", "--target", &url, "--duration", "1s"],
    ] {
        let shown = in_a_terminal(&arguments);
        assert!(shown.contains(SHOWN), "{arguments:?}: {shown:?}");
        assert!(!shown.contains('\u{1b}') && !shown.contains('\u{9b}'), "{arguments:?}: {shown:?}");
        let raw = piped(&arguments);
        assert!(String::from_utf8(raw.stderr).unwrap().contains(COMMANDS), "{arguments:?}");
    }
}

#[test]
fn a_plan_of_another_person_commands_no_terminal() {
    let data = TempDir::new().unwrap();
    let plans = data.path().join("plans");
    fs::create_dir(&plans).unwrap();
    let carried = String::from_utf8(piped(&["plans", "quick"]).stdout).unwrap();
    let question =
        COMMANDS.replace('\u{1b}', r"\u001b").replace('\u{7}', r"\u0007").replace('\u{9b}', r"\u009b");
    let asked = |line: &str| {
        if line.starts_with("question = ") { format!("question = \"{question}\"") } else { line.to_owned() }
    };
    let plan: Vec<_> = carried.lines().map(asked).collect();
    fs::write(plans.join("quick.toml"), plan.join("\n")).unwrap();
    let shown = in_a_terminal(&["plans", "--data", data.path().to_str().unwrap()]);
    assert!(shown.contains(SHOWN), "{shown:?}");
    assert!(!shown.contains('\u{1b}') && !shown.contains('\u{9b}'), "{shown:?}");
    let raw = piped(&["plans", "--data", data.path().to_str().unwrap()]);
    assert!(String::from_utf8(raw.stdout).unwrap().contains(COMMANDS));
}
