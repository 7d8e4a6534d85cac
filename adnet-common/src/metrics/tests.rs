use super::*;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts};
use proptest::prelude::*;

fn registry(sent: u64) -> Registry {
    let registry = Registry::new();
    let counter = IntCounterVec::new(Opts::new("sent_total", "Sent \\ so\nfar."), &["to"]);
    let counter = counter.expect("valid");
    counter
        .with_label_values(&["a \"quoted\" \\ one\nand, {two}"])
        .inc_by(sent);
    counter.with_label_values(&["plain"]).inc();
    let options = HistogramOpts::new("took_seconds", "Time.").buckets(vec![0.1, 1.0]);
    let histogram = HistogramVec::new(options, &["op"]).expect("valid");
    histogram.with_label_values(&["read"]).observe(0.5);
    let gauge = IntGauge::new("depth", "Depth.").expect("valid");
    gauge.set(-3);
    registry.register(Box::new(counter)).expect("new");
    registry.register(Box::new(histogram)).expect("new");
    registry.register(Box::new(gauge)).expect("new");
    registry
}

#[test]
fn families_of_two_roles_become_one_with_a_role_on_each_sample() {
    let (alpha, delta) = (gather_text(&registry(5)), gather_text(&registry(6)));
    check_report(&alpha).expect("what is gathered is accepted");
    let page = render(&[("alpha", &alpha), ("delta", &delta)]);
    let expected = "\
# HELP depth Depth.
# TYPE depth gauge
depth{role=\"alpha\"} -3
depth{role=\"delta\"} -3
# HELP sent_total Sent \\\\ so\\nfar.
# TYPE sent_total counter
sent_total{role=\"alpha\",to=\"a \\\"quoted\\\" \\\\ one\\nand, {two}\"} 5
sent_total{role=\"alpha\",to=\"plain\"} 1
sent_total{role=\"delta\",to=\"a \\\"quoted\\\" \\\\ one\\nand, {two}\"} 6
sent_total{role=\"delta\",to=\"plain\"} 1
# HELP took_seconds Time.
# TYPE took_seconds histogram
took_seconds_bucket{role=\"alpha\",op=\"read\",le=\"0.1\"} 0
took_seconds_bucket{role=\"alpha\",op=\"read\",le=\"1\"} 1
took_seconds_bucket{role=\"alpha\",op=\"read\",le=\"+Inf\"} 1
took_seconds_sum{role=\"alpha\",op=\"read\"} 0.5
took_seconds_count{role=\"alpha\",op=\"read\"} 1
";
    assert!(page.starts_with(expected), "{page}");
    assert_eq!(
        page.lines()
            .filter(|line| line.starts_with("# TYPE"))
            .count(),
        3
    );
}

fn family(kind: MetricKind, lines: &[&str]) -> MetricFamilyText {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    MetricFamilyText {
        name: "x".into(),
        help: "help".into(),
        kind,
        lines,
    }
}

#[test]
fn a_disagreement_about_the_type_is_decided_by_the_first_role() {
    let (a, b) = (
        family(MetricKind::Gauge, &["x 1"]),
        family(MetricKind::Counter, &["x 2"]),
    );
    let page = render(&[("supervisor", &[a]), ("alpha", &[b])]);
    assert_eq!(
        page,
        "# HELP x help\n# TYPE x gauge\nx{role=\"supervisor\"} 1\n"
    );
}

#[test]
fn forged_samples_are_refused() {
    let bad = [
        "x 1\ny 2",
        "y 1",
        "x",
        "x ",
        "x one",
        "x 1 2",
        "x infinity",
        "x{} 1",
        "x{a=\"b\"}1",
        "x{a=\"b} 1",
        "x{a=\"b\\\"} 1",
        "x{a=\"b\\q\"} 1",
        "x{a=\"b\nc\"} 1",
        "x{role=\"supervisor\"} 1",
        "x{1a=\"b\"} 1",
        "x{a=b} 1",
        "x_sum 1",
        "# TYPE x counter",
        "",
    ];
    for line in bad {
        let refused = family(MetricKind::Gauge, &[line]).check();
        assert_eq!(refused, Err(MetricTextError::Sample(0)), "{line:?}");
    }
    let twice = family(MetricKind::Gauge, &["x{a=\"b\"} 1", "x{a=\"b\"} 2"]);
    assert_eq!(twice.check(), Err(MetricTextError::Sample(1)));
    let long = family(MetricKind::Gauge, &[&"x".repeat(LINE_BYTES_MAX + 1)]);
    assert_eq!(long.check(), Err(MetricTextError::TooLong));
    let mut named = family(MetricKind::Gauge, &[]);
    named.name = "x\n# TYPE".into();
    assert_eq!(named.check(), Err(MetricTextError::Name));
    let both = [
        family(MetricKind::Gauge, &[]),
        family(MetricKind::Gauge, &[]),
    ];
    assert_eq!(check_report(&both), Err(MetricTextError::Twice("x".into())));
}

proptest! {
    #[test]
    fn any_line_that_is_accepted_renders_as_one_line(
        line in "x(_sum)?[{]?[a-c\"\\\\=,{}é\n ]{0,20}[}]? ?[0-9.eE+-]{0,4}",
    ) {
        let family = family(MetricKind::Gauge, &[&line]);
        let page = render(&[("alpha", std::slice::from_ref(&family))]);
        if family.check().is_ok() {
            prop_assert_eq!(page.lines().count(), 3);
            prop_assert!(page.ends_with('\n'));
        }
    }

    #[test]
    fn any_label_value_survives(value: String) {
        let registry = Registry::new();
        let gauge = prometheus::IntGaugeVec::new(Opts::new("x", "help"), &["a"]).expect("valid");
        // The library does not escape control characters, and nothing here makes any.
        let value: String = value.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        gauge.with_label_values(&[value]).set(1);
        registry.register(Box::new(gauge)).expect("new");
        prop_assert_eq!(check_report(&gather_text(&registry)), Ok(()));
    }
}
