//! Records which compiler builds wirelab, for the manifest of a run, and sees to it that a release carries every
//! file of the page.

use std::process::Command;

fn main() {
    let rustc = std::env::var("RUSTC").expect("cargo names the compiler");
    let output = Command::new(rustc).arg("--version").output().expect("the compiler that compiled this runs");
    println!("cargo:rustc-env=WIRELAB_RUSTC={}", String::from_utf8_lossy(&output.stdout).trim());
    println!("cargo:rerun-if-changed=build.rs");
    // Changed files are noticed anyway, new ones are not. A debug build reads the folder when it runs.
    if std::env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo:rerun-if-changed=static");
    }
}
