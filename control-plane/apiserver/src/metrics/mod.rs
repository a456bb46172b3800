//! Counters under upstream's names, printed at `/metrics`: the server's own, those of its parts, and those of the other
//! components of this process.

mod requests;
mod storage;

use std::collections::HashSet;
use std::time::Duration;

use http::StatusCode;
use oarlock_base::Features;
use oarlock_telemetry::ProcessMetrics;
use parking_lot::Mutex;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};
use serde_json::Value;

use crate::cache::Cache;
use crate::flow_control::InFlight;
use crate::request_info::RequestInfo;
pub(crate) use requests::Asked;
use requests::{Requests, scope};
use storage::StorageSize;

/// Upstream's of lists that begin a watch, in seconds.
const WATCH_LIST: [f64; 17] =
    [0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0];

pub(crate) struct Metrics {
    registry: Registry,
    requests: Requests,
    in_flight: IntGaugeVec,
    objects: IntGaugeVec,
    stored: IntGaugeVec,
    watchers: IntGaugeVec,
    long_running: IntGaugeVec,
    deprecated: IntGaugeVec,
    watch_lists: HistogramVec,
    events: IntCounterVec,
    pub(crate) stored_bytes: StorageSize,
    /// Of two who print at once the counters are brought up to date by one.
    printing: Mutex<()>,
}

