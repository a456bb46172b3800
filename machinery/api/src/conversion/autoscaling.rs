//! HorizontalPodAutoscalers: autoscaling/v1 ↔ autoscaling/v2. v1 can say one target of CPU use; everything else it keeps
//! in annotations, in the form that kube-apiserver writes. (`pkg/apis/autoscaling/v1/conversion.go`)

use serde_json::{Map, Value, json};

use super::object_at;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
/// (`autoscaling.DefaultCPUUtilization`)
const DEFAULT_PERCENT: i32 = 80;
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";

/// Types of metrics by the field that holds them: v1 name, path in v2; the first list is of targets, the second of
/// what is measured.
type Names = &'static [(&'static str, &'static [&'static str])];
const TARGETS: [(&str, Names); 5] = [
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("targetValue", &["target", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["target", "averageValue"]),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("targetAverageValue", &["target", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
    ),
    (
        "resource",
        &[
            ("name", &["name"]),
            ("targetAverageUtilization", &["target", "averageUtilization"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", &["name"]),
            ("targetAverageUtilization", &["target", "averageUtilization"]),
            ("targetAverageValue", &["target", "averageValue"]),
            ("container", &["container"]),
        ],
    ),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("targetValue", &["target", "value"]),
            ("targetAverageValue", &["target", "averageValue"]),
        ],
    ),
];
const MEASURED: [(&str, Names); 5] = [
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("currentValue", &["current", "value"]),
            ("selector", &["metric", "selector"]),
            ("averageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("currentAverageValue", &["current", "averageValue"]),
            ("selector", &["metric", "selector"]),
        ],
    ),
    (
        "resource",
        &[
            ("name", &["name"]),
            ("currentAverageUtilization", &["current", "averageUtilization"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
    (
        "containerResource",
        &[
            ("name", &["name"]),
            ("currentAverageUtilization", &["current", "averageUtilization"]),
            ("currentAverageValue", &["current", "averageValue"]),
            ("container", &["container"]),
        ],
    ),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("currentValue", &["current", "value"]),
            ("currentAverageValue", &["current", "averageValue"]),
        ],
    ),
];

fn at<'v>(value: &'v Value, path: &[&str]) -> &'v Value {
    path.iter().fold(value, |value, field| &value[*field])
}

fn put(value: &mut Value, path: &[&str], what: Value) {
    let slot = path.iter().fold(value, |value, field| &mut value[*field]);
    *slot = what;
}

/// Makes the v1 form of a metric.
fn metric_to_v1(metric: &Value, names: &[(&str, Names); 5]) -> Value {
    let mut made = json!({ "type": metric["type"] });
    for (field, names) in names.iter().filter(|(field, _)| metric[*field].is_object()) {
        let mut source = json!({});
        for (name, path) in *names {
            let value = at(&metric[*field], path);
            if !value.is_null() {
                source[*name] = value.clone();
            }
        }
        // Of an object v1 tells a value, even where an average is meant.
        let own =
            if names.iter().any(|(name, _)| *name == "targetValue") { "targetValue" } else { "currentValue" };
        if *field == "object" && source[own].is_null() {
            source[own] = "0".into();
        }
        made[*field] = source;
    }
    made
}

/// Makes the v2 form of a metric.
fn metric_to_v2(metric: &Value, names: &[(&str, Names); 5], of_target: bool) -> Value {
    let mut made = json!({ "type": metric["type"] });
    for (field, names) in names.iter().filter(|(field, _)| metric[*field].is_object()) {
        // Kept by an older release of this server: it is in the form of v2.
        if !metric[*field]["target"]["type"].is_null() || metric[*field]["current"].is_object() {
            made[*field] = metric[*field].clone();
            continue;
        }
        let mut source = json!({});
        for (name, path) in *names {
            let value = &metric[*field][*name];
            let averaged = !metric[*field]["averageValue"].is_null();
            let zero = *field == "object" && averaged && *value == "0";
            if !value.is_null() && !zero {
                put(&mut source, path, value.clone());
            }
        }
        if of_target {
            source["target"]["type"] = target_type(&source["target"]).into();
        }
        made[*field] = source;
    }
    made
}

fn target_type(target: &Value) -> &'static str {
    if !target["averageUtilization"].is_null() {
        "Utilization"
    } else if !target["averageValue"].is_null() {
        "AverageValue"
    } else {
        "Value"
    }
}

