//! What the audit is told of webhooks.

use oarlock_apiserver_access::Annotations;
use serde_json::{Value, json};

use super::hook::Hook;

pub(super) fn mutation(to: &Annotations, round: usize, index: usize, hook: &Hook, mutated: bool) {
    let value = format!(
        "{{\"configuration\":{},\"webhook\":{},\"mutated\":{mutated}}}",
        json!(hook.configuration),
        json!(hook.name)
    );
    to.add(format!("mutation.webhook.admission.k8s.io/round_{round}_index_{index}"), value);
}

/// Upstream keeps it for events of level Request and above only: the audit drops it from others by its key.
pub(super) fn patch(to: &Annotations, round: usize, index: usize, hook: &Hook, patch: &Value) {
    let value = format!(
        "{{\"configuration\":{},\"webhook\":{},\"patch\":{patch},\"patchType\":\"JSONPatch\"}}",
        json!(hook.configuration),
        json!(hook.name)
    );
    to.add(format!("patch.webhook.admission.k8s.io/round_{round}_index_{index}"), value);
}

pub(super) fn failed_open_mutating(to: &Annotations, round: usize, index: usize, hook: &Hook) {
    to.add(format!("failed-open.mutation.webhook.admission.k8s.io/round_{round}_index_{index}"), &*hook.name);
}

pub(super) fn failed_open_validating(to: &Annotations, index: usize, hook: &Hook) {
    to.add(format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}"), &*hook.name);
}

/// The webhook's own annotations, under its name.
pub(super) fn own(to: &Annotations, hook: &Hook, annotations: &[(String, String)]) {
    for (key, value) in annotations {
        to.add(format!("{}/{key}", hook.name), value.as_str());
    }
}
