//! Statistics: what may be said about how few lines.
//!
//! Pure formulas, used by the reports.

/// Chance that every one of n samples lies below the quantile, at which we still print it: 2.5 %, one tail of a
/// 95 % interval.
const ALL_BELOW_CHANCE: f64 = 0.025;

/// Distinct lines that a quantile needs: n ≥ ln 0.025 / ln Q, so that with 97.5 % probability at least one sample
/// lies beyond it. Lines, not receipts: one line to 1 000 subscribers is one cluster. The maximum (1.0) describes
/// the sample and needs one.
///
/// ```
/// use wirelab_clients::harness::statistics::distinct_lines_needed;
/// assert_eq!(distinct_lines_needed(0.99), 368);
/// assert_eq!(distinct_lines_needed(0.999), 3_688);
/// ```
pub fn distinct_lines_needed(quantile: f64) -> u64 {
    if quantile >= 1.0 || quantile <= 0.0 {
        return 1;
    }
    (ALL_BELOW_CHANCE.ln() / quantile.ln()).ceil() as u64
}

/// The largest quantile that so many distinct lines resolve: the inverse of [`distinct_lines_needed`]. 0 without
/// any.
///
/// ```
/// use wirelab_clients::harness::statistics::quantile_resolved;
/// assert!(quantile_resolved(367) < 0.99 && quantile_resolved(368) >= 0.99);
/// ```
pub fn quantile_resolved(distinct_lines: u64) -> f64 {
    ALL_BELOW_CHANCE.powf(1.0 / distinct_lines as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_needs_more_lines_the_further_out_it_lies() {
        let needed = [0.0, 0.5, 0.9, 0.99, 0.999, 1.0].map(distinct_lines_needed);
        assert_eq!(needed, [1, 6, 36, 368, 3_688, 1]);
    }

    #[test]
    fn lines_resolve_the_quantiles_that_need_so_many() {
        for quantile in [0.5, 0.9, 0.99, 0.999, 0.9999] {
            let needed = distinct_lines_needed(quantile);
            assert!(quantile_resolved(needed) >= quantile && quantile_resolved(needed - 1) < quantile);
        }
        assert_eq!(quantile_resolved(0), 0.0);
    }
}
