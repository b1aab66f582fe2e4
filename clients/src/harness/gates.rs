//! Gates: whether a run's numbers may be believed, and what the program exits with.
//!
//! Pure: a result in, a verdict and its reasons out. A run that measured its own harness, or whose books do not
//! balance, is invalid; its row is kept.

use super::network::Fault;
use super::plan::Server;
use super::recorder::Counts;
use super::results::{RunResult, Verdict};
use super::statistics::distinct_lines_needed;
use super::theory::TheoryVerdict;
use crate::traffic::Traffic;

/// Differences below this share of the delivery p99 are lost in the harness's own lateness.
const LATENESS_RATIO_MAX: f64 = 0.1;

/// Every line arrived once and in order, and the numbers may be believed.
pub const EXIT_OK: u8 = 0;
/// A line was lost, censored, reordered or duplicated, or a threshold of the plan was missed.
pub const EXIT_DELIVERY: u8 = 3;
/// A run contradicts the theory.
pub const EXIT_THEORY: u8 = 4;
/// A run is invalid.
pub const EXIT_INVALID: u8 = 5;
/// The server or the environment failed.
pub const EXIT_ENVIRONMENT: u8 = 6;

/// What the program exits with after these runs; the highest wins.
pub fn exit_code(runs: &[RunResult]) -> u8 {
    let of = |run: &RunResult| {
        if run.problem.is_some() {
            EXIT_ENVIRONMENT
        } else if run.verdict == Verdict::Invalid {
            EXIT_INVALID
        } else if run.theory.iter().any(|row| row.verdict == TheoryVerdict::Fail) {
            EXIT_THEORY
        } else if !run.delivery.whole.flawless() || !run.subscriber_problems.is_empty() {
            EXIT_DELIVERY
        } else {
            EXIT_OK
        }
    };
    runs.iter().map(of).max().unwrap_or(EXIT_OK)
}

/// The verdict on a run, and its reasons. An `ok` run may have reasons too: defects outside the cohort.
pub fn judge(run: &RunResult) -> (Verdict, Vec<String>) {
    let invalid = invalid_reasons(run);
    let unresolved = unresolved_reasons(run);
    let verdict = match (invalid.is_empty(), unresolved.is_empty()) {
        (false, _) => Verdict::Invalid,
        (true, false) => Verdict::Unresolved,
        (true, true) => Verdict::Ok,
    };
    (verdict, [invalid, unresolved, remarks(run)].concat())
}

fn invalid_reasons(run: &RunResult) -> Vec<String> {
    let delivery = &run.delivery;
    let mut reasons: Vec<String> = run.problem.iter().cloned().collect();
    for (name, counts) in [("cohort", &delivery.cohort), ("whole run", &delivery.whole)] {
        if !counts.conserved() {
            reasons.push(format!("{name}: {}", books(counts)));
        }
    }
    let subscribers_count = u64::from(run.cell.subscribers_total());
    if delivery.subscribers_count != subscribers_count {
        reasons.push(format!("{} of {subscribers_count} subscribers reported", delivery.subscribers_count));
    }
    let each = u64::from(run.cell.subscribers);
    if run.published_count * each != delivery.cohort.expected {
        reasons.push(format!(
            "{} lines published × {each} subscribers ≠ {} expected",
            run.published_count, delivery.cohort.expected
        ));
    }
    // Who keeps the contract promised that no line comes twice. Nobody else did: there it is a finding.
    let promised_once = match run.cell.server {
        Server::Wirelab | Server::Running(_) => delivery.whole.duplicated,
        Server::Profile(_) => 0,
    };
    for (count, what) in [
        (delivery.negative_count, "lines were received before they were due"),
        (delivery.unpublished_count, "lines were received that nobody published"),
        (promised_once, "lines were received again"),
    ] {
        if count > 0 {
            reasons.push(format!("{count} {what}"));
        }
    }
    reasons.extend(compared(run).contradictions);
    if let (Some(late_us), Some(delivery_us)) =
        (run.send_lateness.quantile_us(0.99), delivery.latency.quantile_us(0.5))
        && late_us > delivery_us
    {
        reasons.push(format!("send lateness p99 {late_us} µs exceeds delivery latency p50 {delivery_us} µs"));
    }
    reasons
}

fn unresolved_reasons(run: &RunResult) -> Vec<String> {
    let mut reasons = Vec::new();
    let missing = run.delivery.cohort.lost + run.delivery.cohort.censored;
    if missing > 0 {
        reasons.push(format!("{missing} lines are missing; quantiles that would hide them are left out"));
    }
    reasons.extend(compared(run).doubt);
    reasons.extend(lateness_reason(run));
    reasons
}

