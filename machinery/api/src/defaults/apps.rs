//! apps.

use serde_json::{Map, Value};

use super::{Conditional, Constant, ensure, set, text};

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
    ("apps.v1.RollingUpdateStatefulSetStrategy", "maxUnavailable", "1"),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenDeleted", r#""Retain""#),
    ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", "whenScaled", r#""Retain""#),
];

pub(super) const CONDITIONALS: &[Conditional] = &[
    ("apps.v1.DeploymentStrategy", rolling_update),
    ("apps.v1.DaemonSetUpdateStrategy", rolling_update),
    ("apps.v1.StatefulSetUpdateStrategy", stateful_set_strategy),
    ("apps.v1.StatefulSetSpec", stateful_set),
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
}
