//! `plan.toml`: the plan with every default explicit.

use wirelab_clients::harness::results::ResultSet;

use super::{Exporter, ReportError};

/// Renders `plan.toml`.
pub(super) struct PlanToml;

impl Exporter for PlanToml {
    fn file_name(&self) -> &'static str {
        "plan.toml"
    }

    fn render(&self, results: &ResultSet) -> Result<Vec<u8>, ReportError> {
        Ok(results.plan.to_toml().into_bytes())
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
        let text = String::from_utf8(PlanToml.render(&results).unwrap()).unwrap();
        assert_eq!(Plan::parse("plan.toml", &text).unwrap(), results.plan);
    }
}
