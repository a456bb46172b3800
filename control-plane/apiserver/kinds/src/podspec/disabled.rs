//! Fields of features that are off by default in 1.36: a new object loses them, one that has them keeps them.
//! (`pkg/api/pod/util.go`)

use serde_json::Value;

use super::EPHEMERAL;
use crate::value::{items, items_mut, remove};

/// Of projected volumes' sources: ClusterTrustBundleProjection, PodCertificateRequest.
const PROJECTIONS: [&str; 2] = ["clusterTrustBundle", "podCertificate"];

/// `old` is the spec that stands there now.
pub(crate) fn drop_disabled(spec: &mut Value, old: Option<&Value>) {
    let old = old.unwrap_or(&Value::Null);
    // GenericWorkload
    if old["schedulingGroup"].is_null() {
        remove(spec, "schedulingGroup");
    }
    // ContainerStopSignals
    if !uses_stop_signals(old) {
        for list in ["containers", "initContainers", EPHEMERAL] {
            for container in items_mut(spec, list) {
                if let Some(lifecycle) = container.get_mut("lifecycle") {
                    remove(lifecycle, "stopSignal");
                }
            }
        }
    }
    for field in PROJECTIONS.iter().filter(|field| !projects(old, field)) {
        for volume in items_mut(spec, "volumes") {
            if let Some(projected) = volume.get_mut("projected") {
                for source in items_mut(projected, "sources") {
                    remove(source, field);
                }
            }
        }
    }
}

fn uses_stop_signals(spec: &Value) -> bool {
    super::containers(spec).any(|(_, _, container)| !container["lifecycle"]["stopSignal"].is_null())
}

fn projects(spec: &Value, field: &str) -> bool {
    let sources = items(&spec["volumes"]).iter().flat_map(|volume| items(&volume["projected"]["sources"]));
    sources.into_iter().any(|source| !source[field].is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_off_is_lost_unless_it_stands_there() {
        let full = json!({
            "schedulingGroup": {"podGroupName": "g"},
            "containers": [{"name": "a", "lifecycle": {"stopSignal": "SIGUSR1", "preStop": {"sleep": {"seconds": 1}}}}],
            "volumes": [{"name": "v", "projected": {"sources": [{"clusterTrustBundle": {"path": "p"}}]}}],
        });
        let mut fresh = full.clone();
        drop_disabled(&mut fresh, None);
        let want = json!({
            "containers": [{"name": "a", "lifecycle": {"preStop": {"sleep": {"seconds": 1}}}}],
            "volumes": [{"name": "v", "projected": {"sources": [{}]}}],
        });
        assert_eq!(fresh, want);
        let mut kept = full.clone();
        drop_disabled(&mut kept, Some(&full));
        assert_eq!(kept, full);
    }
}
