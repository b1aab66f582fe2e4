//! `runs.csv`: one row per run, one column per metric of the registry.

use wirelab_clients::harness::metrics::COLUMNS;
use wirelab_clients::harness::results::ResultSet;
use wirelab_clients::harness::run_result::RunResult;

use super::{Exporter, File, ReportError, csv_of};

/// Renders `runs.csv`.
pub(super) struct RunsCsv;

impl Exporter for RunsCsv {
    fn render(&self, results: &ResultSet) -> Result<Vec<File>, ReportError> {
        let header = COLUMNS.iter().map(|column| column.name.to_owned()).collect();
        csv_of("runs.csv", std::iter::once(header).chain(results.runs.iter().map(row)))
    }
}

fn row(run: &RunResult) -> Vec<String> {
    let cells = COLUMNS.iter().map(|column| (column.cell)(run));
    cells.map(|cell| cell.map_or(String::new(), |value| value.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wirelab_clients::harness::example;

    fn render(results: &ResultSet) -> String {
        let [file] = RunsCsv.render(results).unwrap().try_into().unwrap();
        String::from_utf8(file.bytes).unwrap()
    }

    #[test]
    fn a_row_per_run_with_empty_cells_for_what_was_not_measured() {
        let text = render(&example::result_set());
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(rows, [SHORT_POLL, SSE]);
    }

    const SHORT_POLL: &str = "1,ad-hoc,short-poll-1,1,2,1,1,short-poll,,false,ok,,2,1,50,periodic,100,200,\
        fixed,random,true,,0,1.1,true,identity,,memory,,,,,,,\
        10,500,500,1000,1000,0,0,0,0,200,110,90,0,0,0,0.181818,0.45,2,0,100703.848,101055,175103,\
        198015,,200063,113.25,220,11.007,149,,,110000,33000,220000,53800,240800,59400,246400,400,400,0,278,\
        44000,40,700,1234,3145728,,13312,8192,0.05,900,59,29,449,694,230,,0,";
    const SSE: &str = "1,ad-hoc,sse-1,1,1,1,1,sse,,false,ok,,2,1,50,periodic,100,,,,,,0,1.1,,\
        identity,15000,memory,,,,,,,10,500,500,1000,\
        1000,0,0,0,0,2,2,0,0,0,0,0.001818,0,2,0,1200.5,1200,1400,1445,,1450,11.2005,21.45,0.91,149,,,\
        110000,400,165000,57912,222512,73396,237996,1106,1106,0,283.083636,11000,10,700,1234,3145728,,\
        13312,8192,0.05,900,59,29,449,694,150.363636,,2,";

    #[test]
    fn reasons_with_commas_stay_one_cell() {
        let mut results = example::result_set();
        results.runs[0].verdict_reasons = vec!["a, b".into(), "\"c\"".into()];
        let text = render(&results);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let position = reader.headers().unwrap().iter().position(|name| name == "verdict_reasons").unwrap();
        let row = reader.records().next().unwrap().unwrap();
        assert_eq!((&row[position], row.len()), ("a, b; \"c\"", COLUMNS.len()));
    }
}
