//! `/stats/summary`: what pods and containers use, as the runtime tells it.

use std::collections::BTreeMap;

use http::Response;
use jiff::Timestamp;
use oarlock_cri::v1::{ContainerStats, UInt64Value};
use serde_json::{Value, json};

use super::{Body, Server, json as answer};
use crate::observed::{LABEL_CONTAINER, LABEL_POD_NAME, LABEL_POD_NAMESPACE, LABEL_POD_UID};

impl Server {
    pub(super) async fn stats_summary(&self) -> Response<Body> {
        match self.container_stats().await {
            Ok(stats) => answer(&summary(&self.manager.context().config.node_name, &stats)),
            Err(refusal) => refusal,
        }
    }
}

fn summary(node: &str, stats: &[ContainerStats]) -> Value {
    let mut pods: BTreeMap<[String; 3], Vec<Value>> = BTreeMap::new();
    for stats in stats {
        let Some(attributes) = &stats.attributes else { continue };
        let label = |key: &str| attributes.labels.get(key).cloned().unwrap_or_default();
        let pod = [label(LABEL_POD_NAMESPACE), label(LABEL_POD_NAME), label(LABEL_POD_UID)];
        pods.entry(pod).or_default().push(container(&label(LABEL_CONTAINER), stats));
    }
    let pods: Vec<Value> = pods
        .into_iter()
        .map(|([namespace, name, uid], containers)| {
            json!({ "podRef": { "name": name, "namespace": namespace, "uid": uid }, "containers": containers })
        })
        .collect();
    json!({ "node": { "nodeName": node }, "pods": pods })
}

fn number(value: Option<&UInt64Value>) -> Option<u64> {
    value.map(|value| value.value)
}

fn container(name: &str, stats: &ContainerStats) -> Value {
    let time = |nanoseconds: i64| {
        Timestamp::from_nanosecond(i128::from(nanoseconds)).unwrap_or_default().to_string()
    };
    let cpu = stats.cpu.as_ref().map(|cpu| {
        json!({
            "time": time(cpu.timestamp),
            "usageNanoCores": number(cpu.usage_nano_cores.as_ref()),
            "usageCoreNanoSeconds": number(cpu.usage_core_nano_seconds.as_ref()),
        })
    });
    let memory = stats.memory.as_ref().map(|memory| {
        json!({
            "time": time(memory.timestamp),
            "usageBytes": number(memory.usage_bytes.as_ref()),
            "workingSetBytes": number(memory.working_set_bytes.as_ref()),
            "rssBytes": number(memory.rss_bytes.as_ref()),
        })
    });
    let rootfs = stats.writable_layer.as_ref().map(
        |layer| json!({ "time": time(layer.timestamp), "usedBytes": number(layer.used_bytes.as_ref()) }),
    );
    json!({ "name": name, "cpu": cpu, "memory": memory, "rootfs": rootfs })
}
