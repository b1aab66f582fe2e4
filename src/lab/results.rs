//! The results of runs, as the page lists and opens them.
//!
//! Reads only the folder that the server was started with. Names must be plain, and links are resolved before a file is
//! opened, so that neither `..` nor a link leaves the folder. Never writes. A folder that cannot be read is listed with
//! its problem: a broken run must not hide the others.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use actix_web::body::SizedStream;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use tokio_util::io::ReaderStream;

use super::child::off_the_worker;
use wirelab_clients::harness::rows::Garbled;

use crate::context::Context;
use crate::exchange::problem::Refusal;
use crate::exchange::route::{get, no_store, resource};
use crate::report::{self, FolderError, GLANCED};

/// Folders in one listing, the newest; a longer list would not be read in a page.
pub(super) const LISTED_MAX: usize = 100;
/// Bytes that are read of one file for the listing. A row of `runs.csv` has less than 1 KiB, and plans have tens of
/// runs.
const GLANCED_BYTES_MAX: u64 = 4 << 20;
/// Longest file name, in bytes; the names that runs write have less than 100.
const NAME_BYTES_MAX: usize = 200;

/// Content security policy of report pages: no script, and nothing from other hosts. Reports are made to work so.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'self'";

/// Mounts the calls on results, relative to the lab's path.
pub(super) fn mount(config: &mut web::ServiceConfig) {
    config
        .service(resource("/results", "GET, HEAD").route(get().to(list)))
        .service(resource("/results/{folder}/{file}", "GET, HEAD").route(get().to(file)))
        .service(resource("/results/{plan}/{run}/{file}", "GET, HEAD").route(get().to(file)))
        .service(resource("/results/{plan}/{run}/{folder}/{file}", "GET, HEAD").route(get().to(file)));
}

/// One results folder in the listing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ResultsFolder {
    /// Path of the folder below `/api/lab/results/`.
    folder: String,
    /// Name of the plan.
    plan: Option<String>,
    /// Question of the plan.
    question: Option<String>,
    /// Start of the experiment, RFC 3339.
    started: Option<String>,
    /// Number of runs that were written.
    runs: usize,
    /// Number of runs for each verdict.
    verdicts: BTreeMap<String, usize>,
    /// Files that can be opened, without those of single runs.
    files: Vec<String>,
    /// Why the folder cannot be read, if it cannot.
    problem: Option<String>,
}

/// Lists the results folders, newest first.
async fn list(context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let root = root(&context)?.to_owned();
    let listed = off_the_worker(move || folders(&root)).await?;
    Ok(no_store(HttpResponse::Ok()).json(listed))
}

/// Answers with one file of a results folder or of a folder in it.
async fn file(request: HttpRequest, context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let root = root(&context)?.to_owned();
    let names: Vec<String> = request.match_info().iter().map(|(_, name)| name.to_owned()).collect();
    let name = names.last().cloned().unwrap_or_default();
    let path = names.join("/");
    let kind = kind(&name).filter(|_| names.iter().all(|name| is_plain(name)));
    let Some(kind) = kind else { return Err(not_there(&path)) };
    let asked = path.clone();
    let opened = off_the_worker(move || Ok(open(&root, &path))).await?;
    let (file, length) = opened.map_err(|_| not_there(&asked))?;
    let mut response = no_store(HttpResponse::Ok());
    response.content_type(kind.content_type).insert_header((CONTENT_SECURITY_POLICY, POLICY));
    if kind.opens == Opens::InAnotherProgram {
        response.insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")));
    }
    // At most the announced length is sent, even if the file grows meanwhile.
    let bytes = tokio::io::AsyncReadExt::take(tokio::fs::File::from_std(file), length);
    Ok(response.body(SizedStream::new(length, ReaderStream::new(bytes))))
}

fn root(context: &Context) -> Result<&Path, Refusal> {
    let lab = context.options.lab.as_ref();
    lab.map(|lab| lab.results.as_path()).ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, super::NONE))
}

fn not_there(path: &str) -> Refusal {
    let detail = format!("there is no file {path:?} of a run; GET /api/lab/results lists the files");
    Refusal::new(StatusCode::NOT_FOUND, detail)
}

/// How a browser shows a file.
struct Kind {
    content_type: &'static str,
    opens: Opens,
}

#[derive(PartialEq, Eq)]
enum Opens {
    InTheBrowser,
    InAnotherProgram,
}

