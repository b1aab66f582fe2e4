//! `plan.toml`: the plan with every default explicit.

use wirelab_clients::harness::results::ResultSet;

use super::{Exporter, File, ReportError};

/// Renders `plan.toml`.
pub(super) struct PlanToml;

impl Exporter for PlanToml {
    fn render(&self, results: &ResultSet) -> Result<Vec<File>, ReportError> {
        Ok(vec![File::new("plan.toml", results.plan.to_toml())])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelab_clients::harness::example;
    use wirelab_clients::harness::plan::Plan;

    #[test]
    fn the_file_is_the_plan_that_was_run() {
        let results = example::result_set();
        let [file] = PlanToml.render(&results).unwrap().try_into().unwrap();
        let text = String::from_utf8(file.bytes).unwrap();
        assert_eq!(Plan::parse("plan.toml", &text).unwrap(), results.plan);
    }
}
