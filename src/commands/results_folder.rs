//! A results folder on disk, which `run` writes and other commands read. Depends on no file name.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::report::File;

/// Bytes that are read of one file: a row of `runs.csv` has less than 1 KiB, a log less than 100 KiB.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Error of the operating system at a file or folder.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub(super) struct Refused {
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// Reads the `wanted` files of a folder and of its folders `inner`, in the order of their paths. Other files are not
/// opened.
pub(super) fn read(folder: &Path, inner: &[&str], wanted: fn(&str) -> bool) -> Result<Vec<File>, Refused> {
    let mut paths = names(folder)?;
    for inner in inner.iter().filter(|inner| folder.join(inner).is_dir()) {
        paths.extend(names(&folder.join(inner))?.into_iter().map(|name| format!("{inner}/{name}")));
    }
    paths.retain(|path| wanted(path));
    paths.sort();
    paths.into_iter().map(|path| Ok(File { bytes: bytes(&folder.join(&path))?, path })).collect()
}

/// Returns the names in a folder. Names that are not UTF-8 are left out: no run writes one.
fn names(folder: &Path) -> Result<Vec<String>, Refused> {
    let refused = |error| Refused { path: folder.to_owned(), error };
    let entries = fs::read_dir(folder).map_err(refused)?.collect::<Result<Vec<_>, _>>().map_err(refused)?;
    Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn bytes(path: &Path) -> Result<Vec<u8>, Refused> {
    let refused = |error| Refused { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    // Opening a pipe would block.
    if !fs::metadata(path).map_err(refused)?.is_file() {
        return Err(refused(io::Error::other("it is not a file")));
    }
    let file = fs::File::open(path).map_err(refused)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refused(io::Error::other(format!(
            "it has more than {FILE_BYTES_MAX} bytes, which is the limit"
        ))));
    }
    Ok(bytes)
}

/// Writes the files in their order. Each is written under another name and renamed: a reader never sees a part of one.
pub(super) fn write(folder: &Path, files: &[File]) -> Result<(), Refused> {
    let refused = |path: &Path| {
        let path = path.to_owned();
        move |error| Refused { path, error }
    };
    fs::create_dir_all(folder).map_err(refused(folder))?;
    for file in files {
        let path = folder.join(&file.path);
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        let parent = path.parent().expect("it is below the folder");
        fs::create_dir_all(parent).map_err(refused(parent))?;
        let aside = parent.join(format!(".{name}"));
        let written = fs::write(&aside, &file.bytes).and_then(|()| fs::rename(&aside, &path));
        if let Err(error) = written {
            // Removes the unfinished file. A failure here adds nothing to the error that is returned.
            let _ = fs::remove_file(&aside);
            return Err(Refused { path, error });
        }
    }
    Ok(())
}