/// Returns the kind of a file by the end of its name; `None` for a file that no run writes.
fn kind(name: &str) -> Option<Kind> {
    let (content_type, opens) = match name.rsplit_once('.')?.1 {
        "html" => ("text/html; charset=utf-8", Opens::InTheBrowser),
        "json" => ("application/json", Opens::InTheBrowser),
        "toml" | "hgrm" | "hlog" | "md" => ("text/plain; charset=utf-8", Opens::InTheBrowser),
        "svg" => ("image/svg+xml", Opens::InTheBrowser),
        // The receipts of a run, packed: not a coding of the answer, which the browser would take off.
        "gz" if name.ends_with(".ndjson.gz") => ("application/gzip", Opens::InAnotherProgram),
        "csv" => ("text/csv; charset=utf-8", Opens::InAnotherProgram),
        _ => return None,
    };
    Some(Kind { content_type, opens })
}

/// Tells whether a name is valid on every system and in every header: no way up, not hidden, no escapes.
fn is_plain(name: &str) -> bool {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    starts_well && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain)
}

/// Opens a file below `root`; a link that leads out of `root` is refused.
fn open(root: &Path, path: &str) -> io::Result<(File, u64)> {
    let path = root.join(path).canonicalize()?;
    // Opening a pipe would block.
    if !path.starts_with(root.canonicalize()?) || !fs::metadata(&path)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// Lists all results folders: those that hold a plan, and those one level deeper, where `run` puts them.
fn folders(root: &Path) -> Result<Vec<ResultsFolder>, Refusal> {
    let outer = match names(root, fs::FileType::is_dir) {
        Ok(names) => names,
        // No run was made yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let detail =
                format!("the folder of results cannot be read: {error}; name another one with --results");
            return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail));
        }
    };
    let mut found = Vec::new();
    for plan in outer {
        if root.join(&plan).join("plan.toml").exists() {
            found.push((String::new(), plan));
            continue;
        }
        // A folder that cannot be read has no entries.
        let runs = names(&root.join(&plan), fs::FileType::is_dir).unwrap_or_default();
        found.extend(runs.into_iter().map(|run| (format!("{plan}/"), run)));
    }
    // `run` begins a folder's name with the time. A folder that was named by hand counts as older than all of these.
    let is_dated = |run: &str| run.starts_with(|first: char| first.is_ascii_digit());
    found.sort_by_cached_key(|(plan, run)| Reverse((is_dated(run), run.clone(), plan.clone())));
    found.truncate(LISTED_MAX);
    Ok(found.into_iter().map(|(plan, run)| listed(root, format!("{plan}{run}"))).collect())
}

/// Returns the plain names of the files or folders in a folder. Links are left out.
fn names(folder: &Path, wanted: fn(&fs::FileType) -> bool) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(folder)?.filter_map(Result::ok);
    let entries = entries.filter(|entry| entry.file_type().is_ok_and(|kind| wanted(&kind)));
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| is_plain(name));
    names.sort();
    Ok(names)
}

fn listed(root: &Path, folder: String) -> ResultsFolder {
    let path = root.join(&folder);
    let mut files = names(&path, fs::FileType::is_file).unwrap_or_default();
    files.retain(|name| kind(name).is_some());
    let glance = glanced(&path, &files).and_then(|files| report::glance(&files));
    let (glance, problem) = match glance {
        Ok(glance) => (Some(glance), None),
        Err(problem) => (None, Some(problem.to_string())),
    };
    let (runs, verdicts) =
        glance.as_ref().map(|glance| (glance.runs, glance.verdicts.clone())).unwrap_or_default();
    let (plan, question) = glance.as_ref().map(|g| (g.plan.clone(), g.question.clone())).unzip();
    let started = glance.map(|glance| glance.started);
    ResultsFolder { folder, plan, question, started, runs, verdicts, files, problem }
}

/// Reads the files that a glance needs. If one is missing, the glance itself names it.
fn glanced(folder: &Path, files: &[String]) -> Result<Vec<report::File>, FolderError> {
    let there = GLANCED.into_iter().filter(|name| files.iter().any(|file| file == name));
    there
        .map(|name| {
            let garbled = |what: String| FolderError::from(Garbled::new(name, what));
            let bytes = bytes(&folder.join(name)).map_err(|error| garbled(error.to_string()))?;
            Ok(report::File { path: name.to_owned(), bytes })
        })
        .collect()
}

fn bytes(path: &PathBuf) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(GLANCED_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > GLANCED_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it has more than {GLANCED_BYTES_MAX} bytes, which is the limit"
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_names() {
        for name in ["quick", "2026-11-22T174950Z-abc1234", "long-poll-1.append.hgrm", "runs.csv"] {
            assert!(is_plain(name), "{name}");
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for name in
            ["", ".", "..", ".runs.csv", "a/b", "a\\b", "%2e%2e", "a%2fb", "a b", "é", "a\0b", "a\"", &long]
        {
            assert!(!is_plain(name), "{name}");
        }
    }
}
