//! What a load is told as.

use serde_json::{Value, json};

use crate::processes::Memory;
use crate::stats::{Samples, table};

/// Answers above this are told in bytes, not in requests.
const LARGE: u64 = 64 * 1024;

/// One round's outcome.
#[derive(Debug, Clone)]
pub(super) struct Round {
    pub(super) name: String,
    /// Of one request each, milliseconds.
    pub(super) latency_ms: Samples,
    pub(super) requests: u32,
    pub(super) seconds: f64,
    /// Of all answers.
    pub(super) bytes: u64,
    /// Events that watchers got.
    pub(super) events: u64,
    /// Of the server, none if its processes are not known.
    pub(super) cpu_seconds: Option<f64>,
    /// Of the server at the round's end, where the round is about it.
    pub(super) memory: Option<Memory>,
}

/// What a second of the server's CPU bears.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Yield {
    Requests(f64),
    Events(f64),
    MegaBytes(f64),
}

impl Yield {
    fn amount(self) -> f64 {
        let (Self::Requests(amount) | Self::Events(amount) | Self::MegaBytes(amount)) = self;
        amount
    }

    fn text(self) -> String {
        match self {
            Self::Requests(amount) => format!("{amount:.0}"),
            Self::Events(amount) => format!("{amount:.0} events"),
            Self::MegaBytes(amount) => format!("{amount:.0} MB"),
        }
    }
}

impl Round {
    fn rate(&self) -> f64 {
        f64::from(self.requests) / self.seconds.max(f64::EPSILON)
    }

    fn cpu_us(&self) -> Option<f64> {
        self.cpu_seconds.map(|s| s * 1e6 / f64::from(self.requests.max(1)))
    }

    fn per_cpu_second(&self) -> Option<Yield> {
        let cpu = self.cpu_seconds.filter(|s| *s > 0.0)?;
        Some(if self.events > 0 {
            Yield::Events(self.events as f64 / cpu)
        } else if self.bytes / u64::from(self.requests.max(1)) > LARGE {
            Yield::MegaBytes(self.bytes as f64 / 1e6 / cpu)
        } else {
            Yield::Requests(f64::from(self.requests) / cpu)
        })
    }

    fn cells(&self) -> Vec<String> {
        let none = || "-".to_string();
        let memory = |of: fn(&Memory) -> f64| {
            self.memory.as_ref().map_or_else(none, |memory| format!("{:.0}", of(memory)))
        };
        vec![
            format!("{}", self.requests),
            format!("{:.0}", self.rate()),
            format!("{:.2}", self.latency_ms.median()),
            format!("{:.2}", self.latency_ms.quantile(0.9)),
            format!("{:.2}", self.latency_ms.quantile(0.99)),
            format!("{:.2}", self.latency_ms.max()),
            self.cpu_us().map_or_else(none, |us| format!("{us:.0}")),
            self.per_cpu_second().map_or_else(none, Yield::text),
            memory(|memory| memory.resident_mib),
            memory(|memory| memory.peak_mib),
        ]
    }

    fn to_value(&self) -> Value {
        json!({
            "round": self.name, "requests": self.requests, "seconds": self.seconds, "bytes": self.bytes,
            "events": self.events, "cpuSeconds": self.cpu_seconds, "cpuMicrosecondsEach": self.cpu_us(),
            "perCpuSecond": self.per_cpu_second().map(Yield::amount),
            "p50Ms": self.latency_ms.median(), "p90Ms": self.latency_ms.quantile(0.9),
            "p99Ms": self.latency_ms.quantile(0.99), "maxMs": self.latency_ms.max(),
            "proportionalMiB": self.memory.map(|memory| memory.proportional_mib),
            "residentMiB": self.memory.map(|memory| memory.resident_mib),
            "peakMiB": self.memory.map(|memory| memory.peak_mib),
        })
    }
}

const HEADS: [&str; 11] = [
    "round",
    "requests",
    "per s",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "max ms",
    "CPU µs each",
    "per CPU-second",
    "RSS MiB",
    "peak MiB",
];

