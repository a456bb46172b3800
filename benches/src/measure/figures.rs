//! The figures: what each should be, what upstream 1.36 measured on the same machine, and how they are told.

use serde::Serialize;

use crate::stats::{Samples, table};

/// One line of the table.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    name: &'static str,
    unit: &'static str,
    target: f64,
    /// Upstream: kube-apiserver, etcd 3.6, controller manager, scheduler, kubelet, containerd, kube-proxy.
    upstream: f64,
}

pub(crate) const READYZ: Figure = figure("exec to /readyz ok", "s", 0.3, 1.9);
pub(crate) const NODE_READY: Figure = figure("exec to Node Ready", "s", 1.0, 8.0);
pub(crate) const POD_READY: Figure = figure("pod created to Ready, one at a time", "ms", 150.0, 470.0);
pub(crate) const BURST: Figure = figure("30 pods at once, all Ready", "s", 0.8, 2.6);
pub(crate) const IDLE_MEMORY: Figure = figure("idle memory of everything (PSS)", "MiB", 80.0, 705.0);
/// Upstream's was not measured; a target without a peer.
pub(crate) const IDLE_CPU: Figure = figure("idle CPU, of one core", "%", 1.0, f64::NAN);
pub(crate) const POD_MEMORY: Figure = figure("one more idle pod (PSS)", "MiB", 4.0, 14.0);
pub(crate) const BINARY: Figure = figure("size of the binary", "MiB", 60.0, 650.0);

const fn figure(name: &'static str, unit: &'static str, target: f64, upstream: f64) -> Figure {
    Figure { name, unit, target, upstream }
}

#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    #[serde(flatten)]
    figure: Figure,
    samples: Samples,
    min: f64,
    median: f64,
    max: f64,
    met: bool,
    /// How much of upstream's it is.
    ratio: f64,
}

impl Figure {
    /// Judged by the median.
    pub(crate) fn measured(self, samples: Samples) -> Measured {
        let (min, median, max) = (samples.min(), samples.median(), samples.max());
        let (met, ratio) = (median <= self.target, median / self.upstream);
        Measured { figure: self, samples, min, median, max, met, ratio }
    }
}

pub(crate) fn print(measured: &[Measured]) -> String {
    let heads = ["figure", "unit", "min", "median", "max", "target", "", "upstream", "ratio"];
    let mut rows = vec![heads.map(str::to_string).to_vec()];
    for one in measured {
        let Figure { name, unit, target, upstream } = one.figure;
        let peer = |value: f64| if value.is_nan() { "-".to_string() } else { number(value) };
        let verdict = if one.met { "met" } else { "MISSED" };
        rows.push(vec![
            name.to_string(),
            unit.to_string(),
            number(one.min),
            number(one.median),
            number(one.max),
            format!("≤ {}", number(target)),
            verdict.to_string(),
            peer(upstream),
            peer(one.ratio),
        ]);
    }
    table(&rows)
}

/// Three digits that say something.
fn number(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_judged_by_its_median() {
        let met = READYZ.measured(Samples::of([0.1, 0.2, 9.0]));
        let missed = IDLE_CPU.measured(Samples::of([1.5]));
        assert!(met.met && !missed.met);
        let text = print(&[met, missed]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].contains("0.20") && lines[1].contains("met") && lines[1].ends_with("0.11"),
            "{text}"
        );
        assert!(lines[2].contains("MISSED") && lines[2].ends_with('-'), "{text}");
    }

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([0.123, 12.34, 705.2].map(number), ["0.12", "12.3", "705"]);
    }
}
