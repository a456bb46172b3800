//! `--allow-privileged=false`: no container of a cluster is privileged, whoever asks.

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::value::is_true;

/// Where the specification of pods stands in a kind that makes them.
fn pod_spec(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "Pod" => &["spec"],
        "PodTemplate" => &["template", "spec"],
        "ReplicationController" | "ReplicaSet" | "Deployment" | "StatefulSet" | "DaemonSet" | "Job" => {
            &["spec", "template", "spec"]
        }
        "CronJob" => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => return None,
    })
}

/// The privileged containers of an object of a built-in kind.
pub fn privileged(kind: &str, object: &Value) -> FieldErrors {
    let mut faults = FieldErrors::new();
    let Some(at) = pod_spec(kind) else { return faults };
    let spec = at.iter().fold(object, |value, field| &value[*field]);
    let path = at.iter().fold(Path::root(), |path, field| path.child(field));
    for list in ["containers", "initContainers", "ephemeralContainers"] {
        for (index, container) in spec[list].as_array().into_iter().flatten().enumerate() {
            if is_true(&container["securityContext"]["privileged"]) {
                let at = path.child(list).index(index).child("securityContext").child("privileged");
                faults.push(FieldError::forbidden(at, "disallowed by cluster policy"));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn privileged_containers_are_found_in_pods_and_templates() {
        let spec = json!({"containers": [{}, {"securityContext": {"privileged": true}}]});
        let told = |kind: &str, object: Value| {
            privileged(kind, &object).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let words = "Forbidden: disallowed by cluster policy";
        assert_eq!(
            told("Pod", json!({"spec": spec})),
            [format!("spec.containers[1].securityContext.privileged: {words}")]
        );
        assert_eq!(
            told("CronJob", json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}})).len(),
            1
        );
        assert!(told("ConfigMap", json!({"spec": spec})).is_empty());
    }
}
