//! How the checks went, for `/metrics/slis`: the last answer of each, and how often it was what.

use prometheus::{Encoder as _, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

pub(super) struct Told {
    registry: Registry,
    last: IntGaugeVec,
    all: IntCounterVec,
}

impl Told {
    pub(super) fn new() -> Self {
        let registry = Registry::new();
        let valid = "the names and labels are constants";
        let opts = Opts::new("kubernetes_healthcheck", "[STABLE] How the check went when it was last asked.");
        let last = IntGaugeVec::new(opts, &["name", "type"]).expect(valid);
        let opts = Opts::new("kubernetes_healthchecks_total", "[STABLE] How the checks went, by outcome.");
        let all = IntCounterVec::new(opts, &["name", "status", "type"]).expect(valid);
        registry.register(Box::new(last.clone())).expect("registered once");
        registry.register(Box::new(all.clone())).expect("registered once");
        Self { registry, last, all }
    }

    pub(super) fn note(&self, endpoint: &str, check: &str, ok: bool) {
        let status = if ok { "success" } else { "error" };
        self.last.with_label_values(&[check, endpoint]).set(i64::from(ok));
        self.all.with_label_values(&[check, status, endpoint]).inc();
    }

    pub(super) fn print(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // Writing to memory does not fail.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_answer_and_all_answers_are_told() {
        let told = Told::new();
        for ok in [true, true, false] {
            told.note("livez", "etcd", ok);
        }
        let text = String::from_utf8(told.print()).expect("text");
        for line in [
            "kubernetes_healthcheck{name=\"etcd\",type=\"livez\"} 0",
            "kubernetes_healthchecks_total{name=\"etcd\",status=\"success\",type=\"livez\"} 2",
            "kubernetes_healthchecks_total{name=\"etcd\",status=\"error\",type=\"livez\"} 1",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
    }
}
