//! Differences between the circumstances of two folders: build, machine and plan.
//!
//! [`Changes`](super::Changes) tells them before any figure, since a change may come from there. They are no figures, so
//! nothing is claimed from them.

use serde::Serialize;
use serde_json::Value;

use crate::report::folder::Folder;

/// Value that differs between the manifests or the plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) what: String,
    pub(super) a: String,
    pub(super) b: String,
}

/// Members of the manifest that may explain a change.
const CIRCUMSTANCES: [&str; 7] =
    ["commit", "executable_sha256", "wirelab_version", "rustc", "machine", "store_file_system", "seed"];

/// Returns every value that differs, those of the build first.
pub(super) fn differences(first: &Folder, second: &Folder) -> Vec<Difference> {
    let of = |side: &Folder| {
        let mut said = Vec::new();
        let manifest = serde_json::to_value(&side.manifest).expect("a manifest has no key that JSON refuses");
        for member in CIRCUMSTANCES {
            flatten(member, &manifest[member], &mut said);
        }
        let plan = side.plan.toml.parse::<toml::Table>().expect("the folder was read");
        let plan = serde_json::to_value(plan).expect("a table is an object");
        flatten("plan", &plan, &mut said);
        said
    };
    let (a, b) = (of(first), of(second));
    let of = |said: &[(String, String)], what: &str| {
        let found = said.iter().find(|(name, _)| name == what);
        found.map_or_else(|| NOTHING.to_owned(), |(_, value)| value.clone())
    };
    let mut names: Vec<&String> = a.iter().map(|(name, _)| name).collect();
    names.extend(b.iter().map(|(name, _)| name).filter(|name| a.iter().all(|(known, _)| known != *name)));
    let difference = |what: &String| Difference { what: what.clone(), a: of(&a, what), b: of(&b, what) };
    names.into_iter().map(difference).filter(|difference| difference.a != difference.b).collect()
}

/// Text that stands for a missing member.
pub(super) const NOTHING: &str = "–";

/// Returns every value of a document with its path, such as `plan.lines.rate_hz`.
fn flatten(path: &str, value: &Value, into: &mut Vec<(String, String)>) {
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(key, value)| flatten(&format!("{path}.{key}"), value, into));
        }
        Value::Null => into.push((path.to_owned(), NOTHING.to_owned())),
        Value::String(text) => into.push((path.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
            into.push((path.to_owned(), value.to_string()))
        }
    }
}
