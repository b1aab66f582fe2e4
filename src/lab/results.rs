//! The results that runs have written, as the page lists and opens them.
//!
//! Reads the folder that the server was started with, and nothing outside it: names are plain, and what they lead to
//! is looked up before it is opened, so that neither `..` nor a link leaves it. Never writes. A folder that cannot be
//! read is listed with its problem: one broken run must not hide the others.

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

/// Folders in one listing, the newest: nobody looks for an older one in a page.
pub(super) const LISTED_MAX: usize = 100;
/// What is read of one file for the listing. A row of `runs.csv` has less than 1 KiB, and plans have tens of runs.
const GLANCED_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a file name; ours have less than 100.
const NAME_BYTES_MAX: usize = 200;

/// What a page made of files may do: show itself. No script, and nothing from anywhere, which is what it was made for.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'self'";

/// The paths of results, relative to the lab's.
pub(super) fn mount(config: &mut web::ServiceConfig) {
    config
        .service(resource("/results", "GET, HEAD").route(get().to(list)))
        .service(resource("/results/{folder}/{file}", "GET, HEAD").route(get().to(file)))
        .service(resource("/results/{plan}/{run}/{file}", "GET, HEAD").route(get().to(file)))
        .service(resource("/results/{plan}/{run}/{folder}/{file}", "GET, HEAD").route(get().to(file)));
}

/// One results folder, as listed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ResultsFolder {
    /// Where its files are, below `/api/lab/results/`.
    folder: String,
    /// The plan's name.
    plan: Option<String>,
    /// What the plan asks.
    question: Option<String>,
    /// When it began, RFC 3339.
    started: Option<String>,
    /// Runs that were written.
    runs: usize,
    /// How many of them have each verdict.
    verdicts: BTreeMap<String, usize>,
    /// What can be opened, without the files of single runs.
    files: Vec<String>,
    /// Why nothing more can be said of it.
    problem: Option<String>,
}

/// Newest first.
async fn list(context: web::Data<Context>) -> Result<HttpResponse, Refusal> {
    let root = root(&context)?.to_owned();
    let listed = off_the_worker(move || folders(&root)).await?;
    Ok(no_store(HttpResponse::Ok()).json(listed))
}

/// One file of a folder, or of a folder in it.
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
    // No more than was announced, should the file grow meanwhile.
    let bytes = tokio::io::AsyncReadExt::take(tokio::fs::File::from_std(file), length);
    Ok(response.body(SizedStream::new(length, ReaderStream::new(bytes))))
}

fn root(context: &Context) -> Result<&Path, Refusal> {
    let lab = context.options.lab.as_ref();
    lab.map(|lab| lab.results.as_path()).ok_or_else(|| Refusal::new(StatusCode::NOT_FOUND, super::NONE))
}

fn not_there(path: &str) -> Refusal {
    let detail = format!("there is no file {path:?} of a run; GET /api/lab/results lists what there is");
    Refusal::new(StatusCode::NOT_FOUND, detail)
}

/// How a file is shown.
struct Kind {
    content_type: &'static str,
    opens: Opens,
}

#[derive(PartialEq, Eq)]
enum Opens {
    InTheBrowser,
    InAnotherProgram,
}

/// By the ending; of a file that no run writes, `None`.
fn kind(name: &str) -> Option<Kind> {
    let (content_type, opens) = match name.rsplit_once('.')?.1 {
        "html" => ("text/html; charset=utf-8", Opens::InTheBrowser),
        "json" => ("application/json", Opens::InTheBrowser),
        "toml" | "hgrm" | "hlog" => ("text/plain; charset=utf-8", Opens::InTheBrowser),
        "csv" => ("text/csv; charset=utf-8", Opens::InAnotherProgram),
        _ => return None,
    };
    Some(Kind { content_type, opens })
}

/// A name that is a name on every system and in every header: no way up, nothing hidden, no escape.
fn is_plain(name: &str) -> bool {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    starts_well && name.len() <= NAME_BYTES_MAX && name.bytes().all(plain)
}

/// A file below `root`, wherever links lead.
fn open(root: &Path, path: &str) -> io::Result<(File, u64)> {
    let path = root.join(path).canonicalize()?;
    // A pipe under a file's name would not even open.
    if !path.starts_with(root.canonicalize()?) || !fs::metadata(&path)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

/// All folders of runs: those with a plan in them, and one level deeper, where `run` puts them.
fn folders(root: &Path) -> Result<Vec<ResultsFolder>, Refusal> {
    let outer = match names(root, fs::FileType::is_dir) {
        Ok(names) => names,
        // Nothing was run yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let detail =
                format!("the folder of results cannot be read: {error}; name another with --results");
            return Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail));
        }
    };
    let mut found = Vec::new();
    for plan in outer {
        if root.join(&plan).join("plan.toml").exists() {
            found.push((String::new(), plan));
            continue;
        }
        // A folder that cannot be read has nothing to list.
        let runs = names(&root.join(&plan), fs::FileType::is_dir).unwrap_or_default();
        found.extend(runs.into_iter().map(|run| (format!("{plan}/"), run)));
    }
    // `run` begins a folder's name with its time; one that was named by hand is as old as can be.
    let is_dated = |run: &str| run.starts_with(|first: char| first.is_ascii_digit());
    found.sort_by_cached_key(|(plan, run)| Reverse((is_dated(run), run.clone(), plan.clone())));
    found.truncate(LISTED_MAX);
    Ok(found.into_iter().map(|(plan, run)| listed(root, format!("{plan}{run}"))).collect())
}

/// The plain names in a folder, of files or of folders. Links are neither.
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

/// The files that a glance needs; one that is not there is the glance's to name.
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
        return Err(io::Error::other(format!("it has more than {GLANCED_BYTES_MAX} bytes")));
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