pub(super) fn one(rounds: &[Round]) -> String {
    let mut rows = vec![HEADS.map(str::to_string).to_vec()];
    rows.extend(rounds.iter().map(|round| [vec![round.name.clone()], round.cells()].concat()));
    let total: f64 = rounds.iter().filter_map(|round| round.cpu_seconds).sum();
    let cpu = if total > 0.0 { format!("server CPU: {total:.2} s\n") } else { String::new() };
    table(&rows) + &cpu
}

/// For programs: every server's rounds in a list.
pub(super) fn values(servers: &[Vec<Round>]) -> String {
    let one = |rounds: &Vec<Round>| rounds.iter().map(Round::to_value).collect::<Value>();
    format!("{:#}\n", servers.iter().map(one).collect::<Value>())
}

/// Both, and how many times better the first is: more requests, less latency, less CPU, less memory.
pub(super) fn compare(a: &[Round], b: &[Round]) -> String {
    let mut rows = vec![HEADS.map(str::to_string).to_vec()];
    for (a, b) in a.iter().zip(b) {
        rows.push([vec![format!("{} A", a.name)], a.cells()].concat());
        rows.push([vec![format!("{} B", b.name)], b.cells()].concat());
        rows.push(ratios(a, b));
    }
    table(&rows)
}

fn ratios(a: &Round, b: &Round) -> Vec<String> {
    let ratio = |value: f64| format!("{value:.2}×");
    let both = |a: Option<f64>, b: Option<f64>| a.zip(b).map_or("-".into(), |(a, b)| ratio(b / a));
    let mut row = vec!["  A is better".to_string(), String::new(), ratio(a.rate() / b.rate())];
    let parts = [0.5, 0.9, 0.99, 1.0];
    row.extend(parts.map(|part| ratio(b.latency_ms.quantile(part) / a.latency_ms.quantile(part))));
    row.push(both(a.cpu_us(), b.cpu_us()));
    row.push(both(b.per_cpu_second().map(Yield::amount), a.per_cpu_second().map(Yield::amount)));
    row.push(both(a.memory.map(|m| m.resident_mib), b.memory.map(|m| m.resident_mib)));
    row.push(both(a.memory.map(|m| m.peak_mib), b.memory.map(|m| m.peak_mib)));
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(seconds: f64, ms: f64, cpu_seconds: Option<f64>) -> Round {
        Round {
            name: "get".into(),
            latency_ms: Samples::of([ms]),
            requests: 100,
            seconds,
            bytes: 100,
            events: 0,
            cpu_seconds,
            memory: None,
        }
    }

    #[test]
    fn the_better_one_has_the_greater_ratio() {
        let text = compare(&[round(1.0, 2.0, Some(0.01))], &[round(2.0, 6.0, Some(0.04))]);
        let last = text.lines().last().unwrap();
        assert_eq!(last.matches("4.00×").count(), 2, "{text}");
        assert!(last.contains("2.00×") && last.contains("3.00×"), "{text}");
    }

    #[test]
    fn cpu_is_told_for_each_request() {
        let text = one(&[round(1.0, 2.0, Some(0.01)), round(1.0, 2.0, None)]);
        let words: Vec<&str> = text.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(words[7..9], ["100", "10000"], "{text}");
        assert!(text.ends_with("server CPU: 0.01 s\n"), "{text}");
    }

    #[test]
    fn a_second_of_cpu_is_told_in_what_it_is_about() {
        let plain = round(1.0, 2.0, Some(0.5));
        assert_eq!(plain.per_cpu_second(), Some(Yield::Requests(200.0)));
        let large = Round { bytes: 100_000_000, ..plain.clone() };
        assert_eq!(large.per_cpu_second(), Some(Yield::MegaBytes(200.0)));
        let watched = Round { events: 1000, ..plain };
        assert_eq!(watched.per_cpu_second(), Some(Yield::Events(2000.0)));
    }
}
