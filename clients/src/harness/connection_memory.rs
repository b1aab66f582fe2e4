//! Memory per connection: the slope of a server's memory over its number of subscribers.
//!
//! A server has memory before the first subscriber connects; dividing by the connections would spread it over them. So
//! a line is fitted by least squares through runs that differ in nothing but their subscribers. Its slope is the cost
//! of one more connection. Pure.

use std::collections::BTreeSet;

use super::cell::Cell;
use super::run_result::RunResult;
use super::statistics;

/// Fewest different numbers of subscribers for a slope: with two or three, any curve looks like a line.
pub const LEVELS_MIN: usize = 4;

/// Gives each run the slope of its family: the runs that differ from it in subscribers, arm and repetition only. `None`
/// where the family is too small.
pub fn note_slopes(runs: &mut [RunResult]) {
    let families: Vec<Cell> = runs.iter().map(|run| family(&run.cell)).collect();
    let slopes: Vec<Option<f64>> = families
        .iter()
        .map(|family| {
            let members = runs.iter().zip(&families).filter(|(_, other)| *other == family);
            let points: Vec<(f64, f64)> = members.filter_map(|(run, _)| point(run)).collect();
            slope(&points)
        })
        .collect();
    for (run, slope) in runs.iter_mut().zip(slopes) {
        run.server_pss_anon_per_connection_bytes = slope;
    }
}

/// Returns connections and bytes of a run. `None` for a run that broke, or whose server's memory is unknown.
fn point(run: &RunResult) -> Option<(f64, f64)> {
    let bytes = run.server.pss_anon_bytes.filter(|_| run.problem.is_none())?;
    Some((f64::from(run.cell.subscribers) * f64::from(run.cell.deployments), bytes as f64))
}

/// Returns the cell without what may differ within a family. Arms that vary the subscribers have names of their own, so
/// the name may differ too.
fn family(cell: &Cell) -> Cell {
    Cell {
        run_id: String::new(),
        block: 0,
        position: 0,
        repetition: 0,
        seed: 0,
        arm: None,
        is_aa: false,
        subscribers: 0,
        ..cell.clone()
    }
}

/// Returns the slope of the least-squares line, if there are enough different numbers of subscribers.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let levels: BTreeSet<u64> = points.iter().map(|(x, _)| x.to_bits()).collect();
    if levels.len() < LEVELS_MIN {
        return None;
    }
    statistics::slope(points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::example;

    #[test]
    fn the_slope_is_the_least_squares_one() {
        assert_eq!(slope(&[(1.0, 13.0), (2.0, 23.0), (3.0, 33.0), (4.0, 43.0)]), Some(10.0));
        // Anscombe's first quartet: 0.500.
        let x = [10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0];
        let y = [8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68];
        let points: Vec<_> = x.into_iter().zip(y).collect();
        assert!((slope(&points).unwrap() - 0.500_091).abs() < 1e-6);
        assert_eq!(slope(&[(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (3.0, 4.0)]), None, "three levels");
    }

    /// Makes runs of both transports of the example at each level: 2 kB and 5 kB a connection.
    fn sweep(levels: &[u32]) -> Vec<RunResult> {
        let mut runs = Vec::new();
        for subscribers in levels {
            for (mut run, bytes_each) in example::result_set().runs.into_iter().zip([2_000, 5_000]) {
                run.cell.run_id = format!("{}-{subscribers}", run.cell.run_id);
                run.cell.arm = Some(format!("n{subscribers}"));
                run.cell.subscribers = *subscribers;
                run.server.pss_anon_bytes = Some(1_000_000 + bytes_each * u64::from(*subscribers));
                runs.push(run);
            }
        }
        runs
    }

    fn noted(mut runs: Vec<RunResult>) -> Vec<Option<f64>> {
        note_slopes(&mut runs);
        runs.iter().map(|run| run.server_pss_anon_per_connection_bytes.map(f64::round)).collect()
    }

    #[test]
    fn each_transport_of_a_sweep_has_its_own_slope() {
        let expected = [Some(2_000.0), Some(5_000.0)].repeat(4);
        assert_eq!(noted(sweep(&[1, 10, 100, 1_000])), expected);
        assert_eq!(noted(sweep(&[1, 10, 100])), [None; 6]);
    }

    #[test]
    fn what_differs_in_more_than_subscribers_is_another_family() {
        let mut runs = sweep(&[1, 10, 100, 1_000]);
        // Another payload, another warm-up: whatever it is.
        runs[0].cell.warm_up *= 2;
        let slopes = noted(runs);
        assert_eq!((slopes[0], slopes[2], slopes[1]), (None, None, Some(5_000.0)));
    }

    #[test]
    fn a_run_that_broke_or_tells_no_memory_is_no_level() {
        let mut runs = sweep(&[1, 10, 100, 1_000]);
        runs[0].problem = Some("the server ended".to_owned());
        runs[1].server.pss_anon_bytes = None;
        assert_eq!(noted(runs), [None; 8]);
        // Repeated runs of a level count each.
        let mut runs = sweep(&[1, 10, 100, 1_000, 1_000]);
        runs[0].problem = Some("the server ended".to_owned());
        assert_eq!(noted(runs)[0], None);
    }
}
