//! A server that does a thing and does not say so: nothing is left running, and nothing is done twice.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wirelab_clients::wire::Status;

use super::{ended, piped, publish_to, the_deployment};
use crate::between::{Between, Lie};
use crate::server::{Binary, wait_until};

const CREATE: (&str, &str) = ("POST", "/api/deployments");
/// Refuses for longer than anybody waits.
const OVERLOADED: &str =
    "HTTP/1.1 503 X\r\nretry-after: 120\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

fn server() -> Binary {
    Binary::serve("127.0.0.1:0", &["--store", "memory"])
}

#[test]
fn a_creation_whose_answer_is_lost_is_ended_like_any_other() {
    for (command, expected, status) in [
        (&["no-such-command"][..], 127, Status::Failed),
        (&["echo", "line"], 0, Status::Succeeded),
        (&["sh", "-c", "echo line; exit 3"], 3, Status::Failed),
    ] {
        let server = server();
        // Each call is made once more at once, so this is lost also when it is tried again.
        let between = Between::start(&server, CREATE, 3, Lie::Swallow);
        let (code, _, said) = ended(publish_to(&between.url).args(command).output().unwrap());
        assert_eq!(code, Some(expected), "{said}");
        assert_eq!(the_deployment(&server).ended, Some(status), "{command:?}: {said}");
    }
}

#[test]
fn a_creation_that_is_not_waited_for_is_ended_too() {
    for (command, expected, status) in [
        (&["no-such-command"][..], 127, Status::Failed),
        (&["echo", "line"], 6, Status::Cancelled),
        (&["sh", "-c", "echo line; exit 3"], 3, Status::Failed),
    ] {
        let server = server();
        let between = Between::start(&server, CREATE, 1, Lie::Withhold);
        let child = piped(publish_to(&between.url).args(command));
        wait_until("it is created", || {
            !server.get("/api/deployments").json::<Vec<serde_json::Value>>().is_empty()
        });
        // The command starts after 0.3 s, and has ended long before this.
        std::thread::sleep(Duration::from_secs(2));
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        let (code, _, said) = ended(child.wait_with_output().unwrap());
        assert_eq!(code, Some(expected), "{said}");
        assert_eq!(the_deployment(&server).ended, Some(status), "{command:?}: {said}");
    }
}

#[test]
fn a_log_that_is_not_whole_is_no_success_and_says_which_lines_are_in_doubt() {
    let refused = Lie::Answer(OVERLOADED.to_owned());
    let cases = [
        (refused.clone(), "0", 6, Status::Cancelled),
        (refused, "3", 3, Status::Failed),
        (Lie::Swallow, "0", 6, Status::Cancelled),
    ];
    // They wait for the server, and do nothing else.
    std::thread::scope(|scope| {
        for (lie, code, expected, status) in cases {
            scope.spawn(move || {
                let is_in_doubt = matches!(lie, Lie::Swallow);
                let server = server();
                let between = Between::start(&server, ("POST", "/lines"), usize::MAX, lie);
                let script = format!("echo line; exit {code}");
                let (was, _, said) =
                    ended(publish_to(&between.url).args(["sh", "-c", &script]).output().unwrap());
                assert_eq!(was, Some(expected), "{said}");
                assert_eq!(the_deployment(&server).ended, Some(status), "{said}");
                assert!(said.contains("1 line was shown and not published"), "{said}");
                assert_eq!(said.contains("1 of them may be published"), is_in_doubt, "{said}");
            });
        }
    });
}
