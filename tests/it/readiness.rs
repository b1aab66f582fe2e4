//! `/readyz` on a disk store whose disk is full.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use tempfile::TempDir;
use wirelab::store::disk::DiskStore;

use crate::server::Setup;

#[test]
fn a_server_whose_store_failed_is_not_ready_and_says_which_deployment_it_is() {
    let data = TempDir::new().unwrap();
    let store = Arc::new(DiskStore::open(data.path().to_owned(), 0).unwrap());
    let server = Setup { store, ..Setup::default() }.start();
    let (well, full) = (server.create().id, server.create().id);
    assert_eq!(server.get("/readyz").status, 200);

    // The file that the next append opens is a device with no space left.
    let folder = data.path().join(full.as_str());
    let mut segments = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let segment = segments.find(|path| path.extension().is_some_and(|end| end == "ndjson")).unwrap();
    fs::remove_file(&segment).unwrap();
    symlink("/dev/full", &segment).unwrap();
    let refused = server.post(&format!("/api/deployments/{full}/lines"), "text/plain", "a");
    assert_eq!(refused.status, 500, "{refused:?}");

    let answer = server.get("/readyz");
    assert_eq!(answer.status, 503);
    let problem = answer.problem().unwrap();
    assert!(problem.detail.contains(full.as_str()), "{problem:?}");
    assert!(problem.detail.contains("No space left") && problem.detail.contains("restart"), "{problem:?}");
    // It lives, and the other deployment goes on.
    assert_eq!(server.get("/healthz").status, 200);
    server.append(&well, &["a"]);

    assert_eq!(server.ask("DELETE", &format!("/api/deployments/{full}"), &[], b"").status, 204);
    assert_eq!(server.get("/readyz").status, 200, "the one that failed is gone");
}