/// Takes an annotation of this module away and reads it.
fn take(object: &mut Map<String, Value>, annotation: &str) -> Option<Value> {
    let meta = object_at(object, "metadata")?;
    let annotations = object_at(meta, "annotations")?;
    let text = annotations.remove(annotation)?;
    if annotations.is_empty() {
        meta.remove("annotations");
    }
    serde_json::from_str(text.as_str()?).ok()
}

fn keep(object: &mut Map<String, Value>, annotation: &str, value: &Value) {
    let meta = object.entry("metadata").or_insert_with(|| json!({}));
    meta["annotations"][annotation] = value.to_string().into();
}

fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    }
}

/// The metric that v1 has a field for.
fn cpu(percent: Value) -> Value {
    let target = json!({ "type": "Utilization", "averageUtilization": percent });
    json!({ "type": "Resource", "resource": { "name": "cpu", "target": target } })
}

pub(super) fn to_v2(object: &mut Map<String, Value>) {
    let kept = list(take(object, METRICS));
    let current = list(take(object, CURRENT));
    let (behavior, conditions) = (take(object, BEHAVIOR), take(object, CONDITIONS));
    let metrics: Vec<Value> = kept.iter().map(|metric| metric_to_v2(metric, &TARGETS, true)).collect();
    if let Some(spec) = object_at(object, "spec") {
        let target = spec.remove("targetCPUUtilizationPercentage").map(cpu);
        let mut metrics: Vec<Value> = metrics.into_iter().chain(target).collect();
        if metrics.is_empty() {
            // Without a word on it, it is the CPU that counts.
            metrics.push(cpu(DEFAULT_PERCENT.into()));
        }
        spec.insert("metrics".into(), metrics.into());
        if let Some(behavior) = behavior {
            spec.insert("behavior".into(), lower(behavior));
        }
    }
    let Some(status) = object_at(object, "status") else { return };
    let percent = status.remove("currentCPUUtilizationPercentage").map(|percent| {
        json!({"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": percent}}})
    });
    let current: Vec<Value> = current.iter().map(|metric| metric_to_v2(metric, &MEASURED, false)).collect();
    // What is kept tells of the CPU too, and with its value.
    let known = current.iter().any(|metric| metric["resource"]["name"] == "cpu");
    let current: Vec<Value> = current.into_iter().chain(percent.filter(|_| !known)).collect();
    if !current.is_empty() {
        status.insert("currentMetrics".into(), current.into());
    }
    if let Some(conditions) = conditions {
        status.insert("conditions".into(), conditions);
    }
}

pub(super) fn to_v1(object: &mut Map<String, Value>) {
    let (mut others, mut behavior) = (Vec::new(), None);
    if let Some(spec) = object_at(object, "spec") {
        behavior = spec.remove("behavior");
        for metric in list(spec.remove("metrics")) {
            let percent = &metric["resource"]["target"]["averageUtilization"];
            let is_cpu = metric["resource"]["name"] == "cpu" && percent.is_i64();
            if is_cpu && !spec.contains_key("targetCPUUtilizationPercentage") {
                spec.insert("targetCPUUtilizationPercentage".into(), percent.clone());
            } else {
                others.push(metric_to_v1(&metric, &TARGETS));
            }
        }
    }
    let (mut current, mut conditions) = (Vec::new(), None);
    if let Some(status) = object_at(object, "status") {
        conditions = status.remove("conditions");
        for metric in list(status.remove("currentMetrics")) {
            let percent = &metric["resource"]["current"]["averageUtilization"];
            if metric["resource"]["name"] == "cpu" && percent.is_i64() {
                status.entry("currentCPUUtilizationPercentage").or_insert_with(|| percent.clone());
            }
            current.push(metric_to_v1(&metric, &MEASURED));
        }
    }
    for (annotation, list) in [(METRICS, others), (CURRENT, current)] {
        if !list.is_empty() {
            keep(object, annotation, &Value::Array(list));
        }
    }
    if let Some(behavior) = behavior.filter(Value::is_object) {
        keep(object, BEHAVIOR, &upper(&behavior));
    }
    if let Some(conditions) = conditions.filter(|conditions| !conditions.is_null()) {
        keep(object, CONDITIONS, &conditions);
    }
}