fn lateness_reason(run: &RunResult) -> Option<String> {
    let (Some(late_us), Some(delivery_us)) =
        (run.send_lateness.quantile_us(0.99), run.delivery.latency.quantile_us(0.99))
    else {
        return None;
    };
    let late = late_us as f64 > LATENESS_RATIO_MAX * delivery_us as f64;
    // Both quantiles are of the lines there were; the files leave them out where those were too few.
    let lines = run.delivery.distinct_lines_count();
    let few = if lines < distinct_lines_needed(0.99) {
        format!(" (of {lines} lines, too few for the p99 of the files)")
    } else {
        String::new()
    };
    late.then(|| {
        format!("send lateness p99 {late_us} µs exceeds 10 % of delivery latency p99 {delivery_us} µs{few}")
    })
}

/// The row's counts are the cohort's; what happened to warm-up lines would be seen nowhere else.
fn remarks(run: &RunResult) -> Vec<String> {
    let (whole, cohort) = (&run.delivery.whole, &run.delivery.cohort);
    [
        (whole.lost.saturating_sub(cohort.lost), "lost"),
        (whole.censored.saturating_sub(cohort.censored), "censored"),
        (whole.out_of_order.saturating_sub(cohort.out_of_order), "out of order"),
        (whole.duplicated.saturating_sub(cohort.duplicated), "received again"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} warm-up lines {what}"))
    .chain(run.subscriber_problems.iter().cloned())
    .chain(compared(run).remark)
    .collect()
}

fn books(counts: &Counts) -> String {
    let Counts { expected, delivered, lost, censored, .. } = counts;
    format!("{expected} expected ≠ {delivered} delivered + {lost} lost + {censored} censored")
}

/// What comparing the clients' counts with the server's says.
#[derive(Default)]
struct Comparison {
    /// Makes the run invalid.
    contradictions: Vec<String>,
    /// Leaves it unresolved.
    doubt: Option<String>,
    /// Neither.
    remark: Option<String>,
}

/// Once every connection is closed, both sides must have counted the same: where there are two sides, nobody else was
/// there, and nothing was cut on the way.
fn compared(run: &RunResult) -> Comparison {
    let doubt = |what: &str| Comparison { doubt: Some(what.to_owned()), ..Comparison::default() };
    match (&run.cell.server, &run.cell.fault, &run.traffic_seen_by_server) {
        (Server::Profile(_), _, _) => doubt(
            "the server has no /metrics: requests and bytes are the clients' own counts, compared with nothing",
        ),
        (Server::Wirelab | Server::Running(_), Some(Fault::Cut(_)), _) => Comparison {
            remark: Some(
                "requests and bytes that a cut took are counted by one side only: not compared".to_owned(),
            ),
            ..Comparison::default()
        },
        (Server::Wirelab | Server::Running(_), Some(Fault::Stop(_)) | None, None) => {
            doubt("the server's own counts could not be read")
        }
        (Server::Wirelab, Some(Fault::Stop(_)) | None, Some(seen)) => Comparison {
            contradictions: disagreements(&run.traffic, seen, |client, server| client != server),
            ..Comparison::default()
        },
        (Server::Running(_), Some(Fault::Stop(_)) | None, Some(seen)) => {
            let more = disagreements(&run.traffic, seen, |client, server| client < server);
            let others = || format!("somebody else uses the server too: {}", more.join(", "));
            Comparison {
                contradictions: disagreements(&run.traffic, seen, |client, server| client > server),
                doubt: (!more.is_empty()).then(others),
                remark: None,
            }
        }
    }
}

/// What `differ` says of each count of the clients and the server.
fn disagreements(client: &Traffic, server: &Traffic, differ: fn(u64, u64) -> bool) -> Vec<String> {
    let (asked, answered) = (&client.requests, &server.requests);
    [
        ("requests with data", asked.data, answered.data),
        ("empty requests", asked.empty, answered.empty),
        ("timed-out requests", asked.timeout, answered.timeout),
        ("refused requests", asked.refused, answered.refused),
        ("failed requests", asked.error, answered.error),
        ("bytes up", client.up_bytes, server.up_bytes),
        ("bytes down", client.down_bytes, server.down_bytes),
    ]
    .into_iter()
    .filter(|(_, client, server)| differ(*client, *server))
    .map(|(what, client, server)| format!("clients counted {client} {what}, the server {server}"))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::theory::TheoryRow;
    use crate::harness::{example, metrics};
    use std::time::Duration;

    fn run() -> RunResult {
        example::result_set().runs.remove(0)
    }

    fn verdict_after(change: impl FnOnce(&mut RunResult)) -> (Verdict, String) {
        let mut run = run();
        change(&mut run);
        run.judge();
        (run.verdict, run.verdict_reasons.join("; "))
    }

    #[test]
    fn a_run_whose_books_balance_is_ok() {
        assert_eq!(verdict_after(|_| ()), (Verdict::Ok, String::new()));
    }

    #[test]
    fn each_contradiction_makes_a_run_invalid_and_says_why() {
        type Break = fn(&mut RunResult);
        let broken: [(Break, &str); 11] = [
            (|run| run.delivery.cohort.delivered -= 1, "cohort: 1000 expected ≠ 999 delivered"),
            (|run| run.delivery.whole.expected += 1, "whole run: 1101 expected ≠ 1100 delivered"),
            (|run| run.delivery.subscribers_count = 1, "1 of 2 subscribers reported"),
            (|run| run.published_count -= 1, "499 lines published × 2 subscribers ≠ 1000 expected"),
            (|run| run.delivery.negative_count = 3, "3 lines were received before they were due"),
            (|run| run.delivery.unpublished_count = 3, "3 lines were received that nobody published"),
            (|run| run.delivery.whole.duplicated = 3, "3 lines were received again"),
            (|run| run.problem = Some("the server went away".into()), "the server went away"),
            (
                |run| {
                    let mut seen = run.traffic;
                    seen.requests.empty += 1;
                    run.traffic_seen_by_server = Some(seen);
                },
                "clients counted 90 empty requests, the server 91",
            ),
            (
                |run| {
                    let down_bytes = run.traffic.down_bytes - 1;
                    run.traffic_seen_by_server = Some(Traffic { down_bytes, ..run.traffic });
                },
                "clients counted 220000 bytes down, the server 219999",
            ),
            (
                |run| run.send_lateness.record_n(Duration::from_secs(1), 500),
                "send lateness p99 1000447 µs exceeds delivery latency p50",
            ),
        ];
        for (change, said) in broken {
            let (verdict, reasons) = verdict_after(change);
            assert_eq!(verdict, Verdict::Invalid, "{reasons}");
            assert!(reasons.contains(said), "{reasons:?} instead of {said:?}");
        }
    }

    #[test]
    fn figures_that_agree_with_the_server_stay_ok() {
        let (verdict, reasons) = verdict_after(|run| run.traffic_seen_by_server = Some(run.traffic));
        assert_eq!((verdict, reasons.as_str()), (Verdict::Ok, ""));
    }

    #[test]
    fn a_late_publisher_leaves_small_differences_unresolved() {
        // The example's delivery latencies lie between 1 and 200 ms.
        let (verdict, reasons) =
            verdict_after(|run| run.send_lateness.record_n(Duration::from_millis(30), 500));
        assert_eq!(verdict, Verdict::Unresolved, "{reasons}");
        assert!(reasons.contains("exceeds 10 % of delivery latency p99"), "{reasons}");
    }

    #[test]
    fn a_p99_that_the_files_leave_out_is_told_to_be_of_too_few_lines() {
        let reasons = |change: fn(&mut RunResult)| {
            let (_, reasons) = verdict_after(|run| {
                run.send_lateness.record_n(Duration::from_millis(30), 500);
                change(run);
            });
            reasons
        };
        let few = reasons(|run| {
            let latency = run.delivery.latency.clone();
            run.delivery = Default::default();
            run.delivery.latency = latency;
        });
        assert!(few.contains("(of 0 lines, too few for the p99 of the files)"), "{few}");
        assert!(!reasons(|_| {}).contains("too few"));
    }

    #[test]
    fn missing_lines_leave_a_run_unresolved_and_their_quantiles_out() {
        let mut run = run();
        run.delivery.cohort.delivered -= 100;
        run.delivery.cohort.censored += 100;
        run.judge();
        assert_eq!(run.verdict, Verdict::Unresolved, "{:?}", run.verdict_reasons);
        assert!(run.verdict_reasons[0].starts_with("100 lines are missing"), "{:?}", run.verdict_reasons);
        // A tenth never came: the slowest tenth of what should have come is not known.
        let quantile = |quantile| metrics::quantile_us(&run, &run.delivery.latency, quantile);
        assert!(quantile(0.5).is_some() && quantile(0.9).is_some());
        assert_eq!((quantile(0.99), quantile(1.0)), (None, None));
    }

    #[test]
    fn a_server_that_tells_no_counts_leaves_a_run_unresolved() {
        let (verdict, reasons) = verdict_after(|run| run.traffic_seen_by_server = None);
        assert_eq!(verdict, Verdict::Unresolved);
        assert_eq!(reasons, "the server's own counts could not be read");
    }

    fn running() -> Server {
        Server::Running("http://127.0.0.1:1".parse().unwrap())
    }

    fn profile() -> Server {
        let text = "about = \"x\"\nurl = \"http://x\"\npublish = { path = \"/\", body = \"{text}\" }\n\
            subscribe = { wire = \"sse\", path = \"/\" }";
        Server::Profile(std::sync::Arc::new(crate::targets::profile::Profile::parse("x", text).unwrap()))
    }

    #[test]
    fn somebody_else_on_a_running_server_leaves_a_run_unresolved_and_too_few_counts_make_it_invalid() {
        let with = |change: i64| {
            verdict_after(|run| {
                run.cell.server = running();
                let down_bytes = run.traffic.down_bytes.saturating_add_signed(change);
                run.traffic_seen_by_server = Some(Traffic { down_bytes, ..run.traffic });
            })
        };
        assert_eq!(with(0), (Verdict::Ok, String::new()));
        let (verdict, reasons) = with(7);
        assert_eq!(verdict, Verdict::Unresolved);
        let said = "somebody else uses the server too: clients counted 220000 bytes down, the server 220007";
        assert_eq!(reasons, said);
        assert_eq!(with(-7).0, Verdict::Invalid);
    }

    #[test]
    fn a_server_without_counts_is_unresolved_for_that_reason_and_may_repeat_lines() {
        let (verdict, reasons) = verdict_after(|run| {
            run.cell.server = profile();
            run.traffic_seen_by_server = None;
            run.delivery.whole.duplicated = 3;
        });
        assert_eq!(verdict, Verdict::Unresolved, "{reasons}");
        assert!(reasons.starts_with("the server has no /metrics"), "{reasons}");
        assert!(!reasons.contains("were received again"), "{reasons}");
        let mut run = run();
        (run.cell.server, run.delivery.whole.duplicated) = (profile(), 3);
        run.judge();
        assert_eq!(exit_code(&[run]), EXIT_DELIVERY);
    }

    #[test]
    fn counts_that_a_cut_made_differ_are_not_compared_and_that_is_told() {
        let (verdict, reasons) = verdict_after(|run| {
            run.cell.fault = Some(Fault::Cut(crate::harness::network::cut::Cut { at: Vec::new() }));
            run.traffic_seen_by_server = Some(Traffic { down_bytes: 1, ..run.traffic });
        });
        assert_eq!(verdict, Verdict::Ok);
        assert!(reasons.contains("not compared"), "{reasons}");
    }

    #[test]
    fn a_lost_warm_up_line_is_told_in_an_ok_row() {
        let (verdict, reasons) = verdict_after(|run| {
            run.delivery.whole.delivered -= 1;
            run.delivery.whole.lost += 1;
        });
        assert_eq!((verdict, reasons.as_str()), (Verdict::Ok, "1 warm-up lines lost"));
    }

    fn with_theory(verdict: TheoryVerdict) -> RunResult {
        let row = TheoryRow {
            formula: "F1".into(),
            quantity: "x".to_owned(),
            unit: "us".into(),
            predicted: 1.0,
            measured: Some(2.0),
            tolerance_ratio: Some(0.05),
            verdict,
            assumption_broken: None,
        };
        RunResult { theory: vec![row], ..run() }
    }

    #[test]
    fn the_highest_exit_code_wins() {
        let judged = |change: fn(&mut RunResult)| {
            let mut run = run();
            change(&mut run);
            run.judge();
            run
        };
        let fine = judged(|_| ());
        let lossy = judged(|run| {
            run.delivery.whole.delivered -= 1;
            run.delivery.whole.lost += 1;
        });
        let reordered = judged(|run| run.delivery.whole.out_of_order = 1);
        let invalid = judged(|run| run.delivery.negative_count = 1);
        let broken = judged(|run| run.problem = Some("gone".into()));
        assert_eq!(exit_code(&[]), EXIT_OK);
        assert_eq!(exit_code(std::slice::from_ref(&fine)), EXIT_OK);
        assert_eq!(exit_code(&[fine.clone(), lossy.clone()]), EXIT_DELIVERY);
        assert_eq!(exit_code(&[reordered, fine.clone()]), EXIT_DELIVERY);
        assert_eq!(exit_code(&[invalid.clone(), lossy.clone()]), EXIT_INVALID);
        let (contradicting, forgiven) = (with_theory(TheoryVerdict::Fail), TheoryVerdict::AssumptionBroken);
        assert_eq!(exit_code(&[with_theory(forgiven), with_theory(TheoryVerdict::Reported)]), EXIT_OK);
        assert_eq!(exit_code(&[contradicting.clone(), lossy.clone()]), EXIT_THEORY);
        assert_eq!(exit_code(&[contradicting, invalid.clone()]), EXIT_INVALID);
        assert_eq!(exit_code(&[fine, invalid, broken]), EXIT_ENVIRONMENT);
    }
}
