//! Quantiles from a histogram on the metrics page, as far as its buckets tell them.

/// The buckets of one histogram, summed over all label sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets(Vec<(f64, u64)>);

impl Buckets {
    /// Reads the histogram `name` from a page in the text format.
    pub fn on_page(page: &str, name: &str) -> Buckets {
        let prefix = format!("{name}_bucket{{");
        let mut buckets: Vec<(f64, u64)> = Vec::new();
        for line in page.lines().filter_map(|line| line.strip_prefix(&prefix)) {
            let Some((labels, count)) = line.rsplit_once("} ") else {
                continue;
            };
            let edge = labels
                .split(',')
                .find_map(|label| label.strip_prefix("le=\""))
                .and_then(|value| value.trim_end_matches('"').parse::<f64>().ok());
            let (Some(edge), Ok(count)) = (edge, count.trim().parse::<f64>()) else {
                continue;
            };
            let count = count as u64;
            match buckets.iter_mut().find(|(known, _)| *known == edge) {
                Some((_, sum)) => *sum += count,
                None => buckets.push((edge, count)),
            }
        }
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        Buckets(buckets)
    }

    /// What came since `earlier`.
    pub fn since(&self, earlier: &Buckets) -> Buckets {
        let before = |edge: f64| {
            let known = earlier.0.iter().find(|(known, _)| *known == edge);
            known.map_or(0, |(_, count)| *count)
        };
        let differences = self.0.iter();
        Buckets(
            differences
                .map(|&(edge, count)| (edge, count.saturating_sub(before(edge))))
                .collect(),
        )
    }

    pub fn count(&self) -> u64 {
        self.0.last().map_or(0, |(_, count)| *count)
    }

    /// The value below which this part of the observations lies, linear within its bucket.
    pub fn quantile(&self, part: f64) -> f64 {
        let wanted = self.count() as f64 * part;
        let (mut edge_before, mut count_before) = (0.0, 0);
        for &(edge, count) in &self.0 {
            if count as f64 >= wanted && count > count_before {
                if edge.is_infinite() {
                    return edge_before;
                }
                let share = (wanted - count_before as f64) / (count - count_before) as f64;
                return edge_before + share.max(0.0) * (edge - edge_before);
            }
            (edge_before, count_before) = (edge, count);
        }
        f64::INFINITY
    }

    /// The upper edge of the highest bucket that holds anything.
    pub fn highest_edge(&self) -> f64 {
        let total = self.count();
        let first_with_all = self.0.iter().find(|(_, count)| *count == total);
        first_with_all.map_or(f64::INFINITY, |(edge, _)| *edge)
    }

    /// The part of the observations that lies at or below `edge`, which is a bucket's edge.
    pub fn part_up_to(&self, edge: f64) -> f64 {
        let known = self.0.iter().rev().find(|(known, _)| *known <= edge);
        known.map_or(0.0, |(_, count)| *count as f64) / self.count().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "\
# TYPE delay_seconds histogram
delay_seconds_bucket{role=\"alpha\",le=\"0.001\"} 10
delay_seconds_bucket{role=\"alpha\",le=\"0.01\"} 19
delay_seconds_bucket{role=\"alpha\",le=\"+Inf\"} 20
delay_seconds_bucket{role=\"delta\",le=\"0.001\"} 80
delay_seconds_bucket{role=\"delta\",le=\"0.01\"} 80
delay_seconds_bucket{role=\"delta\",le=\"+Inf\"} 80
other_bucket{le=\"1\"} 5
";

    #[test]
    fn roles_are_summed_and_quantiles_lie_in_their_buckets() {
        let buckets = Buckets::on_page(PAGE, "delay_seconds");
        assert_eq!(buckets.count(), 100);
        assert!((buckets.quantile(0.45) - 0.0005).abs() < 1e-9);
        assert!((0.001..=0.01).contains(&buckets.quantile(0.95)));
        assert_eq!(buckets.quantile(1.0), 0.01);
        assert_eq!(buckets.highest_edge(), f64::INFINITY);
        assert_eq!(buckets.part_up_to(0.001), 0.9);
    }

    #[test]
    fn what_was_there_before_does_not_count() {
        let earlier = Buckets::on_page(PAGE, "delay_seconds");
        assert_eq!(earlier.since(&earlier).count(), 0);
        assert_eq!(earlier.since(&Buckets::default()), earlier);
    }
}
