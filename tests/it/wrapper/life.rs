//! The command lives as without its wrapper, and what was begun for it is ended.

use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wirelab_clients::recording::Recording;
use wirelab_clients::wire::Status;

use super::{Wrapper, ended, piped, publish_to, record_in, the_deployment};
use crate::between::{Between, Lie};
use crate::server::{Binary, wirelab};

/// Far below the time for which something is left behind, and far above the second that it is waited for.
const WITHOUT_WAITING: Duration = Duration::from_secs(8);

#[test]
fn a_process_that_is_left_behind_is_not_waited_for() {
    let sleeps = "sleep 15 & echo hi; exit 3";
    let prints = "(for i in $(seq 50); do sleep 0.3; echo tick; done) & echo hi; exit 3";
    for script in [sleeps, prints] {
        let wrapper = Wrapper::new();
        for mut wrapped in wrapper.both() {
            let begun = Instant::now();
            let (code, shown, said) = ended(wrapped.args(["sh", "-c", script]).output().unwrap());
            assert!(begun.elapsed() < WITHOUT_WAITING, "{:?} for {script}", begun.elapsed());
            assert_eq!(code, Some(3), "{said}");
            assert!(shown.starts_with("hi\n") && shown.contains("tick") == (script == prints), "{shown}");
        }
        wrapper.assert_ended(Status::Failed);
        assert!(wrapper.recording().duration() < WITHOUT_WAITING);
    }
}

#[test]
fn what_is_left_behind_is_not_waited_for_after_a_signal() {
    let wrapper = Wrapper::new();
    for mut wrapped in wrapper.both() {
        let mut child = piped(wrapped.args(["sh", "-c", "sleep 15 & echo ready; sleep 15"]));
        super::signals::read_exactly(child.stdout.as_mut().unwrap(), "ready\n");
        let told = Instant::now();
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143), "as a shell has it");
        assert!(told.elapsed() < WITHOUT_WAITING, "{:?}", told.elapsed());
    }
    wrapper.assert_ended(Status::Cancelled);
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_command() {
    let folder = tempfile::tempdir().unwrap();
    let record = record_in(folder.path());
    let recorder: Vec<_> = record.get_args().map(|word| word.to_str().unwrap()).collect();
    // A file that grows beyond the limit fails like on a full disk, whether the signal for it is ignored or not. Pipes are
    // no files. 64 blocks of 512 bytes.
    for ignored in ["", "trap '' XFSZ; "] {
        for (code, expected) in [("3", 3), ("0", 6)] {
            let mut limited = Command::new("sh");
            limited.args(["-c", &format!("{ignored}ulimit -c 0; ulimit -f 64; exec env \"$@\""), "sh"]);
            limited.args(&recorder).args(["sh", "-c", &format!("seq 20000; exit {code}")]);
            let (was, shown, said) = ended(limited.output().unwrap());
            assert_eq!(was, Some(expected), "{ignored}{said}");
            assert_eq!(shown.lines().count(), 20_000);
            assert!(
                said.contains("nothing is recorded") && said.contains("lines were shown and not recorded"),
                "{said}"
            );
            let files: Vec<_> =
                fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
            assert_eq!(files.len(), 1, "{files:?}");
            let kept = Recording::read(&files[0]).unwrap();
            assert_eq!(kept.ended.status, Status::Cancelled);
            assert!(kept.lines.len() > 100, "{} lines", kept.lines.len());
            for (index, line) in kept.lines.iter().enumerate() {
                assert_eq!(line.line.text, (index + 1).to_string());
            }
            fs::remove_file(&files[0]).unwrap();
        }
    }
}

#[test]
fn a_command_whose_file_grows_too_large_ends_as_without_a_wrapper() {
    let wrapper = Wrapper::new();
    for mut wrapped in wrapper.both() {
        let (code, _, said) =
            ended(wrapped.args(["sh", "-c", "ulimit -c 0; kill -XFSZ $$"]).output().unwrap());
        assert_eq!(code, Some(128 + Signal::SIGXFSZ as i32), "{said}");
    }
    wrapper.assert_ended(Status::Failed);
}

