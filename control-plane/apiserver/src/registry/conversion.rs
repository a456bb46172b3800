//! Between the versions of one resource, where they differ in more than the name: events of both groups, and the two
//! shapes of a HorizontalPodAutoscaler.

use oarlock_api::Resource;
use serde_json::{Map, Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Conversion {
    /// events.k8s.io/v1 ↔ v1.
    Event,
    /// autoscaling/v1 ↔ autoscaling/v2.
    Autoscaler,
}

/// events.k8s.io/v1 name, v1 name.
const EVENT_FIELDS: [(&str, &str); 6] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
];

impl Conversion {
    pub(crate) fn between(served: &Resource, stored: &Resource) -> Option<Self> {
        if (served.group, served.version) == (stored.group, stored.version) {
            return None;
        }
        match served.plural {
            "events" => Some(Self::Event),
            "horizontalpodautoscalers" => Some(Self::Autoscaler),
            _ => None,
        }
    }

    /// From the served version to the stored one.
    pub(crate) fn to_stored(self, object: &mut Value) {
        let Value::Object(fields) = object else { return };
        match self {
            Self::Event => {
                fields.insert("apiVersion".into(), "v1".into());
                EVENT_FIELDS.iter().for_each(|(from, to)| rename(fields, from, to));
                rename(fields, "deprecatedCount", "count");
            }
            Self::Autoscaler => {
                fields.insert("apiVersion".into(), "autoscaling/v2".into());
                autoscaler_to_v2(fields);
            }
        }
    }

    /// From the stored version to the served one.
    pub(crate) fn to_served(self, object: &mut Value) {
        let Value::Object(fields) = object else { return };
        match self {
            Self::Event => {
                fields.insert("apiVersion".into(), "events.k8s.io/v1".into());
                EVENT_FIELDS.iter().for_each(|(to, from)| rename(fields, from, to));
                rename(fields, "count", "deprecatedCount");
            }
            Self::Autoscaler => {
                fields.insert("apiVersion".into(), "autoscaling/v1".into());
                autoscaler_to_v1(fields);
            }
        }
    }
}

fn rename(fields: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = fields.remove(from) {
        fields.insert(to.into(), value);
    }
}

/// What autoscaling/v1 cannot say is kept in annotations of these names.
const METRICS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/conditions";
const CURRENT_ANNOTATION: &str = "autoscaling.alpha.kubernetes.io/current-metrics";

/// Takes an annotation of this module away and reads it.
fn take_kept(fields: &mut Map<String, Value>, annotation: &str) -> Option<Value> {
    let annotations = fields.get_mut("metadata")?.get_mut("annotations")?.as_object_mut()?;
    let text = annotations.remove(annotation)?;
    serde_json::from_str(text.as_str()?).ok()
}

fn keep(fields: &mut Map<String, Value>, annotation: &str, value: &Value) {
    let meta = fields.entry("metadata").or_insert_with(|| json!({}));
    meta["annotations"][annotation] = value.to_string().into();
}

fn autoscaler_to_v2(fields: &mut Map<String, Value>) {
    let kept = take_kept(fields, METRICS_ANNOTATION);
    let behavior = take_kept(fields, BEHAVIOR_ANNOTATION);
    let conditions = take_kept(fields, CONDITIONS_ANNOTATION);
    let current = take_kept(fields, CURRENT_ANNOTATION);
    if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) {
        let target = spec.remove("targetCPUUtilizationPercentage");
        let mut metrics: Vec<Value> =
            target.map(|percent| cpu_metric("target", "averageUtilization", percent)).into_iter().collect();
        metrics.extend(kept.and_then(|kept| kept.as_array().cloned()).unwrap_or_default());
        if !metrics.is_empty() {
            spec.insert("metrics".into(), metrics.into());
        }
        if let Some(behavior) = behavior {
            spec.insert("behavior".into(), behavior);
        }
    }
    if let Some(status) = fields.get_mut("status").and_then(Value::as_object_mut) {
        let percent = status.remove("currentCPUUtilizationPercentage");
        let mut metrics: Vec<Value> =
            percent.map(|percent| cpu_metric("current", "averageUtilization", percent)).into_iter().collect();
        metrics.extend(current.and_then(|current| current.as_array().cloned()).unwrap_or_default());
        if !metrics.is_empty() {
            status.insert("currentMetrics".into(), metrics.into());
        }
        if let Some(conditions) = conditions {
            status.insert("conditions".into(), conditions);
        }
    }
}

fn cpu_metric(place: &str, field: &str, percent: Value) -> Value {
    let mut target = json!({ field: percent });
    if place == "target" {
        target["type"] = "Utilization".into();
    }
    json!({ "type": "Resource", "resource": { "name": "cpu", place: target } })
}

fn autoscaler_to_v1(fields: &mut Map<String, Value>) {
    let is_cpu = |metric: &Value| {
        metric["resource"]["name"] == "cpu" && metric["resource"]["target"]["averageUtilization"].is_i64()
    };
    let (mut others, mut behavior) = (Vec::new(), None);
    if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut)
        && let Some(Value::Array(metrics)) = spec.remove("metrics")
    {
        for metric in metrics {
            if is_cpu(&metric) && !spec.contains_key("targetCPUUtilizationPercentage") {
                let percent = metric["resource"]["target"]["averageUtilization"].clone();
                spec.insert("targetCPUUtilizationPercentage".into(), percent);
            } else {
                others.push(metric);
            }
        }
    }
    if let Some(spec) = fields.get_mut("spec").and_then(Value::as_object_mut) {
        behavior = spec.remove("behavior");
    }
    let (mut current, mut conditions) = (Vec::new(), None);
    if let Some(status) = fields.get_mut("status").and_then(Value::as_object_mut) {
        conditions = status.remove("conditions");
        if let Some(Value::Array(metrics)) = status.remove("currentMetrics") {
            for metric in metrics {
                let percent = &metric["resource"]["current"]["averageUtilization"];
                let is_cpu = metric["resource"]["name"] == "cpu" && percent.is_i64();
                if is_cpu && !status.contains_key("currentCPUUtilizationPercentage") {
                    status.insert("currentCPUUtilizationPercentage".into(), percent.clone());
                } else {
                    current.push(metric);
                }
            }
        }
    }
    let lists = [(METRICS_ANNOTATION, others), (CURRENT_ANNOTATION, current)];
    for (annotation, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
        keep(fields, annotation, &Value::Array(list));
    }
    for (annotation, value) in [(BEHAVIOR_ANNOTATION, behavior), (CONDITIONS_ANNOTATION, conditions)] {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            keep(fields, annotation, &value);
        }
    }
}
