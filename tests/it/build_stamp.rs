//! Which build was measured: the commit that the build script stamps, and a program whose file is replaced.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::server::{wait_until, wirelab};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

fn git(folder: &Path, arguments: &[&str]) -> String {
    let author = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"];
    let mut command = Command::new("git");
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    let output = command.arg("-C").arg(folder).args(author).args(arguments).output().unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// The build script of this repository, compiled by itself.
struct Script {
    folder: TempDir,
}

impl Script {
    fn compile() -> Self {
        let folder = TempDir::new().unwrap();
        let source = Path::new(PROJECT).join("build.rs");
        let rustc = Command::new("rustc")
            .args(["--edition", "2024", "-o"])
            .arg(folder.path().join("script"))
            .arg(source)
            .status()
            .unwrap();
        assert!(rustc.success());
        Self { folder }
    }

    /// Runs the script as cargo does for a package in `root`, and returns its lines.
    fn lines(&self, root: &Path, profile: &str) -> Vec<String> {
        let output = Command::new(self.folder.path().join("script"))
            .current_dir(root)
            .env("CARGO_MANIFEST_DIR", root)
            .env("RUSTC", "rustc")
            .env("PROFILE", profile)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    fn commit(&self, root: &Path, profile: &str) -> Option<String> {
        let lines = self.lines(root, profile);
        lines.iter().find_map(|line| line.strip_prefix("cargo:rustc-env=WIRELAB_COMMIT=").map(str::to_owned))
    }

    fn watched(&self, root: &Path) -> Vec<PathBuf> {
        let lines = self.lines(root, "debug");
        let watched = lines.iter().filter_map(|line| line.strip_prefix("cargo:rerun-if-changed="));
        watched.map(|path| root.join(path)).collect()
    }
}

/// Makes a folder with a source and a document.
fn sources(root: &Path) {
    fs::create_dir_all(root.join("src")).unwrap();
    fs::create_dir_all(root.join("static")).unwrap();
    for file in ["Cargo.toml", "src/main.rs", "static/page.js", "README.md"] {
        fs::write(root.join(file), "1").unwrap();
    }
}

fn committed(root: &Path) -> String {
    git(root, &["add", "."]);
    git(root, &["commit", "-q", "-m", "a"]);
    git(root, &["rev-parse", "--short=7", "HEAD"])
}

#[test]
fn a_build_is_stamped_with_its_commit_and_says_what_differs_from_it() {
    let script = Script::compile();
    let parent = TempDir::new().unwrap();
    let root = parent.path().join("lab");
    sources(&root);
    assert_eq!(script.commit(&root, "debug"), None, "there is no repository");

    // A folder inside the repository of something else.
    git(parent.path(), &["init", "-q"]);
    committed(parent.path());
    assert_eq!(script.commit(&root, "debug"), None, "the commit of another repository");
    fs::remove_dir_all(parent.path().join(".git")).unwrap();

    git(&root, &["init", "-q"]);
    assert_eq!(script.commit(&root, "debug"), None, "there is no commit");
    let first = committed(&root);
    assert_eq!(script.commit(&root, "debug"), Some(first.clone()));
    fs::write(root.join("README.md"), "2").unwrap();
    assert_eq!(script.commit(&root, "debug"), Some(first.clone()), "a document is no part of a build");
    fs::write(root.join("static/page.js"), "2").unwrap();
    assert_eq!(
        script.commit(&root, "debug"),
        Some(first.clone()),
        "a debug build reads the page at run time"
    );
    assert_eq!(script.commit(&root, "release"), Some(format!("{first}-dirty")));
    fs::write(root.join("src/new.rs"), "1").unwrap();
    assert_eq!(script.commit(&root, "debug"), Some(format!("{first}-dirty")), "a new file is a change");
    let second = committed(&root);
    assert_ne!(first, second);
    assert_eq!(script.commit(&root, "release"), Some(second));
}

#[test]
fn a_commit_triggers_a_build_also_in_a_worktree_and_with_packed_references() {
    let script = Script::compile();
    let parent = TempDir::new().unwrap();
    let root = parent.path().join("lab");
    sources(&root);
    git(&root, &["init", "-q"]);
    committed(&root);
    let tree = parent.path().join("tree");
    git(&root, &["worktree", "add", "-q", &tree.to_string_lossy()]);
    git(&root, &["pack-refs", "--all"]);
    for place in [&root, &tree] {
        let watched = script.watched(place);
        // A missing file would make every build run the script again.
        assert!(watched.iter().all(|path| path.exists()), "{watched:?}");
        let states = || watched.iter().filter(|path| path.is_file()).map(|path| fs::read(path).unwrap());
        let before: Vec<_> = states().collect();
        let index = git(place, &["rev-parse", "--git-path", "index"]);
        let index_before = fs::metadata(place.join(&index)).unwrap().modified().unwrap();
        script.lines(place, "debug");
        assert_eq!(fs::metadata(place.join(&index)).unwrap().modified().unwrap(), index_before);
        git(place, &["commit", "-q", "--allow-empty", "-m", "b"]);
        assert_ne!(before, states().collect::<Vec<_>>(), "nothing that is watched has changed: {watched:?}");
    }
}

#[test]
fn a_run_goes_on_with_the_program_that_began_it_and_tells_which_that_was() {
    let (programs, results) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let program = programs.path().join("wirelab");
    fs::copy(wirelab().get_program(), &program).unwrap();
    let hash = sha256(&program);
    let mut run = Command::new(&program)
        .current_dir(PROJECT)
        .args(["run", "--transport", "sse", "--rate", "50", "--duration", "1s", "--subscribers", "2"])
        .arg("--results")
        .arg(results.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let parent = results.path().join("ad-hoc");
    let folder = || Some(fs::read_dir(&parent).ok()?.next()?.ok()?.path());
    wait_until("the run has begun", || folder().is_some_and(|folder| folder.join("manifest.json").exists()));
    // The build that comes meanwhile can do nothing.
    let next = programs.path().join("next");
    fs::write(&next, "#!/bin/sh\nexit 9\n").unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&next, &program).unwrap();

    let ended = run.wait().unwrap();
    let mut said = String::new();
    run.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    // A busy machine may make the run invalid. It must not fail.
    assert!([Some(0), Some(4), Some(5)].contains(&ended.code()), "{ended}: {said}");
    let folder = folder().unwrap();
    assert_eq!(fs::read_to_string(folder.join("runs.csv")).unwrap().lines().count(), 2, "{said}");
    let manifest: Value =
        serde_json::from_str(&fs::read_to_string(folder.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["executable_sha256"], hash, "another program is named");
    assert_eq!(manifest["argv"][0], program.to_string_lossy().into_owned());
    let head = ["rev-parse", "--short=7", "HEAD"];
    let head = Command::new("git").arg("-C").arg(PROJECT).args(head).output();
    match head.ok().filter(|output| output.status.success()) {
        Some(head) => {
            let commit = manifest["commit"].as_str().unwrap().trim_end_matches("-dirty").to_owned();
            assert_eq!(commit, String::from_utf8(head.stdout).unwrap().trim(), "the stamp is old");
            assert!(folder.to_string_lossy().contains(&commit), "{folder:?}");
        }
        // A copy of the sources without their history.
        None => assert_eq!(manifest["commit"], Value::Null),
    }
}

fn sha256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split_whitespace().next().unwrap().to_owned()
}