#[test]
fn two_records_of_one_name_lose_nothing() {
    let wrapper = Wrapper::new();
    let begin = |text: &str| {
        let mut child = piped(wrapper.record().args(["sh", "-c", "echo \"$0\"; read go", text]));
        super::signals::read_exactly(child.stdout.as_mut().unwrap(), &format!("{text}\n"));
        child
    };
    let texts = ["one", "other"];
    for child in texts.map(begin) {
        let (code, _, said) = ended(child.wait_with_output().unwrap());
        // The end of stdin ends `read`, which fails then.
        assert_eq!(code, Some(1), "{said}");
    }
    let file = |name: &str| Recording::read(&wrapper.folder.path().join(name)).unwrap();
    let kept = ["web.ndjson", "web-2.ndjson"].map(|name| file(name).lines[0].line.text.clone());
    assert_eq!(kept, texts);
    assert_eq!(fs::read_dir(wrapper.folder.path()).unwrap().count(), 2);
}

#[test]
fn a_stdin_that_cannot_be_read_is_named_and_what_was_begun_is_ended() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let url = format!("http://{}", server.authority);
    let mut publish = wirelab();
    publish.args(["publish", "--deployment", "web", "--server", &url]).stdin(File::open("/").unwrap());
    let (code, _, said) = ended(publish.output().unwrap());
    assert_eq!(code, Some(6), "{said}");
    assert!(said.contains("stdin: Is a directory"), "{said}");
    assert_eq!(the_deployment(&server).ended, Some(Status::Failed));
}

#[test]
fn a_creation_that_is_repeated_says_that_it_is_the_same() {
    let server = Binary::serve("127.0.0.1:0", &["--store", "memory"]);
    let between = Between::start(&server, ("POST", "/api/deployments"), 1, Lie::Swallow);
    assert_eq!(publish_to(&between.url).arg("true").status().unwrap().code(), Some(0));
    let created = between.asked("POST", "/api/deployments");
    let keys: Vec<_> = created.iter().map(|asked| asked.field("idempotency-key")).collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[0].is_some_and(|key| key.len() >= 16) && keys[0] == keys[1], "{keys:?}");
}

#[test]
fn complaints_that_nobody_can_read_change_nothing() {
    let full = || Stdio::from(OpenOptions::new().write(true).open("/dev/full").unwrap());
    let broken = || Stdio::from(std::io::pipe().unwrap().1);
    let folder = tempfile::tempdir().unwrap();
    for stderr in [full as fn() -> Stdio, broken] {
        for (script, expected) in [("exit 3", 3), ("echo line", 6)] {
            let mut publish = publish_to("http://127.0.0.1:1");
            assert_eq!(
                publish.args(["sh", "-c", script]).stderr(stderr()).status().unwrap().code(),
                Some(expected)
            );
        }
        let mut record = record_in(folder.path());
        let script = "trap '' PIPE; echo line >&2; exit 3";
        assert_eq!(record.args(["sh", "-c", script]).stderr(stderr()).status().unwrap().code(), Some(3));
        fs::remove_file(folder.path().join("web.ndjson")).unwrap();
    }
}

#[test]
fn a_command_that_is_started_with_nohup_outlives_the_hangup() {
    let wrapper = Wrapper::new();
    for wrapped in wrapper.both() {
        let mut ignoring = Command::new("env");
        ignoring
            .arg("--ignore-signal=HUP")
            .args(wrapped.get_args().filter(|word| !word.to_string_lossy().starts_with("--default")));
        let mut child =
            piped(ignoring.args(["sh", "-c", "echo ready; read go; echo done; exit 4"]).process_group(0));
        super::signals::read_exactly(child.stdout.as_mut().unwrap(), "ready\n");
        kill(Pid::from_raw(-child.id().cast_signed()), Signal::SIGHUP).unwrap();
        let (code, shown, said) = ended(child.wait_with_output().unwrap());
        assert_eq!((code, shown.as_str()), (Some(4), "done\n"), "{said}");
    }
    wrapper.assert_ended(Status::Failed);
}
