//! Memory and processor time of the supervisor and its workers, from `/proc`.

use crate::node_state::NodeState;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, IntGaugeVec, Opts};
use std::fs;
use std::sync::Arc;

/// Looks at the processes when metrics are gathered. The workers cannot: their sandbox has no
/// `/proc`. Processor time falls back when a worker is replaced, so it is a counter per process.
pub(super) struct ProcessCollector {
    state: Arc<NodeState>,
    resident: IntGaugeVec,
    cpu: GaugeVec,
    threads: IntGaugeVec,
}

/// What is of interest in `/proc/PID/stat` (proc(5)).
#[derive(Copy, Clone, Debug, PartialEq)]
struct Usage {
    resident_bytes: i64,
    cpu_seconds: f64,
    threads: i64,
}

impl ProcessCollector {
    pub(super) fn new(state: Arc<NodeState>) -> Self {
        let valid = "names and label are valid";
        let gauges = |name: &str, help: &str| {
            IntGaugeVec::new(Opts::new(name, help), &["process"]).expect(valid)
        };
        let cpu = Opts::new(
            "adnet_process_cpu_seconds",
            "Processor time of the process now in this role, user and system.",
        );
        Self {
            state,
            resident: gauges("adnet_process_resident_memory_bytes", "Resident memory."),
            cpu: GaugeVec::new(cpu, &["process"]).expect(valid),
            threads: gauges("adnet_process_threads", "Threads."),
        }
    }

    fn refresh(&self) {
        let chains = self.state.chains();
        let workers = chains.iter().flat_map(|(plan, state)| {
            let name = plan.chain.name();
            let standby = state.standby;
            let standby = standby.map(|standby| (format!("{name}-standby"), standby.pid));
            [(name.to_owned(), state.pid)].into_iter().chain(standby)
        });
        let own = std::iter::once(("supervisor".to_owned(), Some(std::process::id())));
        for (process, pid) in own.chain(workers) {
            let process = process.as_str();
            let stat = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/stat")).ok());
            let usage = stat.as_deref().and_then(parse);
            let usage = usage.unwrap_or(Usage {
                resident_bytes: 0,
                cpu_seconds: 0.0,
                threads: 0,
            });
            self.resident
                .with_label_values(&[process])
                .set(usage.resident_bytes);
            self.cpu
                .with_label_values(&[process])
                .set(usage.cpu_seconds);
            self.threads
                .with_label_values(&[process])
                .set(usage.threads);
        }
    }
}

/// Reads the fields behind the program's name, which may hold anything and ends at the last `)`.
fn parse(stat: &str) -> Option<Usage> {
    let fields: Vec<&str> = stat
        .get(stat.rfind(')')? + 1..)?
        .split_ascii_whitespace()
        .collect();
    // The first of these is field 3 of the manual page.
    let number = |field: usize| fields.get(field - 3)?.parse::<i64>().ok();
    let ticks = number(14)?.checked_add(number(15)?)?;
    let page_bytes = i64::try_from(rustix::param::page_size()).ok()?;
    Some(Usage {
        cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        threads: number(20)?,
        resident_bytes: number(24)?.checked_mul(page_bytes)?,
    })
}

impl Collector for ProcessCollector {
    fn desc(&self) -> Vec<&Desc> {
        let all = [self.resident.desc(), self.cpu.desc(), self.threads.desc()];
        all.into_iter().flatten().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        let all = [
            self.resident.collect(),
            self.cpu.collect(),
            self.threads.collect(),
        ];
        all.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_full_of_traps_does_not_shift_the_fields() {
        let mut fields = vec!["0"; 50];
        (fields[11], fields[12], fields[17], fields[21]) = ("150", "50", "7", "3");
        let usage = parse(&format!("42 (a) b) S {}", fields[1..].join(" "))).expect("complete");
        let page = i64::try_from(rustix::param::page_size()).expect("small");
        assert_eq!((usage.threads, usage.resident_bytes), (7, 3 * page));
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        assert!((usage.cpu_seconds - 200.0 / ticks).abs() < 1e-9);
        assert_eq!(parse("42 (adnet) S 1"), None);
        assert_eq!(parse(""), None);
    }
}
