//! A disk that is full or read-only, and a process without descriptors: trouble that passes, passes by itself.
//!
//! Each server gets a small file system of its own, in a mount namespace that ends with it.

use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::geteuid;
use tempfile::TempDir;
use wirelab_clients::wire::{Deployment, DeploymentId, Status};

use crate::http::{Answer, Api, Connection, Headers, SOON};
use crate::server::{Binary, wait_until};

/// A server on a file system of its own.
struct Small {
    server: Binary,
    disk: TempDir,
}

impl Small {
    /// Mounts a file system with these options, runs `prepare` in it, and serves from its folder `data`.
    fn serve(options: &str, prepare: &str, stderr: Stdio) -> Self {
        let disk = TempDir::new().unwrap();
        let script = format!(
            r#"mount -t tmpfs -o {options} tmpfs "$1" && cd "$1" && {{ {prepare}; }} && exec "$0" serve --bind 127.0.0.1:0 --data "$1/data""#
        );
        let mut command = in_its_own_namespace();
        command.args(["sh", "-c", &script]).arg(env!("CARGO_BIN_EXE_wirelab")).arg(disk.path());
        Self { server: Binary::of(command.stderr(stderr)), disk }
    }

    /// The disk as the server sees it.
    fn path(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.server.pid()));
        root.join(self.disk.path().strip_prefix("/").unwrap()).join(name)
    }

    /// Fills the disk to its last byte.
    fn fill(&self) {
        let mut ballast = File::create(self.path("ballast")).unwrap();
        for piece in [4_096, 1] {
            while ballast.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.path("ballast")).unwrap();
    }
}

