//! autoscaling.

use serde_json::{Map, Value, json};

use super::{Conditional, Constant, set};

pub(super) const CONSTANTS: &[Constant] = &[
    ("autoscaling.v1.HorizontalPodAutoscalerSpec", "minReplicas", "1"),
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", "minReplicas", "1"),
];

pub(super) const CONDITIONALS: &[Conditional] = &[
    ("autoscaling.v2.HorizontalPodAutoscalerSpec", metrics),
    ("autoscaling.v2.HorizontalPodAutoscalerBehavior", behavior),
];

/// Without metrics it is the CPU that counts.
fn metrics(spec: &mut Map<String, Value>) {
    if spec.get("metrics").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        let cpu = json!({"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}});
        spec.insert("metrics".to_string(), json!([{"type": "Resource", "resource": cpu}]));
    }
}

fn behavior(behavior: &mut Map<String, Value>) {
    let percent = json!({"type": "Percent", "value": 100, "periodSeconds": 15});
    let pods = json!({"type": "Pods", "value": 4, "periodSeconds": 15});
    if let Some(up) = super::ensure(behavior, "scaleUp") {
        set(up, "stabilizationWindowSeconds", 0);
        set(up, "selectPolicy", "Max");
        set(up, "policies", vec![pods, percent.clone()]);
    }
    if let Some(down) = super::ensure(behavior, "scaleDown") {
        set(down, "selectPolicy", "Max");
        set(down, "policies", vec![percent]);
    }
}
