//! Events: events.k8s.io/v1 ↔ v1.

use serde_json::{Map, Value};

use super::rename;

/// events.k8s.io/v1 name, v1 name.
const FIELDS: [(&str, &str); 7] = [
    ("regarding", "involvedObject"),
    ("note", "message"),
    ("reportingController", "reportingComponent"),
    ("deprecatedSource", "source"),
    ("deprecatedFirstTimestamp", "firstTimestamp"),
    ("deprecatedLastTimestamp", "lastTimestamp"),
    ("deprecatedCount", "count"),
];

pub(super) fn to_core(event: &mut Map<String, Value>) {
    FIELDS.iter().for_each(|(newer, core)| rename(event, newer, core));
}

pub(super) fn from_core(event: &mut Map<String, Value>) {
    FIELDS.iter().for_each(|(newer, core)| rename(event, core, newer));
}

/// The name that a selectable field of events.k8s.io/v1 has in the core group. (`AddFieldLabelConversionsForEvent`)
pub(super) fn core_field(newer: &str) -> &str {
    match newer {
        "regarding.kind" => "involvedObject.kind",
        "regarding.namespace" => "involvedObject.namespace",
        "regarding.name" => "involvedObject.name",
        "regarding.uid" => "involvedObject.uid",
        "regarding.apiVersion" => "involvedObject.apiVersion",
        "regarding.resourceVersion" => "involvedObject.resourceVersion",
        "regarding.fieldPath" => "involvedObject.fieldPath",
        "reportingController" => "reportingComponent",
        same => same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_go_there_and_back() {
        let newer = json!({
            "regarding": {"kind": "Pod"}, "related": {"kind": "Node"}, "note": "n", "reportingController": "c",
            "reportingInstance": "i", "deprecatedSource": {"component": "k"}, "deprecatedCount": 3,
            "deprecatedFirstTimestamp": "a", "deprecatedLastTimestamp": "b", "eventTime": "t",
            "series": {"count": 2, "lastObservedTime": "l"}, "type": "Normal", "reason": "r", "action": "x",
        });
        let core = json!({
            "involvedObject": {"kind": "Pod"}, "related": {"kind": "Node"}, "message": "n", "reportingComponent": "c",
            "reportingInstance": "i", "source": {"component": "k"}, "count": 3,
            "firstTimestamp": "a", "lastTimestamp": "b", "eventTime": "t",
            "series": {"count": 2, "lastObservedTime": "l"}, "type": "Normal", "reason": "r", "action": "x",
        });
        let mut event = newer.clone();
        to_core(event.as_object_mut().expect("an object"));
        assert_eq!(event, core);
        from_core(event.as_object_mut().expect("an object"));
        assert_eq!(event, newer);
    }
}
