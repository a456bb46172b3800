//! `/metrics`, `/metrics/resource` and `/metrics/cadvisor`, from the runtime's statistics.

use std::fmt::Write as _;

use http::{Response, StatusCode};
use oarlock_cri::v1::{ContainerStats, ListContainerStatsRequest, UInt64Value};

use super::{Body, Server, text};
use crate::observed::{LABEL_CONTAINER, LABEL_POD_NAME, LABEL_POD_NAMESPACE};

pub(super) fn own() -> Response<Body> {
    let body = oarlock_telemetry::Metrics::global().encode();
    let mut response = text(StatusCode::OK, body);
    set_kind(&mut response);
    response
}

fn set_kind(response: &mut Response<Body>) {
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
}

/// One metric family: its name and what a container's value is.
struct Family {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    value: fn(&ContainerStats) -> Option<f64>,
}

fn number(value: Option<&UInt64Value>) -> Option<f64> {
    value.map(|value| value.value as f64)
}

fn cpu_seconds(stats: &ContainerStats) -> Option<f64> {
    let nanoseconds = number(stats.cpu.as_ref()?.usage_core_nano_seconds.as_ref())?;
    Some(nanoseconds / 1e9)
}

fn working_set(stats: &ContainerStats) -> Option<f64> {
    number(stats.memory.as_ref()?.working_set_bytes.as_ref())
}

const RESOURCE: [Family; 2] = [
    Family {
        name: "container_cpu_usage_seconds_total",
        help: "[STABLE] Cumulative cpu time consumed by the container in core-seconds",
        kind: "counter",
        value: cpu_seconds,
    },
    Family {
        name: "container_memory_working_set_bytes",
        help: "[STABLE] Current working set of the container in bytes",
        kind: "gauge",
        value: working_set,
    },
];

const CADVISOR: [Family; 4] = [
    Family {
        name: "container_cpu_usage_seconds_total",
        help: "Cumulative cpu time consumed in seconds.",
        kind: "counter",
        value: cpu_seconds,
    },
    Family {
        name: "container_memory_working_set_bytes",
        help: "Current working set in bytes.",
        kind: "gauge",
        value: working_set,
    },
    Family {
        name: "container_memory_usage_bytes",
        help: "Current memory usage in bytes, including all memory regardless of when it was accessed",
        kind: "gauge",
        value: |stats| number(stats.memory.as_ref()?.usage_bytes.as_ref()),
    },
    Family {
        name: "container_fs_usage_bytes",
        help: "Number of bytes that are consumed by the container on this filesystem.",
        kind: "gauge",
        value: |stats| number(stats.writable_layer.as_ref()?.used_bytes.as_ref()),
    },
];

fn print(families: &[Family], stats: &[ContainerStats]) -> String {
    let mut out = String::new();
    for family in families {
        let name = family.name;
        // Writing to a String cannot fail.
        let _ = write!(out, "# HELP {name} {}\n# TYPE {name} {}\n", family.help, family.kind);
        for stats in stats {
            let Some(labels) = stats.attributes.as_ref().map(|attributes| &attributes.labels) else {
                continue;
            };
            let label = |key: &str| labels.get(key).map_or("", String::as_str);
            let Some(value) = (family.value)(stats) else { continue };
            let _ = writeln!(
                out,
                "{name}{{container=\"{}\",namespace=\"{}\",pod=\"{}\"}} {value}",
                label(LABEL_CONTAINER),
                label(LABEL_POD_NAMESPACE),
                label(LABEL_POD_NAME)
            );
        }
    }
    out
}

impl Server {
    pub(super) async fn container_stats(&self) -> Result<Vec<ContainerStats>, Response<Body>> {
        let listed =
            self.manager.context().cri.list_container_stats(ListContainerStatsRequest::default()).await;
        listed
            .map(|listed| listed.stats)
            .map_err(|error| text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")))
    }

    pub(super) async fn resource_metrics(&self) -> Response<Body> {
        self.print_stats(&RESOURCE).await
    }

    pub(super) async fn cadvisor_metrics(&self) -> Response<Body> {
        self.print_stats(&CADVISOR).await
    }

    async fn print_stats(&self, families: &[Family]) -> Response<Body> {
        match self.container_stats().await {
            Ok(stats) => {
                let mut response = text(StatusCode::OK, print(families, &stats));
                set_kind(&mut response);
                response
            }
            Err(refusal) => refusal,
        }
    }
}
