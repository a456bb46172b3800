//! What a load is told as.

use crate::stats::{Samples, table};

/// One round's outcome.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) name: &'static str,
    /// Of one request each, milliseconds.
    pub(super) latency_ms: Samples,
    pub(super) requests: u32,
    pub(super) seconds: f64,
    /// Events that watchers got.
    pub(super) events: u64,
    /// Of the server, none if its processes are not known.
    pub(super) cpu_seconds: Option<f64>,
}

impl Round {
    fn rate(&self) -> f64 {
        f64::from(self.requests) / self.seconds.max(f64::EPSILON)
    }

    fn cpu_us(&self) -> Option<f64> {
        self.cpu_seconds.map(|s| s * 1e6 / f64::from(self.requests.max(1)))
    }

    fn cells(&self) -> Vec<String> {
        let events =
            if self.events > 0 { format!("{:.0}", self.events as f64 / self.seconds) } else { "-".into() };
        vec![
            format!("{}", self.requests),
            format!("{:.0}", self.rate()),
            format!("{:.2}", self.latency_ms.median()),
            format!("{:.2}", self.latency_ms.quantile(0.9)),
            format!("{:.2}", self.latency_ms.quantile(0.99)),
            format!("{:.2}", self.latency_ms.max()),
            events,
            self.cpu_us().map_or("-".into(), |us| format!("{us:.0}")),
        ]
    }
}

const HEADS: [&str; 9] =
    ["round", "requests", "per s", "p50 ms", "p90 ms", "p99 ms", "max ms", "events/s", "CPU µs each"];

pub(super) fn one(rounds: &[Round]) -> String {
    let mut rows = vec![HEADS.map(str::to_string).to_vec()];
    rows.extend(rounds.iter().map(|round| [vec![round.name.to_string()], round.cells()].concat()));
    let total: f64 = rounds.iter().filter_map(|round| round.cpu_seconds).sum();
    let cpu = if total > 0.0 { format!("server CPU: {total:.2} s\n") } else { String::new() };
    table(&rows) + &cpu
}

/// Both, and how many times better the first is: more requests, less latency, less CPU.
pub(super) fn compare(a: &[Round], b: &[Round]) -> String {
    let mut rows = vec![HEADS.map(str::to_string).to_vec()];
    for (a, b) in a.iter().zip(b) {
        rows.push([vec![format!("{} A", a.name)], a.cells()].concat());
        rows.push([vec![format!("{} B", b.name)], b.cells()].concat());
        let ratio = |value: f64| format!("{value:.2}×");
        let mut row = vec!["  A is better".to_string(), String::new(), ratio(a.rate() / b.rate())];
        row.extend(
            [0.5, 0.9, 0.99, 1.0]
                .map(|part| ratio(b.latency_ms.quantile(part) / a.latency_ms.quantile(part))),
        );
        row.push(String::new());
        row.push(a.cpu_us().zip(b.cpu_us()).map_or("-".into(), |(a, b)| ratio(b / a)));
        rows.push(row);
    }
    table(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(seconds: f64, ms: f64, cpu_seconds: Option<f64>) -> Round {
        Round { name: "get", latency_ms: Samples::of([ms]), requests: 100, seconds, events: 0, cpu_seconds }
    }

    #[test]
    fn the_better_one_has_the_greater_ratio() {
        let text = compare(&[round(1.0, 2.0, Some(0.01))], &[round(2.0, 6.0, Some(0.04))]);
        let last = text.lines().last().unwrap();
        assert!(last.contains("2.00×") && last.contains("3.00×") && last.ends_with("4.00×"), "{text}");
    }

    #[test]
    fn cpu_is_told_for_each_request() {
        let text = one(&[round(1.0, 2.0, Some(0.01)), round(1.0, 2.0, None)]);
        assert!(text.lines().nth(1).unwrap().ends_with(" 100"), "{text}");
        assert!(text.ends_with("server CPU: 0.01 s\n"), "{text}");
    }
}
