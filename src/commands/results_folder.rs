//! A results folder on disk: what `run` writes and `report` reads again. Knows no file by name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::report::File;

/// A file or folder that the operating system refused.
#[derive(Debug, thiserror::Error)]
#[error("{}: {error}", path.display())]
pub(super) struct Refused {
    pub(super) path: PathBuf,
    #[source]
    pub(super) error: io::Error,
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
        fs::write(&aside, &file.bytes).and_then(|()| fs::rename(&aside, &path)).map_err(refused(&path))?;
    }
    Ok(())
}