/// Upstream keeps the behaviour under the names of its own structs, every field told.
fn upper(behavior: &Value) -> Value {
    let policy = |policy: &Value| json!({ "Type": policy["type"], "Value": policy["value"], "PeriodSeconds": policy["periodSeconds"] });
    let rules = |rules: &Value| {
        if rules.is_null() {
            return Value::Null;
        }
        let policies = rules["policies"].as_array().map(|list| list.iter().map(policy).collect::<Vec<_>>());
        json!({
            "StabilizationWindowSeconds": rules["stabilizationWindowSeconds"],
            "SelectPolicy": rules["selectPolicy"],
            "Policies": policies,
            "Tolerance": rules["tolerance"],
        })
    };
    json!({ "ScaleUp": rules(&behavior["scaleUp"]), "ScaleDown": rules(&behavior["scaleDown"]) })
}

/// The other way, of names in either form; nulls are absent fields. The depth is the annotation's, which was bounded
/// when it was parsed.
fn lower(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let name = |name: &str| {
                let mut letters = name.chars();
                letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str())
            };
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            fields.map(|(key, value)| (name(&key).unwrap_or_default(), lower(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(lower).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2() -> Value {
        json!({
            "metadata": {"name": "h", "annotations": {"mine": "x"}},
            "spec": {
                "minReplicas": 1, "maxReplicas": 3,
                "metrics": [
                    {"type": "Resource", "resource": {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1Gi"}}},
                    {"type": "Pods", "pods": {"metric": {"name": "p"}, "target": {"type": "AverageValue", "averageValue": "5"}}},
                    {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"},
                        "metric": {"name": "o", "selector": {"matchLabels": {"a": "b"}}}, "target": {"type": "Value", "value": "2"}}},
                    {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"},
                        "metric": {"name": "o"}, "target": {"type": "AverageValue", "averageValue": "2"}}},
                    {"type": "External", "external": {"metric": {"name": "e"}, "target": {"type": "AverageValue", "averageValue": "2"}}},
                    {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c",
                        "target": {"type": "Utilization", "averageUtilization": 50}}},
                    {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}},
                ],
                "behavior": {"scaleDown": {"selectPolicy": "Max", "policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}]}},
            },
            "status": {
                "currentMetrics": [{"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 9, "averageValue": "3m"}}}],
                "conditions": [{"type": "AbleToScale", "status": "True"}],
            },
        })
    }

    #[test]
    fn nothing_is_lost() {
        let mut object = v2();
        to_v1(object.as_object_mut().expect("an object"));
        assert_eq!(object["spec"]["targetCPUUtilizationPercentage"], 70);
        assert_eq!(object["status"]["currentCPUUtilizationPercentage"], 9);
        assert!(object["spec"]["metrics"].is_null() && object["spec"]["behavior"].is_null());
        let metrics: Value =
            serde_json::from_str(object["metadata"]["annotations"][METRICS].as_str().expect("kept"))
                .expect("JSON");
        assert_eq!(
            metrics[0],
            json!({"type": "Resource", "resource": {"name": "memory", "targetAverageValue": "1Gi"}})
        );
        assert_eq!(
            metrics[1],
            json!({"type": "Pods", "pods": {"metricName": "p", "targetAverageValue": "5"}})
        );
        to_v2(object.as_object_mut().expect("an object"));
        assert_eq!(object, v2());
    }

    #[test]
    fn a_plain_target_is_one_metric() {
        let mut object = json!({"spec": {"maxReplicas": 3, "targetCPUUtilizationPercentage": 80}});
        let plain = object.clone();
        to_v2(object.as_object_mut().expect("an object"));
        let want = json!({"spec": {"maxReplicas": 3, "metrics": [{"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}]}});
        assert_eq!(object, want);
        to_v1(object.as_object_mut().expect("an object"));
        assert_eq!(object, plain);
    }

    #[test]
    fn annotations_that_are_no_json_are_dropped() {
        let mut object = json!({"metadata": {"annotations": {METRICS: "{", BEHAVIOR: "[]"}}, "spec": {}});
        to_v2(object.as_object_mut().expect("an object"));
        assert_eq!(object["spec"]["metrics"], json!([cpu(DEFAULT_PERCENT.into())]));
        assert_eq!(object["metadata"], json!({}));
    }
}
