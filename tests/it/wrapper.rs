//! `publish` and `record` must not get in the way of the command that they wrap, through the real binary.

mod codes;
mod doubt;
mod life;
mod output;
mod signals;
mod unread;

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;
use wirelab_clients::wire::{Deployment, Status};

use crate::http::Api;
use crate::server::{Binary, wirelab};

/// The two commands that wrap another, each with what it needs, and what it has to say in the end.
struct Wrapper {
    server: Binary,
    folder: TempDir,
}

impl Wrapper {
    fn new() -> Self {
        Self { server: Binary::serve("127.0.0.1:0", &["--store", "memory"]), folder: TempDir::new().unwrap() }
    }

    /// `publish` and `record`, each to be given a command.
    fn both(&self) -> [Command; 2] {
        [self.publish(), self.record()]
    }

    fn publish(&self) -> Command {
        publish_to(&format!("http://{}", self.server.authority))
    }

    fn record(&self) -> Command {
        record_in(self.folder.path())
    }

    /// The one deployment.
    fn deployment(&self) -> Deployment {
        the_deployment(&self.server)
    }

    /// The recording; it parses, so it has an end.
    fn recording(&self) -> wirelab_clients::recording::Recording {
        wirelab_clients::recording::Recording::read(&self.folder.path().join("web.ndjson")).unwrap()
    }

    /// Checks that nothing is left running or unfinished, and that both ended like this.
    #[track_caller]
    fn assert_ended(&self, status: Status) {
        assert_eq!(self.deployment().ended, Some(status));
        assert_eq!(self.recording().ended.status, status);
        let files: Vec<_> =
            fs::read_dir(self.folder.path()).unwrap().map(|file| file.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
    }
}

fn publish_to(url: &str) -> Command {
    let mut command = resettled();
    command.args(["publish", "--deployment", "web", "--server", url, "--"]);
    command
}

fn record_in(folder: &Path) -> Command {
    let mut command = resettled();
    command.args(["record", "--name", "web", "--recordings"]).arg(folder).arg("--");
    command
}

/// wirelab with the signals of a login: a test that a script runs in the background would ignore Ctrl-C, and so would what
/// it starts.
fn resettled() -> Command {
    let mut command = Command::new("env");
    command.args(["--default-signal=INT,QUIT,HUP,TERM", wirelab().get_program().to_str().unwrap()]);
    command
}

fn the_deployment(server: &Api) -> Deployment {
    let mut listed: Vec<Deployment> = server.get("/api/deployments").json();
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed.remove(0)
}

fn lines(server: &Api) -> Vec<String> {
    let path = format!("/api/deployments/{}/lines", the_deployment(server).id);
    let batch: wirelab_clients::wire::Batch = server.get(&path).json();
    batch.lines.into_iter().map(|line| line.line.text).collect()
}

fn piped(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Code, stdout and stderr.
fn ended(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}
