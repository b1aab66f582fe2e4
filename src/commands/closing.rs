//! The last lines of `wirelab run` and `wirelab claims`: where the files are, how to see them, and what the exit code
//! means.

use std::path::Path;

use super::{Exit, Failure, say};
use crate::report::PAGE;

/// Prints the last lines of a command that wrote `folder`.
pub(super) fn tell(folder: &Path, exit: Exit) -> Result<(), Failure> {
    let page = folder.join(PAGE);
    // An interrupted run of an old folder has no page yet.
    let open = if page.is_file() { format!("open {}\n", pasted(&page)) } else { String::new() };
    let (code, meaning) = (exit.code(), exit.meaning());
    say(&format!("files: {}\n{open}exit code {code}: {meaning}\n", folder.display())).map(|_| ())
}

/// Returns the path as a shell takes it for one word.
fn pasted(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:=@%".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_can_be_pasted_into_a_shell() {
        for path in
            ["results/quick/20260101T000000Z-5f34912-dirty/report.html", "a b/é/report.html", "it's/$HOME"]
        {
            let script = format!("printf %s {}", pasted(Path::new(path)));
            let printed = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(printed.stdout).unwrap(), path);
        }
        assert_eq!(pasted(Path::new("results/a/report.html")), "results/a/report.html");
    }
}
