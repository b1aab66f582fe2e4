//! Records the version of the compiler for the manifest of a run, and rebuilds a release when a file of the page is
//! added.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").expect("cargo names the compiler");
    let output = Command::new(rustc).arg("--version").output().expect("the compiler that compiled this runs");
    println!("cargo:rustc-env=WIRELAB_RUSTC={}", String::from_utf8_lossy(&output.stdout).trim());
    println!("cargo:rerun-if-changed=build.rs");
    // A change of a known file triggers a rebuild anyway; a new file does not. A debug build reads the folder at run
    // time.
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo:rerun-if-changed=static");
    }
}
