//! Forecasts: what theory says of a cell before it is run.
//!
//! `wirelab run` asks for them once the constants are measured, for a plan that says `predict = true`. The judge of
//! theory compares a run with the same formulas afterwards. It then knows the rate of the lines that arrived; a
//! forecast knows it too, because the due times of all lines follow from the seed. Pure: it runs and measures nothing.

use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::plan::Plan;
use super::schedule::Schedule;
use super::theory::calibration::digits_mean;
use super::theory::{Calibration, Reading, Setting, Window, rows};
use crate::latency::LatencyHistogram;
use crate::traffic::Traffic;
use crate::wire::Transport;

/// Formula of a comparison that predicts nothing of a cell: what others wrote about headers.
const COMPARISON: &str = "F16";

/// One prediction about one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Foretold {
    /// Identity of the run. Each repetition has a seed, and so lines, of its own. Empty in older manifests, which
    /// predicted the first repetition alone.
    #[serde(default)]
    pub run_id: String,
    /// Transport of the cell.
    pub transport: Transport,
    /// Arm of the cell, if the plan has arms.
    pub arm: Option<String>,
    /// Name of the formula, for example `F1`.
    pub formula: String,
    /// Quantity that is predicted.
    pub quantity: String,
    /// Unit of the number.
    pub unit: String,
    /// Predicted value.
    pub predicted: f64,
    /// Assumption of the formula that the cell breaks, if it does. The number is then no prediction.
    pub assumption_broken: Option<String>,
}

/// Returns what theory predicts of every run of a plan, in the order of the runs. `schedules` gives the due times of a
/// run's lines, which follow from its seed.
pub fn of_plan(
    plan: &Plan,
    schedules: impl Fn(&Cell) -> Vec<Schedule>,
    calibrations: &[Calibration],
) -> Vec<Foretold> {
    let cells = plan.cells();
    cells.iter().flat_map(|cell| forecast(cell, &schedules(cell), calibrations)).collect()
}

/// Returns what theory predicts of a cell that publishes by these schedules, one per deployment. Empty without a
/// calibration of its server and exchanges.
pub fn forecast(cell: &Cell, schedules: &[Schedule], calibrations: &[Calibration]) -> Vec<Foretold> {
    let setting = Setting::of(cell);
    let server = calibrations.iter().find(|calibration| calibration.server == setting.server);
    let found = server.and_then(|server| Some((server, server.arm(&setting.arm())?)));
    let Some((server, arm)) = found else { return Vec::new() };
    let predicted = rows(&setting, &reading(cell, schedules), server, arm).into_iter();
    let predicted = predicted.filter(|row| row.formula != COMPARISON && row.predicted.is_finite());
    let foretold = predicted.map(|row| Foretold {
        run_id: cell.run_id.clone(),
        transport: cell.transport,
        arm: cell.arm.clone(),
        formula: row.formula.into_owned(),
        quantity: row.quantity,
        unit: row.unit.into_owned(),
        predicted: row.predicted,
        assumption_broken: row.assumption_broken,
    });
    foretold.collect()
}

/// Returns the reading of a run that has not been made: its lines are known, and nothing is measured.
fn reading(cell: &Cell, schedules: &[Schedule]) -> Reading {
    let due_in_cohort = |schedule: &Schedule| {
        let lines = schedule.due_times().count() as u64;
        let cohort = schedule.due_times().filter(|due| *due >= cell.warm_up).count() as u64;
        (lines, cohort)
    };
    let lines: Vec<(u64, u64)> = schedules.iter().map(due_in_cohort).collect();
    let cohort_count: u64 = lines.iter().map(|(_, cohort)| cohort).sum();
    let length = schedules.iter().map(|schedule| schedule.duration().saturating_sub(cell.warm_up)).max();
    let cohort_s = length.unwrap_or_default().as_secs_f64();
    let (all, cohort) = lines.first().copied().unwrap_or_default();
    let delivered = cohort_count * u64::from(cell.subscribers);
    Reading {
        invalid: None,
        cohort_s,
        lines_count: cohort_count,
        digits_mean: digits_mean(all - cohort + 1, all.max(1)),
        latency_mean_s: None,
        latency_quantiles_s: [None; 4],
        latencies: LatencyHistogram::default(),
        send_late_mean_s: None,
        traffic: Traffic::default(),
        window: Some(Window { traffic: Traffic::default(), delivered, length_s: cohort_s }),
        age_mean_s: None,
        waiters_mean: None,
        server_cpu_s: None,
        wire_per_line_bytes: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::example;

    #[test]
    fn a_cell_is_foretold_by_the_formulas_of_its_transport_before_it_is_run() {
        let results = example::result_set();
        let mut cell = results.runs[0].cell.clone();
        assert_eq!(cell.transport, Transport::ShortPoll);
        let calibrations = [Calibration { server: Setting::of(&cell).server, ..example::calibration() }];
        let schedules = cell.schedules(|_| Err::<_, ()>(())).unwrap();
        let foretold = forecast(&cell, &schedules, &calibrations);
        let of = |quantity: &str| foretold.iter().find(|row| row.quantity == quantity).unwrap();
        // 2 subscribers, each every 200 ms.
        assert_eq!(
            (of("requests per second").formula.as_str(), of("requests per second").predicted),
            ("F2", 10.0)
        );
        assert_eq!(
            of("delivery latency mean").assumption_broken.as_deref(),
            Some("lines are periodic, not Poisson")
        );
        assert!(foretold.iter().all(|row| row.formula != COMPARISON), "{foretold:#?}");
        // 50 lines per second, and a request every 200 ms.
        assert!((of("requests per line").predicted - 0.1).abs() < 1e-3, "{foretold:#?}");
        cell.options.http = crate::options::HttpVersion::Http2;
        assert_eq!(forecast(&cell, &schedules, &calibrations), [], "no exchange over HTTP/2 was calibrated");
    }
    #[test]
    fn every_run_is_foretold_from_the_lines_of_its_own_seed() {
        let text = "name = \"x\"\nquestion = \"?\"\ntransports = [\"short-poll\"]\nrepetitions = 2\nsubscribers = 2\n\
                    [lines]\nprocess = \"poisson\"\nrate_hz = 40\nduration = \"4s\"\n";
        let plan = Plan::parse("x.toml", text).unwrap();
        let cells = plan.cells();
        let schedules = |cell: &Cell| cell.schedules(|_| Err::<_, ()>(())).unwrap();
        let setting = Setting::of(&cells[0]);
        let calibrations = [Calibration { server: setting.server, ..example::calibration() }];
        let foretold = of_plan(&plan, schedules, &calibrations);
        let predicted = |cell: &Cell| {
            let is_it = |row: &&Foretold| row.run_id == cell.run_id && row.quantity == "requests per line";
            foretold.iter().find(is_it).unwrap_or_else(|| panic!("{foretold:#?}")).predicted
        };
        let lines = |cell: &Cell| {
            let due = schedules(cell).iter().flat_map(Schedule::due_times).collect::<Vec<_>>();
            due.into_iter().filter(|due| *due >= cell.warm_up).count()
        };
        let [first, second] = cells.as_slice() else { panic!("{cells:?}") };
        assert_ne!(lines(first), lines(second), "choose another rate: these seeds give equally many lines");
        assert_ne!(predicted(first), predicted(second));
    }
}
