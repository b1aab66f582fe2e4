//! Data files: plans, recordings and profiles, each found by its name in a folder or in the binary.
//!
//! The binary carries those that stood in `data/` when it was built, so that it works in any directory. A file in the
//! folder wins over the carried file of the same name. For `harness::plan_files`, `recording` and `targets::profile`.
//! Never writes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Kind of a data file. Each kind has a folder of `data/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An experiment, as TOML.
    Plan,
    /// A deployment's lines with their timing, as one JSON object per line.
    Recording,
    /// A profile of another server, as TOML.
    Target,
}

impl Kind {
    /// Every kind, in the order of the carried files.
    pub const ALL: [Self; 3] = [Self::Plan, Self::Recording, Self::Target];

    /// Returns the name of the folder in `data/`.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Plan => "plans",
            Self::Recording => "recordings",
            Self::Target => "targets",
        }
    }

    /// Returns the extension of a file's name.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Plan | Self::Target => "toml",
            Self::Recording => "ndjson",
        }
    }

    /// Returns the carried files with their names, in the order of the names.
    fn carried(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Plan => CARRIED[0],
            Self::Recording => CARRIED[1],
            Self::Target => CARRIED[2],
        }
    }
}

/// Carried files of each kind: name and text. `build.rs` lists them.
const CARRIED: [&[(&str, &str)]; Kind::ALL.len()] = include!(concat!(env!("OUT_DIR"), "/carried.rs"));

/// Most bytes of a text that is read from a folder. Plans and profiles have less than 3 KiB.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// A data file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DataFile {
    /// A file on disk, by its path.
    OnDisk(PathBuf),
    /// A file that the binary carries, by its text.
    Carried(&'static str),
}

impl DataFile {
    /// Returns the file's text. For plans and profiles; a recording may be longer than the bound of a text.
    pub fn text(&self) -> io::Result<String> {
        let path = match self {
            Self::Carried(text) => return Ok((*text).to_owned()),
            Self::OnDisk(path) => path,
        };
        let mut text = String::new();
        fs::File::open(path)?.take(TEXT_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > TEXT_BYTES_MAX {
            let what = format!("it has more than {TEXT_BYTES_MAX} bytes, which is the limit");
            return Err(io::Error::other(what));
        }
        Ok(text)
    }
}

/// Lists the files of a kind in `folder` and in the binary, by name. A folder that does not exist holds nothing.
pub fn all(kind: Kind, folder: &Path) -> io::Result<BTreeMap<String, DataFile>> {
    let carried = kind.carried().iter().map(|(name, text)| ((*name).to_owned(), DataFile::Carried(text)));
    let mut files: BTreeMap<_, _> = carried.collect();
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == kind.extension())
            && let Some(name) = path.file_stem().and_then(|stem| stem.to_str())
        {
            files.insert(name.to_owned(), DataFile::OnDisk(path));
        }
    }
    Ok(files)
}

/// Finds a file by its name, which must not be a path: the caller has checked it.
pub fn find(kind: Kind, folder: &Path, name: &str) -> Option<DataFile> {
    let path = folder.join(format!("{name}.{}", kind.extension()));
    if path.is_file() {
        return Some(DataFile::OnDisk(path));
    }
    let carried = kind.carried().iter().find(|(carried, _)| *carried == name);
    carried.map(|(_, text)| DataFile::Carried(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(kind: Kind) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../data").join(kind.folder())
    }

    #[test]
    fn every_file_of_the_repository_is_carried_as_it_is() {
        for kind in Kind::ALL {
            let found = all(kind, &repository(kind)).unwrap();
            let on_disk: Vec<_> =
                found.into_iter().map(|(name, file)| (name, file.text().unwrap())).collect();
            let carried: Vec<_> =
                kind.carried().iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
            assert!(carried.len() >= 3, "{kind:?}");
            assert_eq!(carried, on_disk, "{kind:?}");
        }
    }

    #[test]
    fn a_file_on_disk_wins_over_the_carried_file_of_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let absent = folder.path().join("absent");
        let carried = find(Kind::Plan, &absent, "quick").unwrap();
        assert!(
            matches!(carried, DataFile::Carried(_)) && carried.text().unwrap().contains("name = \"quick\"")
        );
        assert_eq!(all(Kind::Plan, &absent).unwrap()["quick"], carried);

        let (quick, mine) = (folder.path().join("quick.toml"), folder.path().join("mine.toml"));
        fs::write(&quick, "edited").unwrap();
        fs::write(&mine, "new").unwrap();
        fs::write(folder.path().join("notes.txt"), "not a plan").unwrap();
        let found = find(Kind::Plan, folder.path(), "quick").unwrap();
        assert_eq!((&found, found.text().unwrap().as_str()), (&DataFile::OnDisk(quick), "edited"));
        let names = all(Kind::Plan, folder.path()).unwrap();
        assert_eq!((&names["quick"], &names["mine"]), (&found, &DataFile::OnDisk(mine)));
        assert_eq!(names.len(), Kind::Plan.carried().len() + 1);
        assert_eq!(find(Kind::Plan, folder.path(), "notes"), None);
    }

    #[test]
    fn a_text_has_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("long.toml");
        fs::write(&path, vec![b'#'; TEXT_BYTES_MAX as usize + 1]).unwrap();
        let said = DataFile::OnDisk(path).text().unwrap_err().to_string();
        assert!(said.contains("more than 1048576 bytes"), "{said}");
    }
}
