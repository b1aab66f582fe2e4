//! A results folder on disk, which `run` writes and other commands read. Depends on no file name.
//!
//! A folder belongs to one experiment: `run` makes it new, and `run --resume` takes it only while no other process works
//! in it. Other commands read it at any time.

use std::fs::{self, File as OpenFile, Permissions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::Builder;

use super::Failure;
use crate::report::File;

/// Bytes that are read of one file: a row of `runs.csv` has less than 1 KiB, a log less than 100 KiB.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Folders of one name, told apart by a number: experiments of one plan and commit that begin in the same second.
const NAMESAKES_MAX: usize = 1_000;
/// Permissions of a written file before the process's umask.
const FILE_MODE: u32 = 0o666;

/// Error of the operating system at a file or folder.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub(super) struct Refused {
    path: PathBuf,
    #[source]
    error: io::Error,
}

/// A folder in which this process alone works, until the value is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) path: PathBuf,
    /// Holds the lock. `None` where the file system has no locks.
    _lock: Option<OpenFile>,
}

/// Reason why a folder cannot be claimed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unclaimed {
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Another process works in the folder.
    #[error("{}: another `wirelab run` works in this folder; wait until it has ended, or stop it with Ctrl-C", .0.display())]
    InUse(PathBuf),
}

/// Makes a folder of this name that was not there before, and claims it. A number behind the name tells it from others
/// that began in the same second.
pub(super) fn create(parent: &Path, name: &str) -> Result<Claimed, Unclaimed> {
    let first = parent.join(name);
    let refused = |path: &Path, error| Refused { path: path.to_owned(), error };
    let above = first.parent().expect("it is below the parent");
    fs::create_dir_all(above).map_err(|error| refused(above, error))?;
    let numbered = (2..=NAMESAKES_MAX).map(|number| parent.join(format!("{name}-{number}")));
    for folder in std::iter::once(first.clone()).chain(numbered) {
        match fs::create_dir(&folder) {
            Ok(()) => return claim(&folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(refused(&folder, error).into()),
        }
    }
    let error = io::Error::other(format!("{NAMESAKES_MAX} folders of this name are there"));
    Err(refused(&first, error).into())
}

/// Claims a folder: two processes that work in it would overwrite each other's results.
///
/// The lock is that of the folder itself, so no file stays behind. A file system without locks is taken as it is: results
/// can be told apart by eye, unlike the lines of a log.
pub(super) fn claim(folder: &Path) -> Result<Claimed, Unclaimed> {
    let opened = OpenFile::open(folder).map_err(|error| Refused { path: folder.to_owned(), error })?;
    let lock = match opened.try_lock() {
        Ok(()) => Some(opened),
        Err(TryLockError::WouldBlock) => return Err(Unclaimed::InUse(folder.to_owned())),
        Err(TryLockError::Error(_)) => None,
    };
    Ok(Claimed { path: folder.to_owned(), _lock: lock })
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

/// Writes files that were made of a results folder into it.
pub(super) fn add(folder: &Path, files: &[File]) -> Result<(), Failure> {
    write(folder, files)
        .map_err(|error| Failure::environment(format!("{error}; make the folder writable, or copy it")))
}

/// Writes the files in their order. Each is written under a name that no other process has, and renamed: a reader never
/// sees a part of one, and two writers leave a whole file of one of them.
pub(super) fn write(folder: &Path, files: &[File]) -> Result<(), Refused> {
    for file in files {
        let path = folder.join(&file.path);
        let parent = path.parent().expect("it is below the folder");
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        fs::create_dir_all(parent).map_err(|error| Refused { path: parent.to_owned(), error })?;
        let aside = Builder::new()
            .prefix(&format!(".{name}."))
            .permissions(Permissions::from_mode(FILE_MODE))
            .tempfile_in(parent);
        let written = aside.and_then(|mut aside| {
            aside.write_all(&file.bytes)?;
            // An unfinished file is removed when it is dropped.
            aside.persist(&path).map(|_| ()).map_err(|error| error.error)
        });
        written.map_err(|error| Refused { path: path.clone(), error })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn folders_of_one_name_are_different_folders() {
        let results = TempDir::new().unwrap();
        let name = "quick/2026-01-01T000000Z-5f34912";
        let made: Vec<_> = (0..3).map(|_| create(results.path(), name).unwrap()).collect();
        let paths: Vec<_> = made.iter().map(|folder| folder.path.clone()).collect();
        let wanted = ["", "-2", "-3"].map(|end| results.path().join(format!("{name}{end}")));
        assert_eq!(paths, wanted);
    }

    #[test]
    fn a_folder_in_use_is_claimed_by_nobody_else() {
        let results = TempDir::new().unwrap();
        let first = create(results.path(), "quick/a").unwrap();
        let error = claim(&first.path).unwrap_err();
        assert!(matches!(&error, Unclaimed::InUse(path) if *path == first.path), "{error}");
        let path = first.path.clone();
        drop(first);
        // A process that another test starts right now has the lock's descriptor until it runs its program.
        let deadline = Instant::now() + Duration::from_secs(10);
        while claim(&path).is_err() {
            assert!(Instant::now() < deadline, "the folder is still in use");
            std::thread::yield_now();
        }
    }

    #[test]
    fn two_writers_of_one_file_leave_a_whole_one_and_nothing_else() {
        let folder = TempDir::new().unwrap();
        let file = |byte: u8| File { path: "runs.csv".to_owned(), bytes: vec![byte; 1 << 20] };
        let writers = [1, 2].map(|byte| {
            let (folder, file) = (folder.path().to_owned(), file(byte));
            std::thread::spawn(move || {
                (0..20).for_each(|_| write(&folder, std::slice::from_ref(&file)).unwrap())
            })
        });
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        let bytes = fs::read(folder.path().join("runs.csv")).unwrap();
        assert!(bytes.len() == 1 << 20 && bytes.iter().all(|byte| *byte == bytes[0]));
        assert_eq!(names(folder.path()).unwrap(), ["runs.csv"]);
        let mode = fs::metadata(folder.path().join("runs.csv")).unwrap().permissions().mode();
        let plain = folder.path().join("plain");
        fs::write(&plain, "").unwrap();
        assert_eq!(
            mode,
            fs::metadata(plain).unwrap().permissions().mode(),
            "others may not read the results"
        );
    }
}
