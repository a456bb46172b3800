//! storage.k8s.io.

use serde_json::{Map, Value, json};

use super::{Conditional, Constant};

pub(super) const CONSTANTS: &[Constant] = &[
    ("storage.v1.StorageClass", "reclaimPolicy", r#""Delete""#),
    ("storage.v1.StorageClass", "volumeBindingMode", r#""Immediate""#),
    ("storage.v1.CSIDriverSpec", "attachRequired", "true"),
    ("storage.v1.CSIDriverSpec", "podInfoOnMount", "false"),
    ("storage.v1.CSIDriverSpec", "storageCapacity", "false"),
    ("storage.v1.CSIDriverSpec", "fsGroupPolicy", r#""ReadWriteOnceWithFSType""#),
    ("storage.v1.CSIDriverSpec", "requiresRepublish", "false"),
    ("storage.v1.CSIDriverSpec", "seLinuxMount", "false"),
];

pub(super) const CONDITIONALS: &[Conditional] = &[("storage.v1.CSIDriverSpec", lifecycle_modes)];

fn lifecycle_modes(spec: &mut Map<String, Value>) {
    if spec.get("volumeLifecycleModes").and_then(Value::as_array).is_none_or(Vec::is_empty) {
        spec.insert("volumeLifecycleModes".to_string(), json!(["Persistent"]));
    }
}
