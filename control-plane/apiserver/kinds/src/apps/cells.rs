//! The rows of the apps group.

use jiff::Timestamp;
use serde_json::Value;

use crate::print::{NONE, age, joined, labels, name_of, selector};
use crate::value::{int, items, text};

fn containers(object: &Value) -> &Value {
    &object["spec"]["template"]["spec"]["containers"]
}

pub(super) fn deployment(deployment: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    vec![
        name_of(deployment),
        format!("{}/{}", int(&status["readyReplicas"]), int(&spec["replicas"])).into(),
        int(&status["updatedReplicas"]).into(),
        int(&status["availableReplicas"]).into(),
        age(deployment, now),
        joined(containers(deployment), "name"),
        joined(containers(deployment), "image"),
        selector(&spec["selector"]),
    ]
}

pub(super) fn replica_set(set: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&set["spec"], &set["status"]);
    vec![
        name_of(set),
        int(&spec["replicas"]).into(),
        int(&status["replicas"]).into(),
        int(&status["readyReplicas"]).into(),
        age(set, now),
        joined(containers(set), "name"),
        joined(containers(set), "image"),
        selector(&spec["selector"]),
    ]
}

pub(super) fn stateful_set(set: &Value, now: Timestamp) -> Vec<Value> {
    vec![
        name_of(set),
        format!("{}/{}", int(&set["status"]["readyReplicas"]), int(&set["spec"]["replicas"])).into(),
        age(set, now),
        joined(containers(set), "name"),
        joined(containers(set), "image"),
    ]
}

pub(super) fn daemon_set(set: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&set["spec"], &set["status"]);
    vec![
        name_of(set),
        int(&status["desiredNumberScheduled"]).into(),
        int(&status["currentNumberScheduled"]).into(),
        int(&status["numberReady"]).into(),
        int(&status["updatedNumberScheduled"]).into(),
        int(&status["numberAvailable"]).into(),
        labels(&spec["template"]["spec"]["nodeSelector"]),
        age(set, now),
        joined(containers(set), "name"),
        joined(containers(set), "image"),
        selector(&spec["selector"]),
    ]
}

pub(super) fn controller_revision(revision: &Value, now: Timestamp) -> Vec<Value> {
    let owner = items(&revision["metadata"]["ownerReferences"]).iter().find(|o| o["controller"] == true);
    let controller = owner.map_or_else(
        || NONE.to_string(),
        |owner| {
            let (group, _) = oarlock_api::gvk::split_api_version(text(&owner["apiVersion"]));
            let kind = oarlock_api::GroupKind::new(group, text(&owner["kind"]));
            format!("{}/{}", kind.to_string().to_lowercase(), text(&owner["name"]))
        },
    );
    vec![name_of(revision), controller.into(), int(&revision["revision"]).into(), age(revision, now)]
}