/// `unshare`, known to let a process here mount.
fn in_its_own_namespace() -> Command {
    let namespace = if geteuid().is_root() { "-m" } else { "-rm" };
    let tried = Command::new("unshare").args([namespace, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    let tried = tried.expect("unshare is part of util-linux");
    assert!(
        tried.status.success(),
        "nothing can be mounted here, so a full disk cannot be shown: {}a container needs --cap-add=SYS_ADMIN",
        String::from_utf8_lossy(&tried.stderr)
    );
    let mut command = Command::new("unshare");
    command.arg(namespace);
    command
}

fn append(api: &Api, id: &DeploymentId, key: &str, text: &str) -> Answer {
    let headers: Headers = &[("content-type", "text/plain"), ("idempotency-key", key)];
    api.ask("POST", &format!("/api/deployments/{id}/lines"), headers, text.as_bytes())
}

fn finish(api: &Api, id: &DeploymentId) -> Answer {
    api.post(&format!("/api/deployments/{id}/finish"), "application/json", r#"{"status":"succeeded"}"#)
}

fn create(api: &Api) -> Answer {
    api.post("/api/deployments", "application/json", r#"{"name":"one more"}"#)
}

fn delete(api: &Api, id: &DeploymentId) -> Answer {
    api.ask("DELETE", &format!("/api/deployments/{id}"), &[], b"")
}

/// That an answer is a refusal that passes, with advice, and says nothing of the server's folders.
#[track_caller]
fn passes(answer: &Answer, status: u16, disk: &Path) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let advice: u64 = answer.header("retry-after").expect("advice").parse().expect("seconds");
    assert!(advice > 0);
    let detail = answer.problem().unwrap().detail;
    assert!(!detail.contains(disk.to_str().unwrap()), "{detail}");
}

#[test]
fn a_full_disk_is_answered_507_until_there_is_room_and_then_takes_lines() {
    let small = Small::serve("size=1m", "true", Stdio::null());
    let (api, disk) = (&small.server, small.disk.path());
    let id = api.create().id;
    api.append(&id, &["a"]);
    assert_eq!(api.get("/readyz").status, 200);

    small.fill();
    let large = "x".repeat(9_000);
    for _ in 0..3 {
        passes(&append(api, &id, "k", &large), 507, disk);
        passes(&create(api), 507, disk);
    }
    passes(&api.get("/readyz"), 503, disk);
    assert_eq!(api.get("/healthz").status, 200);
    assert_eq!(api.lines(&id, "").lines.len(), 1);
    assert_eq!(api.get("/api/deployments").json::<Vec<Deployment>>().len(), 1, "a failed creation stays");

    small.make_room();
    assert_eq!(api.get("/readyz").status, 200, "the trouble is over, and no write has tried it");
    let appended = append(api, &id, "k", &large);
    assert_eq!((appended.status, appended.json::<wirelab_clients::wire::Appended>().first), (201, 2));
    assert_eq!(append(api, &id, "k", &large).text(), appended.text());
    assert_eq!((create(api).status, finish(api, &id).status), (201, 200));
    assert_eq!(api.show(&id).lines, 2);
}

#[test]
fn an_end_that_finds_no_room_comes_when_there_is_some() {
    let small = Small::serve("size=1m", "true", Stdio::null());
    let (api, disk) = (&small.server, small.disk.path());
    let id = api.create().id;
    small.fill();
    passes(&finish(api, &id), 507, disk);
    assert_eq!(api.show(&id).ended, None);
    small.make_room();
    api.append(&id, &["a"]);
    assert_eq!(finish(api, &id).status, 200);
    assert_eq!(api.show(&id).ended, Some(Status::Succeeded));
}

#[test]
fn deleting_makes_room_even_if_nobody_can_be_told_of_the_full_disk() {
    let broken = || {
        let (reader, writer): (PipeReader, PipeWriter) = std::io::pipe().unwrap();
        drop(reader);
        Stdio::from(writer)
    };
    let full = Stdio::from(File::options().write(true).open("/dev/full").unwrap());
    for stderr in [full, broken()] {
        let small = Small::serve("size=1m", "true", stderr);
        let (api, disk) = (&small.server, small.disk.path());
        let (first, second) = (api.create().id, api.create().id);
        api.append(&first, &["a".repeat(100_000)]);
        api.append(&second, &["b"]);
        small.fill();
        for id in [&first, &second] {
            passes(&append(api, id, "k", &"x".repeat(9_000)), 507, disk);
        }
        assert_eq!(delete(api, &first).status, 204);
        assert_eq!(api.get(&format!("/api/deployments/{first}")).status, 404);
        assert_eq!(delete(api, &first).status, 404);
        assert_eq!(append(api, &second, "k", &"x".repeat(9_000)).status, 201);
        assert_eq!(api.get("/readyz").status, 200);
    }
}

/// A folder of data as a server left it that was killed: one deployment with a line, and one that the server fed.
fn data_of_a_killed_server() -> (TempDir, DeploymentId, DeploymentId) {
    let data = TempDir::new().unwrap();
    let server = Binary::serve("127.0.0.1:0", &["--data", data.path().to_str().unwrap()]);
    let id = server.create().id;
    server.append(&id, &["a"]);
    let body = r#"{"name":"fed","source":{"kind":"generate","rate_hz":0.01}}"#;
    let fed = server.post("/api/deployments", "application/json", body).json::<Deployment>().id;
    server.kill();
    (data, id, fed)
}

#[test]
fn a_server_starts_on_a_full_disk_for_reading_and_deleting() {
    let (data, id, fed) = data_of_a_killed_server();
    let copy = format!("cp -r {} data", data.path().display());
    let disks = [
        ("size=256k", format!("{copy}; cat /dev/zero >ballast 2>/dev/null || true")),
        ("nr_inodes=20", format!("{copy}; i=0; while touch file$i 2>/dev/null; do i=$((i+1)); done")),
    ];
    for (options, prepare) in disks {
        let said = tempfile::NamedTempFile::new().unwrap();
        let small = Small::serve(options, &prepare, Stdio::from(said.reopen().unwrap()));
        let (api, disk) = (&small.server, small.disk.path());
        assert_eq!(api.lines(&id, "").lines[0].line.text, "a", "{options}");
        passes(&create(api), 507, disk);
        passes(&api.get("/readyz"), 503, disk);
        wait_until("the complaint", || {
            let said = fs::read_to_string(said.path()).unwrap();
            said.contains("No space left on device") && said.contains("can be read and deleted")
        });
        assert_eq!(delete(api, &id).status, 204, "{options}");
        assert_eq!(create(api).status, 201, "{options}");
        assert_eq!(api.get("/readyz").status, 200, "{options}");
        wait_until("the end of what is no longer fed", || api.show(&fed).ended == Some(Status::Cancelled));
    }
}

#[test]
fn a_server_starts_on_a_read_only_disk_for_reading() {
    let (data, id, fed) = data_of_a_killed_server();
    // With a torn end, which cannot be cut there.
    let (folder, id_text) = (data.path().display(), id.as_str());
    let prepare = format!(
        "cp -r {folder} data; rm data/lock; printf '{{\"seq\":2,' >>data/{id_text}/00000000000000000001.ndjson; \
         mount -o remount,ro ."
    );
    let said = tempfile::NamedTempFile::new().unwrap();
    let small = Small::serve("size=1m", &prepare, Stdio::from(said.reopen().unwrap()));
    let (api, disk) = (&small.server, small.disk.path());
    assert_eq!(api.lines(&id, "").lines[0].line.text, "a");
    for refused in [append(api, &id, "k", "b"), create(api), delete(api, &id), api.get("/readyz")] {
        passes(&refused, 503, disk);
    }
    assert_eq!((api.show(&id).lines, api.show(&fed).ended), (1, None));
    wait_until("the complaint", || {
        let said = fs::read_to_string(said.path()).unwrap();
        said.contains("Read-only file system") && said.contains("can be read, and not deleted")
    });
}

const REPLAY: &[u8] = br#"{"name":"x","source":{"kind":"replay","recording":"cargo-build","speed":1.0}}"#;

#[test]
fn a_source_that_meets_a_full_disk_goes_on_once_there_is_room() {
    let small = Small::serve("size=1m", "true", Stdio::null());
    let api = &small.server;
    let body = r#"{"name":"fed","source":{"kind":"generate","rate_hz":100.0}}"#;
    let fed = api.post("/api/deployments", "application/json", body).json::<Deployment>().id;
    small.fill();
    wait_until("a write that finds no room", || api.get("/readyz").status == 503);
    let kept = api.show(&fed).lines;
    small.make_room();
    wait_until("the next line", || api.show(&fed).lines > kept);
    let texts: Vec<_> = api.lines(&fed, "").lines.into_iter().map(|line| line.line.text).collect();
    assert!((1..).zip(&texts).all(|(number, text)| *text == format!("generated line {number}")), "{texts:?}");
}

#[test]
fn a_lack_of_descriptors_is_answered_503_and_passes() {
    let data = TempDir::new().unwrap();
    let server = Binary::serve("127.0.0.1:0", &["--data", data.path().to_str().unwrap()]);
    let (id, other) = (server.create().id, server.create().id);
    let open_files = |limit: &str| {
        let pid = server.pid().to_string();
        let set = Command::new("prlimit").args(["--pid", &pid, &format!("--nofile={limit}:")]).status();
        assert!(set.expect("prlimit is part of util-linux").success());
    };
    let mut connection = Connection::open(&server.authority, SOON).unwrap();
    let kind: Headers = &[("content-type", "text/plain"), ("idempotency-key", "k")];
    let lines = format!("/api/deployments/{id}/lines");
    let mut ask = |method: &str, path: &str, headers, body: &[u8]| {
        connection.ask(method, path, headers, body).expect("it is answered")
    };
    ask("GET", "/healthz", &[], b"");

    open_files("3");
    for _ in 0..3 {
        passes(&ask("POST", &lines, kind, b"a"), 503, data.path());
    }
    let json: Headers = &[("content-type", "application/json")];
    passes(&ask("POST", "/api/deployments", json, br#"{"name":"x"}"#), 503, data.path());
    passes(&ask("POST", "/api/deployments", json, REPLAY), 503, data.path());
    passes(&ask("GET", "/api/recordings", &[], b""), 503, data.path());
    let end = format!("/api/deployments/{other}/finish");
    passes(&ask("POST", &end, json, br#"{"status":"failed"}"#), 503, data.path());
    passes(&ask("GET", "/readyz", &[], b""), 503, data.path());

    open_files("1024");
    assert_eq!(ask("GET", "/readyz", &[], b"").status, 200);
    assert_eq!(ask("POST", &lines, kind, b"a").status, 201);
    assert_eq!(ask("POST", &end, json, br#"{"status":"failed"}"#).status, 200);
    assert_eq!(server.show(&id).lines, 1);
}

#[test]
fn each_kind_of_refused_folder_gets_a_remedy_of_its_own() {
    let said = |path: &Path| {
        let mut command = crate::server::wirelab();
        let run = command.args(["serve", "--bind", "127.0.0.1:0", "--data"]).arg(path).output().unwrap();
        assert_eq!(run.status.code(), Some(6));
        String::from_utf8(run.stderr).unwrap()
    };
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let no_folder = said(&folder.path().join("file"));
    assert!(no_folder.contains("it is no folder"), "{no_folder}");

    let (data, id, _) = data_of_a_killed_server();
    fs::remove_file(data.path().join(id.as_str()).join("deployment.json")).unwrap();
    let missing = said(data.path());
    assert!(missing.contains("deployment.json is missing: restore it from a copy"), "{missing}");
    assert!(!missing.contains("writable"), "{missing}");

    // Nobody is refused as root.
    if !geteuid().is_root() {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o500)).unwrap();
        let refused = said(&folder.path().join("data"));
        assert!(refused.contains("make it readable and writable for this user"), "{refused}");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
    }
}
