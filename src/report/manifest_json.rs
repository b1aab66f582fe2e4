//! `manifest.json`: how the numbers came about, and on what machine.

use wirelab_clients::harness::results::ResultSet;

use super::{Exporter, File, ReportError};

/// Renders `manifest.json`.
pub(super) struct ManifestJson;

impl Exporter for ManifestJson {
    fn render(&self, results: &ResultSet) -> Result<Vec<File>, ReportError> {
        let mut manifest = results.manifest.clone();
        manifest.note_what_was_not_measured(&results.runs);
        Ok(vec![File::new("manifest.json", manifest.to_json())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelab_clients::harness::example;

    #[test]
    fn what_was_not_measured_follows_from_the_runs_there_are() {
        let mut results = example::result_set();
        results.runs.truncate(1);
        results.runs[0].server.cpu = None;
        let json: serde_json::Value =
            serde_json::from_slice(&ManifestJson.render(&results).unwrap()[0].bytes).unwrap();
        let not_measured = json["not_measured"].as_array().unwrap();
        assert!(not_measured.contains(&"server_cpu_us".into()) && !not_measured.contains(&"plan".into()));
        assert_eq!(json["order"], serde_json::json!(["short-poll-1", "sse-1"]));
        assert_eq!(json["schema_version"], 1);
    }
}
