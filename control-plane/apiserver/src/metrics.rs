//! Counters under upstream's names, printed at `/metrics`.

use std::time::Duration;

use http::StatusCode;
use prometheus::{
    Encoder as _, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder,
};

use crate::cache::Cache;
use crate::flow_control::InFlight;
use crate::request_info::RequestInfo;

/// Upstream's buckets, thinned.
const BUCKETS: [f64; 12] = [0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0, 2.0, 5.0, 15.0, 60.0];

pub(crate) struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    in_flight: IntGaugeVec,
    objects: IntGaugeVec,
    watchers: IntGaugeVec,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let labels = ["verb", "group", "version", "resource", "subresource", "scope"];
        let with_code: Vec<&str> = labels.iter().copied().chain(["code"]).collect();
        let valid = "the name and labels are constants";
        let metrics = Self {
            registry: Registry::new(),
            requests: IntCounterVec::new(
                Opts::new("apiserver_request_total", "Counter of apiserver requests."),
                &with_code,
            )
            .expect(valid),
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "apiserver_request_duration_seconds",
                    "Response latency distribution in seconds.",
                )
                .buckets(BUCKETS.to_vec()),
                &labels,
            )
            .expect(valid),
            in_flight: IntGaugeVec::new(
                Opts::new("apiserver_current_inflight_requests", "Currently used inflight request limit."),
                &["request_kind"],
            )
            .expect(valid),
            objects: IntGaugeVec::new(
                Opts::new("apiserver_storage_objects", "Number of stored objects."),
                &["resource"],
            )
            .expect(valid),
            watchers: IntGaugeVec::new(
                Opts::new("apiserver_registered_watchers", "Number of currently registered watchers."),
                &["resource"],
            )
            .expect(valid),
        };
        let all: [Box<dyn prometheus::core::Collector>; 5] = [
            Box::new(metrics.requests.clone()),
            Box::new(metrics.durations.clone()),
            Box::new(metrics.in_flight.clone()),
            Box::new(metrics.objects.clone()),
            Box::new(metrics.watchers.clone()),
        ];
        for collector in all {
            metrics.registry.register(collector).expect("every name is registered once");
        }
        metrics
    }

    /// Where other parts of the server put their own.
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn observe(&self, info: &RequestInfo, code: StatusCode, took: Duration) {
        let scope = match (info.is_resource, info.on_collection(), info.namespace.is_empty()) {
            (false, ..) => "",
            (true, false, _) => "resource",
            (true, true, false) => "namespace",
            (true, true, true) => "cluster",
        };
        // Anybody may ask for anything: only what is served may become a label.
        let known = code != StatusCode::NOT_FOUND
            && code != StatusCode::UNAUTHORIZED
            && code != StatusCode::FORBIDDEN;
        let (resource, subresource) =
            if known { (info.resource.as_str(), info.subresource.as_str()) } else { ("", "") };
        let (group, version) = if known { (info.group.as_str(), info.version.as_str()) } else { ("", "") };
        let verb = verb_label(info);
        self.requests
            .with_label_values(&[verb, group, version, resource, subresource, scope, code.as_str()])
            .inc();
        if info.verb != "watch" {
            let labels = [verb, group, version, resource, subresource, scope];
            self.durations.with_label_values(&labels).observe(took.as_secs_f64());
        }
    }

    /// The text of `/metrics`.
    pub(crate) fn print(&self, cache: &Cache, in_flight: &InFlight) -> Vec<u8> {
        let (reads, writes) = in_flight.counts();
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.in_flight.with_label_values(&["readOnly"]).set(gauge(reads));
        self.in_flight.with_label_values(&["mutating"]).set(gauge(writes));
        for resource in cache.resources() {
            let name = resource.storage.group_resource.to_string();
            let (objects, watchers) = resource.counts();
            self.objects.with_label_values(&[&name]).set(gauge(objects));
            self.watchers.with_label_values(&[&name]).set(gauge(watchers));
        }
        let mut text = Vec::new();
        // Writing to memory does not fail; a family that cannot be printed is left out.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}

fn verb_label(info: &RequestInfo) -> &'static str {
    match info.verb.as_str() {
        "get" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        "head" => "HEAD",
        _ => "OTHER",
    }
}
