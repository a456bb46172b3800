//! apps.

use serde_json::{Map, Value};

use super::{Conditional, Constant, ensure, items_mut, set, text};

pub(super) const CONSTANTS: &[Constant] = &[
    ("apps.v1.DeploymentSpec", "replicas", "1"),
    ("apps.v1.DeploymentSpec", "revisionHistoryLimit", "10"),
    ("apps.v1.DeploymentSpec", "progressDeadlineSeconds", "600"),
    ("apps.v1.DeploymentStrategy", "type", r#""RollingUpdate""#),
    ("apps.v1.RollingUpdateDeployment", "maxUnavailable", r#""25%""#),
    ("apps.v1.RollingUpdateDeployment", "maxSurge", r#""25%""#),
    ("apps.v1.ReplicaSetSpec", "replicas", "1"),
    ("apps.v1.DaemonSetSpec", "revisionHistoryLimit", "10"),
    ("apps.v1.DaemonSetUpdateStrategy", "type", r#""RollingUpdate""#),
    ("apps.v1.RollingUpdateDaemonSet", "maxUnavailable", "1"),
    ("apps.v1.RollingUpdateDaemonSet", "maxSurge", "0"),
    ("apps.v1.StatefulSetSpec", "podManagementPolicy", r#""OrderedReady""#),
    ("apps.v1.StatefulSetSpec", "replicas", "1"),
    ("apps.v1.StatefulSetSpec", "revisionHistoryLimit", "10"),
    ("apps.v1.StatefulSetUpdateStrategy", "type", r#""RollingUpdate""#),
    ("apps.v1.RollingUpdateStatefulSetStrategy", "partition", "0"),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenDeleted", r#""Retain""#),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenScaled", r#""Retain""#),
];

pub(super) const CONDITIONALS: &[Conditional] = &[
    ("apps.v1.DeploymentStrategy", rolling_update),
    ("apps.v1.DaemonSetUpdateStrategy", rolling_update),
    ("apps.v1.StatefulSetUpdateStrategy", stateful_set_strategy),
    ("apps.v1.StatefulSetSpec", stateful_set),
    ("apps.v1.DaemonSet", daemon_set),
];

/// A rolling update has its parameters.
fn rolling_update(strategy: &mut Map<String, Value>) {
    if matches!(text(strategy, "type"), "" | "RollingUpdate") {
        set(strategy, "rollingUpdate", Map::new());
    }
}

/// Only a strategy that is not named gets parameters.
fn stateful_set_strategy(strategy: &mut Map<String, Value>) {
    if text(strategy, "type").is_empty() {
        set(strategy, "rollingUpdate", Map::new());
    }
}

fn stateful_set(spec: &mut Map<String, Value>) {
    ensure(spec, "persistentVolumeClaimRetentionPolicy");
    // Upstream's conversion says what the claims are.
    for claim in items_mut(spec, "volumeClaimTemplates") {
        claim.insert("apiVersion".to_string(), "v1".into());
        claim.insert("kind".to_string(), "PersistentVolumeClaim".into());
    }
}

/// What was a field of its spec once is always told.
fn daemon_set(set: &mut Map<String, Value>) {
    let annotations = ensure(set, "metadata").and_then(|metadata| ensure(metadata, "annotations"));
    if let Some(annotations) = annotations {
        annotations.entry(TEMPLATE_GENERATION).or_insert_with(|| "0".into());
    }
}

/// How often a DaemonSet's template changed. (`apps.DeprecatedTemplateGeneration`)
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";
