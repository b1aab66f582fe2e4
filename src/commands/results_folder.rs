//! A results folder on disk: what `run` writes and `report` reads again. Knows no file by name.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::report::File;

/// What is read of one file: a row of `runs.csv` has less than 1 KiB, a log less than 100 KiB.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A file or folder that the operating system refused.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub(super) struct Refused {
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// The `wanted` files of the folder and of the folders `inner` in it, in the order of their paths. What else is there
/// is not touched.
pub(super) fn read(folder: &Path, inner: &[&str], wanted: fn(&str) -> bool) -> Result<Vec<File>, Refused> {
    let mut paths = names(folder)?;
    for inner in inner.iter().filter(|inner| folder.join(inner).is_dir()) {
        paths.extend(names(&folder.join(inner))?.into_iter().map(|name| format!("{inner}/{name}")));
    }
    paths.retain(|path| wanted(path));
    paths.sort();
    paths.into_iter().map(|path| Ok(File { bytes: bytes(&folder.join(&path))?, path })).collect()
}

/// Names that are not UTF-8 are none of ours.
fn names(folder: &Path) -> Result<Vec<String>, Refused> {
    let refused = |error| Refused { path: folder.to_owned(), error };
    let entries = fs::read_dir(folder).map_err(refused)?.collect::<Result<Vec<_>, _>>().map_err(refused)?;
    Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn bytes(path: &Path) -> Result<Vec<u8>, Refused> {
    let refused = |error| Refused { path: path.to_owned(), error };
    let mut bytes = Vec::new();
    // A pipe under a file's name would not even open.
    if !fs::metadata(path).map_err(refused)?.is_file() {
        return Err(refused(io::Error::other("it is no file")));
    }
    let file = fs::File::open(path).map_err(refused)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(refused)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refused(io::Error::other(format!("it has more than {FILE_BYTES_MAX} bytes"))));
    }
    Ok(bytes)
}

/// Writes the files in their order. Each is written aside and renamed: a reader never sees half of one.
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
            // Half a file is nobody's; that it could not be removed says no more than the error does.
            let _ = fs::remove_file(&aside);
            return Err(Refused { path, error });
        }
    }
    Ok(())
}
