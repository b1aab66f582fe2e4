//! Books: every published line is accounted for, once, by every subscriber that should have it.

use super::{Found, Gate};
use crate::harness::cell::Server;
use crate::harness::recorder::Counts;
use crate::harness::run_result::CheckVerdict;
use crate::harness::run_result::RunResult;

pub(super) const GATES: &[Gate] = &[
    Gate {
        name: "problem",
        unit: "count",
        definition: "Left: problems that broke the run, such as a server that went away; must be 0.",
        find: |run| {
            let problem = || run.problem.clone().unwrap_or_default();
            Found::none(run.problem.is_some().into(), CheckVerdict::Fail, problem)
        },
    },
    Gate {
        name: "cohort-books",
        unit: "lines",
        definition: "Left: lines × subscribers expected in the cohort. Right: delivered + lost + censored. Equal.",
        find: |run| balanced("cohort", &run.delivery.cohort),
    },
    Gate {
        name: "whole-run-books",
        unit: "lines",
        definition: "Left: lines × subscribers expected in the whole run, warm-up included. Right: delivered + lost + \
                     censored. Equal.",
        find: |run| balanced("whole run", &run.delivery.whole),
    },
    Gate {
        name: "subscribers-reported",
        unit: "count",
        definition: "Left: subscribers whose recorder was read. Right: subscribers of the plan, of all deployments. Equal.",
        find: |run| {
            let reported = run.delivery.subscribers_count;
            let planned = u64::from(run.cell.subscribers_total());
            let said = || format!("{reported} of {planned} subscribers reported");
            Found::equal(reported as f64, planned as f64, 0.0, said)
        },
    },
    Gate {
        name: "published",
        unit: "lines",
        definition: "Left: lines of the cohort that the server acknowledged × subscribers of their deployment. Right: \
                     expected. Equal.",
        find: |run| {
            let (published, subscribers) = (run.published_count, u64::from(run.cell.subscribers));
            let expected = run.delivery.cohort.expected;
            let said =
                || format!("{published} lines published × {subscribers} subscribers ≠ {expected} expected");
            Found::equal((published * subscribers) as f64, expected as f64, 0.0, said)
        },
    },
    Gate {
        name: "received-before-due",
        unit: "lines",
        definition: "Left: receipts before the due time, which no clock allows; must be 0.",
        find: |run| {
            let count = run.delivery.negative_count;
            let said = || format!("{count} lines were received before they were due");
            Found::none(count, CheckVerdict::Fail, said)
        },
    },
    Gate {
        name: "received-unpublished",
        unit: "lines",
        definition: "Left: receipts of lines that were never published; must be 0.",
        find: |run| {
            let count = run.delivery.unpublished_count;
            let said = || format!("{count} lines were received that were never published");
            Found::none(count, CheckVerdict::Fail, said)
        },
    },
    Gate {
        name: "received-again",
        unit: "lines",
        definition: "Left: receipts of a line that the subscriber already had, over the whole run; must be 0 where \
                     the contract promises it. For other servers it is a finding, and not compared.",
        find: |run| {
            let count = run.delivery.whole.duplicated;
            match run.cell.server {
                Server::Wirelab | Server::Running(_) => {
                    Found::none(count, CheckVerdict::Fail, || format!("{count} lines were received again"))
                }
                Server::Profile(_) => Found::not_compared(Some(count as f64), None),
            }
        },
    },
    Gate {
        name: "delivered",
        unit: "lines",
        definition: "Left: lines × subscribers expected in the whole run. Right: delivered. Fails where none of them was \
                     delivered: such a run has measured nothing.",
        find: |run| {
            let whole = &run.delivery.whole;
            let holds = whole.delivered > 0 || whole.expected == 0;
            let (left, right) = (whole.expected as f64, whole.delivered as f64);
            Found::judged(holds, left, right, left, CheckVerdict::Fail, || nothing_delivered(run))
        },
    },
    Gate {
        name: "missing",
        unit: "lines",
        definition: "Left: lost + censored lines of the cohort; above 0, quantiles that would hide them are left out.",
        find: |run| {
            let missing = run.delivery.cohort.lost + run.delivery.cohort.censored;
            let said = || format!("{missing} lines are missing; quantiles that would hide them are left out");
            Found::none(missing, CheckVerdict::Unresolved, said)
        },
    },
];

/// Says that no line was delivered, and what came instead.
fn nothing_delivered(run: &RunResult) -> String {
    let expected = run.delivery.whole.expected;
    let said = format!("nothing was delivered: {expected} lines were expected, and none came");
    match (&run.unmatched, &run.cell.server) {
        (Some(unmatched), _) => format!(
            "{said}; the profile takes nothing that the server sent for a line, first {unmatched}; compare it with \
             subscribe.event, subscribe.line and subscribe.wire of the profile"
        ),
        (None, Server::Profile(_)) => format!(
            "{said}; check subscribe.path and subscribe.wire of the profile, then publish.path and the deployment's name \
             in both"
        ),
        (None, Server::Wirelab | Server::Running(_)) => said,
    }
}

fn balanced(which: &str, counts: &Counts) -> Found {
    let Counts { expected, delivered, lost, censored, .. } = counts;
    let sum = delivered + lost + censored;
    let said = || {
        format!("{which}: {expected} expected ≠ {delivered} delivered + {lost} lost + {censored} censored")
    };
    Found::equal(*expected as f64, sum as f64, 0.0, said)
}

/// Lists defects that no gate judges. The row's counts are the cohort's, so defects of warm-up lines and of subscribers
/// would be seen nowhere else.
pub(super) fn remarks(run: &RunResult) -> impl Iterator<Item = String> {
    let warm_up = run.delivery.warm_up();
    [
        (warm_up.lost, "lost"),
        (warm_up.censored, "censored"),
        (warm_up.out_of_order, "out of order"),
        (warm_up.duplicated, "received again"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} warm-up lines {what}"))
    .chain(run.subscriber_problems.iter().cloned())
}
