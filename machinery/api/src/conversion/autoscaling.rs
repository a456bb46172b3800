//! HorizontalPodAutoscalers: autoscaling/v1 ↔ autoscaling/v2. v1 can say one target of CPU use; everything else it keeps
//! in annotations, in the form that kube-apiserver writes. (`pkg/apis/autoscaling/v1/conversion.go`)

use serde_json::{Map, Value, json};

use super::object_at;
use crate::codec::json;
use crate::table::Table;

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";
const CURRENT: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
/// All that belongs to the conversion, and to nobody's object: what older versions kept is among it.
/// (`DropRoundTripHorizontalPodAutoscalerAnnotations`)
const KEPT: [&str; 6] = [
    METRICS,
    BEHAVIOR,
    CONDITIONS,
    CURRENT,
    "autoscaling.alpha.kubernetes.io/scale-down-tolerance",
    "autoscaling.alpha.kubernetes.io/scale-up-tolerance",
];
/// (`autoscaling.DefaultCPUUtilization`)
const DEFAULT_PERCENT: i32 = 80;

/// What the annotations hold, but for the behaviour in types of v1.
const METRIC: &str = "io.k8s.api.autoscaling.v1.MetricSpec";
const MEASURE: &str = "io.k8s.api.autoscaling.v1.MetricStatus";
const CONDITION: &str = "io.k8s.api.autoscaling.v1.HorizontalPodAutoscalerCondition";
const BEHAVIOR_OF_V2: &str = "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior";

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

/// A tree as upstream's reader of a type would read it; nothing if it would not.
fn typed(tree: &Value, name: &str) -> Option<Value> {
    let table = Table::builtin();
    let ty = table.type_named(name).expect("the table holds the types of autoscaling");
    tree.is_object().then(|| json::decode_value(table, ty, tree).ok())?.map(|decoded| decoded.value)
}

fn tree(text: &Value) -> Option<Value> {
    serde_json::from_str(text.as_str()?).ok()
}

/// All items of a list, or nothing if one of them is of another type.
fn typed_list(text: &Value, name: &str) -> Option<Vec<Value>> {
    list(tree(text)).iter().map(|item| typed(item, name)).collect()
}

fn typed_behavior(text: &Value) -> Option<Value> {
    let behavior = typed(&lower(tree(text)?), BEHAVIOR_OF_V2)?;
    behavior.as_object().is_some_and(|fields| !fields.is_empty()).then_some(behavior)
}

/// What an object keeps for the version that has fields for it; the object has it no longer.
fn take_kept(object: &mut Map<String, Value>) -> Map<String, Value> {
    let mut kept = Map::new();
    let Some(meta) = object_at(object, "metadata") else { return kept };
    let Some(annotations) = object_at(meta, "annotations") else { return kept };
    kept.extend(KEPT.iter().filter_map(|name| Some(((*name).to_string(), annotations.remove(*name)?))));
    if annotations.is_empty() && !kept.is_empty() {
        meta.remove("annotations");
    }
    kept
}

/// v2 has fields for everything.
pub(super) fn drop_kept(object: &mut Map<String, Value>) {
    take_kept(object);
}

fn keep(object: &mut Map<String, Value>, annotation: &str, value: &Value) {
    let annotations = made_object(made_object(object, "metadata"), "annotations");
    annotations.insert(annotation.into(), value.to_string().into());
}

fn made_object<'o>(fields: &'o mut Map<String, Value>, field: &str) -> &'o mut Map<String, Value> {
    let slot = fields.entry(field).or_insert(Value::Null);
    if !slot.is_object() {
        *slot = Value::Object(Map::new());
    }
    slot.as_object_mut().expect("it was made an object above")
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

fn measured_cpu(percent: Value) -> Value {
    json!({ "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": percent } } })
}

pub(super) fn to_v2(object: &mut Map<String, Value>) {
    let kept = take_kept(object);
    let of = |annotation: &str| kept.get(annotation).unwrap_or(&Value::Null);
    if let Some(spec) = object_at(object, "spec") {
        let metrics = typed_list(of(METRICS), METRIC).unwrap_or_default();
        let metrics = metrics.iter().map(|metric| metric_to_v2(metric, &TARGETS, true));
        let target = spec.remove("targetCPUUtilizationPercentage").map(cpu);
        let mut metrics: Vec<Value> = metrics.chain(target).collect();
        if metrics.is_empty() {
            // Without a word on it, it is the CPU that counts.
            metrics.push(cpu(DEFAULT_PERCENT.into()));
        }
        spec.insert("metrics".into(), metrics.into());
        if let Some(behavior) = typed_behavior(of(BEHAVIOR)) {
            spec.insert("behavior".into(), behavior);
        }
    }
    let Some(status) = object_at(object, "status") else { return };
    let percent = status.remove("currentCPUUtilizationPercentage");
    // What is kept tells more than the percentage.
    let measured = match typed_list(of(CURRENT), MEASURE).filter(|list| !list.is_empty()) {
        Some(kept) => kept.iter().map(|measure| metric_to_v2(measure, &MEASURED, false)).collect(),
        None => percent.map(measured_cpu).into_iter().collect::<Vec<_>>(),
    };
    if !measured.is_empty() {
        status.insert("currentMetrics".into(), measured.into());
    }
    if let Some(conditions) = typed_list(of(CONDITIONS), CONDITION).filter(|list| !list.is_empty()) {
        status.insert("conditions".into(), conditions.into());
    }
}

pub(super) fn to_v1(object: &mut Map<String, Value>) {
    drop_kept(object);
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
    if let Some(conditions) =
        conditions.filter(|conditions| conditions.as_array().is_some_and(|c| !c.is_empty()))
    {
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
