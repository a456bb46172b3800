//! The rows of the storage group.

use jiff::Timestamp;
use serde_json::Value;

use crate::print::{NONE, UNSET, age, name_of, or, text_or};
use crate::value::{is_true, items, text, texts};

const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];

pub(super) fn class(class: &Value, now: Timestamp) -> Vec<Value> {
    let marks = &class["metadata"]["annotations"];
    let name = match DEFAULT_CLASS.iter().any(|mark| marks[*mark] == "true") {
        true => format!("{} (default)", crate::value::name(class)).into(),
        false => name_of(class),
    };
    vec![
        name,
        text(&class["provisioner"]).into(),
        text_or(&class["reclaimPolicy"], "Delete"),
        text_or(&class["volumeBindingMode"], "Immediate"),
        is_true(&class["allowVolumeExpansion"]).into(),
        age(class, now),
    ]
}

pub(super) fn attributes_class(class: &Value, now: Timestamp) -> Vec<Value> {
    vec![name_of(class), text(&class["driverName"]).into(), age(class, now)]
}

pub(super) fn driver(driver: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &driver["spec"];
    let audiences: Vec<&str> = items(&spec["tokenRequests"]).iter().map(|r| text(&r["audience"])).collect();
    let modes: Vec<&str> = texts(&spec["volumeLifecycleModes"]).collect();
    vec![
        name_of(driver),
        spec["attachRequired"].as_bool().unwrap_or(true).into(),
        is_true(&spec["podInfoOnMount"]).into(),
        is_true(&spec["storageCapacity"]).into(),
        if audiences.is_empty() { UNSET.into() } else { audiences.join(",").into() },
        is_true(&spec["requiresRepublish"]).into(),
        or(&modes.join(","), NONE).into(),
        age(driver, now),
    ]
}

pub(super) fn node(node: &Value, now: Timestamp) -> Vec<Value> {
    vec![name_of(node), items(&node["spec"]["drivers"]).len().into(), age(node, now)]
}

pub(super) fn attachment(attachment: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &attachment["spec"];
    vec![
        name_of(attachment),
        text(&spec["attacher"]).into(),
        text(&spec["source"]["persistentVolumeName"]).into(),
        text(&spec["nodeName"]).into(),
        is_true(&attachment["status"]["attached"]).into(),
        age(attachment, now),
    ]
}