/// A request that lasts; it is counted as long as this lives.
pub(crate) struct Running(IntGauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// The size of the store is looked at as often as `size_every`.
    pub(crate) fn new(size_every: Duration) -> Self {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = IntGaugeVec::new(Opts::new(name, help), labels);
            let gauge = gauge.expect("the name and labels are constants");
            registry.register(Box::new(gauge.clone())).expect("every name is registered once");
            gauge
        };
        let watch_lists = HistogramOpts::new(
            "apiserver_watch_list_duration_seconds",
            "[BETA] How long the initial events of watches took, in seconds.",
        );
        let watch_lists = HistogramVec::new(
            watch_lists.buckets(WATCH_LIST.to_vec()),
            &["group", "resource", "scope", "version"],
        )
        .expect("the name and labels are constants");
        let events =
            Opts::new("apiserver_storage_events_received_total", "[BETA] Changes that the store told of.");
        let events = IntCounterVec::new(events, &["group", "resource"]);
        let events = events.expect("the name and labels are constants");
        let metrics = Self {
            events,
            stored_bytes: StorageSize::new(&registry, size_every),
            printing: Mutex::default(),
            requests: Requests::new(&registry),
            in_flight: gauge(
                "apiserver_current_inflight_requests",
                "[STABLE] Requests under way, by their kind.",
                &["request_kind"],
            ),
            objects: gauge(
                "apiserver_storage_objects",
                "[STABLE] (Deprecated since 1.34.0) Stored objects; apiserver_resource_objects tells the same.",
                &["resource"],
            ),
            stored: gauge("apiserver_resource_objects", "[ALPHA] Stored objects.", &["group", "resource"]),
            watchers: gauge(
                "apiserver_registered_watchers",
                "[ALPHA] Watches under way.",
                &["group", "resource", "version"],
            ),
            long_running: gauge(
                "apiserver_longrunning_requests",
                "[STABLE] Requests that last, by verb, resource, scope and component.",
                &["component", "group", "resource", "scope", "subresource", "verb", "version"],
            ),
            deprecated: gauge(
                "apiserver_requested_deprecated_apis",
                "[STABLE] Deprecated APIs that were requested.",
                &["group", "removed_release", "resource", "subresource", "version"],
            ),
            watch_lists,
            registry,
        };
        let others: [Box<dyn prometheus::core::Collector>; 3] = [
            Box::new(metrics.watch_lists.clone()),
            Box::new(metrics.events.clone()),
            Box::new(ProcessMetrics::default()),
        ];
        for collector in others {
            metrics.registry.register(collector).expect("every name is registered once");
        }
        metrics
    }

    /// Tells which features are on.
    pub(crate) fn features(&self, features: &Features) {
        let opts =
            Opts::new("kubernetes_feature_enabled", "[BETA] Whether a feature is on, by its name and stage.");
        let gauge = IntGaugeVec::new(opts, &["name", "stage"]).expect("the name and labels are constants");
        for (gate, on) in features.all() {
            gauge.with_label_values(&[gate.name, gate.stage.label()]).set(i64::from(on));
        }
        self.registry.register(Box::new(gauge)).expect("every name is registered once");
    }

    /// Tells which program this is, as `/version` does.
    pub(crate) fn build(&self, version: &Value) {
        const LABELS: [(&str, &str); 9] = [
            ("build_date", "buildDate"),
            ("compiler", "compiler"),
            ("git_commit", "gitCommit"),
            ("git_tree_state", "gitTreeState"),
            ("git_version", "gitVersion"),
            ("go_version", "goVersion"),
            ("major", "major"),
            ("minor", "minor"),
            ("platform", "platform"),
        ];
        let opts = Opts::new("kubernetes_build_info", "[BETA] Which program this is; always 1.");
        let gauge = IntGaugeVec::new(opts, &LABELS.map(|(label, _)| label));
        let gauge = gauge.expect("the name and labels are constants");
        gauge.with_label_values(&LABELS.map(|(_, field)| version[field].as_str().unwrap_or_default())).set(1);
        self.registry.register(Box::new(gauge)).expect("every name is registered once");
    }

    /// Where other parts of the server put their own.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn observe(
        &self,
        info: &RequestInfo,
        asked: Asked,
        code: StatusCode,
        size: Option<u64>,
        took: Duration,
    ) {
        self.requests.observe(info, asked, code, size, took);
    }

    /// A watch has begun.
    pub(crate) fn watching(&self, info: &RequestInfo) -> Running {
        let labels = [
            "apiserver",
            &info.group,
            &info.resource,
            scope(info),
            &info.subresource,
            "WATCH",
            &info.version,
        ];
        let gauge = self.long_running.with_label_values(&labels);
        gauge.inc();
        Running(gauge)
    }

    /// The initial events of a watch were sent.
    pub(crate) fn watch_listed(&self, labels: &WatchLabels, took: Duration) {
        let WatchLabels { group, resource, scope, version } = labels;
        let labels = [group.as_str(), resource, scope, version];
        self.watch_lists.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// Something was asked for that is to be given up.
    pub(crate) fn deprecated(&self, info: &RequestInfo, removed_release: &str) {
        let labels = [&*info.group, removed_release, &*info.resource, &*info.subresource, &*info.version];
        self.deprecated.with_label_values(&labels).set(1);
    }

    /// The text of `/metrics`.
    pub(crate) fn print(&self, cache: &Cache, in_flight: &InFlight, disabled: &[String]) -> Vec<u8> {
        let _alone = self.printing.lock();
        let (reads, writes) = in_flight.counts();
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.in_flight.with_label_values(&["readOnly"]).set(gauge(reads));
        self.in_flight.with_label_values(&["mutating"]).set(gauge(writes));
        for resource in cache.resources() {
            let of = &resource.storage.group_resource;
            let (objects, watchers) = resource.counts();
            self.objects.with_label_values(&[&of.to_string()]).set(gauge(objects));
            self.stored.with_label_values(&[&*of.group, &*of.resource]).set(gauge(objects));
            let events = self.events.with_label_values(&[&*of.group, &*of.resource]);
            events.inc_by(resource.told().saturating_sub(events.get()));
            let version: &str = &resource.storage.gvk.version;
            self.watchers.with_label_values(&[&*of.group, &*of.resource, version]).set(gauge(watchers));
        }
        let mut families = self.registry.gather();
        let own: HashSet<String> = families.iter().map(|family| family.name().to_string()).collect();
        let others = oarlock_telemetry::Metrics::global().registry().gather();
        families.extend(others.into_iter().filter(|family| !own.contains(family.name())));
        families.retain(|family| !disabled.iter().any(|name| name == family.name()));
        families.sort_by(|a, b| a.name().cmp(b.name()));
        let mut text = Vec::new();
        // Writing to memory does not fail; a family that cannot be printed is left out.
        let _ = TextEncoder::new().encode(&families, &mut text);
        text
    }
}

/// What a watch's initial events are told by.
pub(crate) struct WatchLabels {
    group: String,
    resource: String,
    scope: &'static str,
    version: String,
}

impl WatchLabels {
    pub(crate) fn of(info: &RequestInfo) -> Self {
        Self {
            group: info.group.clone(),
            resource: info.resource.clone(),
            scope: scope(info),
            version: info.version.clone(),
        }
    }
}
