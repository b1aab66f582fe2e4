//! Stamps the build: the commit that it is made from and the compiler, for the manifest of a run.
//!
//! The commit is asked of git here, at build time: when a run asks, the sources may be others. A build without git, or
//! from sources that are not a repository of their own, has no commit. Also rebuilds a release when a file of the page is
//! added.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What every build is made of. A change here that is not committed makes the commit `-dirty`.
const SOURCES: [&str; 6] = ["Cargo.toml", "Cargo.lock", "askama.toml", "build.rs", "clients", "src"];
/// What a release carries besides. A debug build reads these folders at run time.
const CARRIED: [&str; 4] = ["static", "data/plans", "data/recordings", "data/targets"];

fn main() {
    let root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo names the folder"));
    let rustc = std::env::var_os("RUSTC").expect("cargo names the compiler");
    let output = Command::new(rustc).arg("--version").output().expect("the compiler that compiled this runs");
    println!("cargo:rustc-env=WIRELAB_RUSTC={}", String::from_utf8_lossy(&output.stdout).trim());

    let is_release = std::env::var("PROFILE").as_deref() == Ok("release");
    let carried: &[&str] = if is_release { &CARRIED } else { &[] };
    let sources: Vec<&str> = SOURCES.iter().chain(carried).copied().collect();
    // A file that is missing would make every build run this again.
    for source in sources.iter().filter(|source| root.join(source).exists()) {
        println!("cargo:rerun-if-changed={source}");
    }
    if let Some(commit) = commit(&root, &sources) {
        println!("cargo:rustc-env=WIRELAB_COMMIT={commit}");
    }
}

/// Returns the commit of the sources, with `-dirty` if one of them differs from it, and tells cargo which files of git
/// say so. `None` without git, without a commit, and where the repository is another one that holds this folder.
fn commit(root: &Path, sources: &[&str]) -> Option<String> {
    let top = git(root, &["rev-parse", "--show-toplevel"])?;
    if Path::new(&top).canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let commit = git(root, &["rev-parse", "--short=7", "HEAD"])?;
    // The log of HEAD grows with every commit, checkout and reset. HEAD and its branch are watched for a repository that
    // keeps no log. Each lies elsewhere in a worktree, and git knows where.
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]);
    let moved = ["HEAD", "logs/HEAD", "packed-refs"].map(str::to_owned).into_iter().chain(branch);
    for file in moved.filter_map(|name| git(root, &["rev-parse", "--git-path", &name])) {
        let file = root.join(file);
        if file.exists() {
            println!("cargo:rerun-if-changed={}", file.display());
        }
    }
    let changed = git(root, &[&["status", "--porcelain", "--"], sources].concat())?;
    Some(if changed.is_empty() { commit } else { format!("{commit}-dirty") })
}

/// Returns what git says; `None` if it fails. Git must not write its index here: the build would then look changed.
fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("git");
    // A hook of git sets these for its own repository.
    for variable in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
        command.env_remove(variable);
    }
    let output = command.arg("--no-optional-locks").arg("-C").arg(root).args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
