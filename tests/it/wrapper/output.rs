//! What the command prints is shown when it comes, as it is, at little cost.

use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};

use super::signals::read_exactly;
use super::{Wrapper, ended, piped};
use crate::server::wait_until;

#[test]
fn a_prompt_and_a_progress_bar_are_shown_before_their_line_ends() {
    let script =
        "printf 'Continue? [y] '; read yes; printf '\\r1/2'; read yes; printf '\\r2/2'; read yes; echo";
    let wrapper = Wrapper::new();
    for mut wrapped in wrapper.both() {
        let mut child = piped(wrapped.args(["sh", "-c", script]));
        for shown in ["Continue? [y] ", "\r1/2", "\r2/2"] {
            read_exactly(child.stdout.as_mut().unwrap(), shown);
            child.stdin.as_mut().unwrap().write_all(b"y\n").unwrap();
        }
        let (code, shown, said) = ended(child.wait_with_output().unwrap());
        assert_eq!((code, shown.as_str()), (Some(0), "\n"), "{said}");
    }
    let text = "Continue? [y] \r1/2\r2/2";
    assert_eq!(super::lines(&wrapper.server), [text], "publishing goes by lines");
    assert_eq!(wrapper.recording().lines[0].line.text, text);
}

#[test]
fn what_stdin_brings_is_shown_before_its_line_ends() {
    let wrapper = Wrapper::new();
    let mut child = piped(&mut wrapper.publish());
    child.stdin.as_mut().unwrap().write_all(b"half ").unwrap();
    read_exactly(child.stdout.as_mut().unwrap(), "half ");
    child.stdin.as_mut().unwrap().write_all(b"whole").unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    assert_eq!(super::lines(&wrapper.server), ["half whole"]);
}

#[test]
fn lines_of_the_two_outputs_are_not_glued_together() {
    // Short lines, and lines that the kernel hands over in parts.
    let short = "for i in $(seq 400); do echo o$i; echo e$i >&2; done";
    let long = "o=$(printf 'o%.0s' $(seq 30000)); e=$(printf 'e%.0s' $(seq 30000)); \
                for i in $(seq 40); do echo $o; echo $e >&2; done";
    for script in [short, long] {
        let wrapper = Wrapper::new();
        for (index, mut wrapped) in wrapper.both().into_iter().enumerate() {
            let path = wrapper.folder.path().join(format!("shown-{index}"));
            let file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
            wrapped.args(["sh", "-c", script]).stdout(file.try_clone().unwrap()).stderr(file);
            assert_eq!(wrapped.status().unwrap().code(), Some(0));
            let shown = fs::read_to_string(&path).unwrap();
            let of_command =
                |line: &&str| !line.starts_with("publishing to") && !line.starts_with("recorded ");
            let rows: Vec<_> = shown.lines().filter(of_command).collect();
            let glued = |row: &&&str| row.is_empty() || (row.contains('o') && row.contains('e'));
            let glued = rows.iter().filter(glued).count();
            let expected = if script == short { 800 } else { 80 };
            assert_eq!((glued, rows.len()), (0, expected), "glued rows and all");
        }
    }
}

#[test]
fn arguments_that_are_not_utf8_reach_the_command() {
    let wrapper = Wrapper::new();
    for mut wrapped in wrapper.both() {
        let output = wrapped.args(["printf", "%s"]).arg(OsStr::from_bytes(b"caf\xe9")).output().unwrap();
        assert_eq!(output.stdout, b"caf\xe9", "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn an_output_that_is_full_is_named_once_and_the_lines_are_kept() {
    let wrapper = Wrapper::new();
    for mut wrapped in wrapper.both() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output =
            wrapped.args(["sh", "-c", "echo one; sleep 0.1; echo two; exit 3"]).stdout(full).output();
        let (code, _, said) = ended(output.unwrap());
        assert_eq!(code, Some(3), "{said}");
        assert_eq!(said.matches("wirelab: stdout: No space left on device").count(), 1, "{said}");
        assert!(said.contains("8 bytes"), "{said}");
    }
    assert_eq!(super::lines(&wrapper.server), ["one", "two"]);
    assert_eq!(wrapper.recording().lines.len(), 2);
}

#[test]
fn a_hasty_command_is_shown_with_few_writes() {
    let wrapper = Wrapper::new();
    for wrapped in wrapper.both() {
        // Without `env` in front: the process is wirelab itself.
        let mut words = wrapped.get_args().skip(1);
        let mut wrapped = Command::new(words.next().unwrap());
        wrapped.args(words).args(["sh", "-c", "seq 50000; read go; exit 3"]);
        let mut child =
            wrapped.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let io = || fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap();
        let count = |name: &str| -> u64 {
            io().lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
        };
        wait_until("all is shown", || count("wchar:") >= 288_894);
        let writes = count("syscw:");
        assert!(writes < 5_000, "{writes} writes for 50,000 lines");
        drop(child.stdin.take());
        assert_eq!(child.wait().unwrap().code(), Some(3));
    }
    assert_eq!(wrapper.deployment().lines, 50_000);
    assert_eq!(wrapper.recording().lines.len(), 50_000);
}
