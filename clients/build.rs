//! Lists the plans, recordings and profiles of `data/`, so that the binary carries them. `data_files.rs` includes the
//! list.
//!
//! Not by rust-embed, as the page is: that reads a debug build's files from the sources, so no test of a debug build
//! could tell that a release has them.

use std::fs;
use std::path::Path;

/// Folders of `data/`, each with the extension of its files. In the order of `Kind` in `data_files.rs`.
const FOLDERS: [(&str, &str); 3] = [("plans", "toml"), ("recordings", "ndjson"), ("targets", "toml")];
/// Most bytes of a carried file. The longest recording of the repository has a tenth of it; a longer one that somebody
/// recorded there stays in its folder.
const FILE_BYTES_MAX: u64 = 1 << 20;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let variable = |name: &str| std::env::var(name).expect("cargo sets it");
    let data = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../data");
    let mut list = "[\n".to_owned();
    for (folder, extension) in FOLDERS {
        let folder = data.join(folder);
        // The folder too: a new file changes no other.
        println!("cargo:rerun-if-changed={}", folder.display());
        let entries = fs::read_dir(&folder).expect("the repository has its data");
        let mut paths: Vec<_> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
        paths.retain(|path| path.extension().is_some_and(|found| found == extension));
        // By name, as a folder's files are listed: with the extension `a-b.toml` would come before `a.toml`.
        paths.sort_by_key(|path| path.file_stem().map(ToOwned::to_owned));
        list += "&[\n";
        for path in paths {
            let bytes = fs::metadata(&path).expect("it was just listed").len();
            if bytes > FILE_BYTES_MAX {
                println!(
                    "cargo:warning={} has {bytes} bytes and is not carried by the binary",
                    path.display()
                );
                continue;
            }
            let path = path.canonicalize().expect("it was just listed");
            let stem = path.file_stem().expect("a file has a name");
            list += &format!("({stem:?}, include_str!({path:?})),\n");
        }
        list += "],\n";
    }
    list += "]\n";
    let written = fs::write(Path::new(&variable("OUT_DIR")).join("carried.rs"), list);
    written.expect("cargo made the folder");
}
