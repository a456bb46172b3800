//! What the process takes of its machine, under the names that Prometheus' own clients give it. Read when it is asked for.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Opts};

/// Linux tells times in these parts of a second, on every machine.
const TICKS: f64 = 100.0;

/// Registered like any other metric.
pub struct ProcessMetrics {
    cpu: Counter,
    gauges: [Gauge; 5],
}

const GAUGES: [(&str, &str); 5] = [
    ("process_resident_memory_bytes", "Resident memory size in bytes."),
    ("process_virtual_memory_bytes", "Virtual memory size in bytes."),
    ("process_open_fds", "Number of open file descriptors."),
    ("process_max_fds", "Maximum number of open file descriptors."),
    ("process_start_time_seconds", "Start time of the process since unix epoch in seconds."),
];

impl Default for ProcessMetrics {
    fn default() -> Self {
        let valid = "the name is a constant";
        let opts = Opts::new("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.");
        Self {
            cpu: Counter::with_opts(opts).expect(valid),
            gauges: GAUGES.map(|(name, help)| Gauge::new(name, help).expect(valid)),
        }
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.cpu.desc().into_iter().chain(self.gauges.iter().flat_map(Collector::desc)).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // What the system does not tell is left out.
        let read = |name: &str| fs::read_to_string(format!("/proc/{name}")).unwrap_or_default();
        let (stat, status) = (read("self/stat"), read("self/status"));
        let mut families = Vec::new();
        if let Some(used) = cpu_seconds(&stat) {
            self.cpu.inc_by((used - self.cpu.get()).max(0.0));
            families.extend(self.cpu.collect());
        }
        let open = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
        let values = [
            kilobytes(&status, "VmRSS:"),
            kilobytes(&status, "VmSize:"),
            open,
            open_files_limit(&read("self/limits")),
            start_time(&stat, &read("stat")),
        ];
        for (gauge, value) in self.gauges.iter().zip(values) {
            if let Some(value) = value {
                gauge.set(value);
                families.extend(gauge.collect());
            }
        }
        families
    }
}

/// A field of `/proc/self/stat` by its number in proc(5). The name, which may hold anything, is in brackets.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS)
}

fn start_time(stat: &str, system: &str) -> Option<f64> {
    let boot: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(boot + field(stat, 22)? / TICKS)
}

fn kilobytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number * 1024.0)
}

fn open_files_limit(limits: &str) -> Option<f64> {
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_pages_are_read() {
        let stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 150 50 13 14 15 16 17 18 2000 20 21 22";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(start_time(stat, "cpu 1 2\nbtime 1000\nprocesses 5\n"), Some(1020.0));
        assert_eq!(kilobytes("Name:\ta\nVmRSS:\t     12 kB\n", "VmRSS:"), Some(12288.0));
        let limits = "Limit  Soft  Hard  Units\nMax open files            1024        4096        files\n";
        assert_eq!(open_files_limit(limits), Some(1024.0));
        assert_eq!((cpu_seconds(""), kilobytes("", "VmRSS:")), (None, None));
    }

    #[test]
    fn this_process_is_told_of() {
        let names: Vec<String> =
            ProcessMetrics::default().collect().iter().map(|family| family.name().to_string()).collect();
        assert_eq!(names.len(), 6, "{names:?}");
    }
}
