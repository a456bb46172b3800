//! Validation of drivers, what nodes have of them, and attachments. (`pkg/apis/storage/validation`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check::Seen;
use crate::podspec::sources::csi_driver;
use crate::strategy::Context;
use crate::value::{differ_but, entries, int, is_set, items, object_mut, text, texts};
use crate::{check, names};

const FS_GROUP_POLICIES: [&str; 3] = ["File", "None", "ReadWriteOnceWithFSType"];
const LIFECYCLES: [&str; 2] = ["Persistent", "Ephemeral"];
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
const NODE_ID_MAX: usize = 256;
const UPDATE_SECONDS_MIN: i64 = 10;
const MESSAGE_MAX: usize = 262_144;
/// Upstream's name for `attachRequired`.
const ATTACH: &str = "attachedRequired";
const TOKENS_IN_SECRETS: &str = "spec.serviceAccountTokenInSecrets is unset; if supported by this CSI driver, set to true to prevent possible logging of tokens in volume attributes";
const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

/// Drivers bear the name that they are called by.
pub(super) fn driver_name(name: &str) -> names::Faults {
    names::subdomain(&name.to_lowercase())
}

pub(super) fn driver(driver: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&driver["spec"], Path::new("spec"));
    for (field, told) in [
        ("attachRequired", ATTACH),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
        ("seLinuxMount", "seLinuxMount"),
    ] {
        if spec[field].is_null() {
            errors.push(FieldError::required(path.child(told), ""));
        }
    }
    check::given_one_of(&spec["fsGroupPolicy"], &FS_GROUP_POLICIES, &path.child("fsGroupPolicy"), errors);
    let mut seen = Seen::new();
    for (index, request) in items(&spec["tokenRequests"]).iter().enumerate() {
        let at = path.child("tokenRequests").index(index);
        let audience = text(&request["audience"]);
        if !seen.is_new(audience) {
            errors.push(FieldError::duplicate(at.child("audience"), audience));
        }
        if let Some(seconds) = request["expirationSeconds"].as_i64() {
            let at = at.child("expirationSeconds");
            if seconds < TOKEN_SECONDS_MIN {
                let words = "may not specify a duration less than 10 minutes";
                errors.push(FieldError::invalid(at, seconds, words));
            } else if seconds > TOKEN_SECONDS_MAX {
                let words = "may not specify a duration larger than 2^32 seconds";
                errors.push(FieldError::invalid(at, seconds, words));
            }
        }
    }
    for mode in items(&spec["volumeLifecycleModes"]) {
        check::given_one_of(mode, &LIFECYCLES, &path.child("volumeLifecycleModes"), errors);
    }
    let (period, at) = (&spec["nodeAllocatableUpdatePeriodSeconds"], "nodeAllocatableUpdatePeriodSeconds");
    let words = "must be greater than or equal to 10 seconds";
    check::at_least(period, UPDATE_SECONDS_MIN, words, &path.child(at), errors);
}

pub(super) fn driver_changes(_: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    for (field, told) in [("attachRequired", ATTACH), ("volumeLifecycleModes", "volumeLifecycleModes")] {
        let at = Path::new("spec").child(told);
        check::immutable(&new["spec"][field], &old["spec"][field], &at, errors);
    }
}

/// The generation is that of the spec's changes.
pub(super) fn count(_: &Context<'_>, new: &mut Value, old: &Value) {
    if differ_but(&new["spec"], &old["spec"], &[]) {
        object_mut(new, "metadata")
            .insert("generation".into(), int(&old["metadata"]["generation"]).saturating_add(1).into());
    }
}

pub(super) fn driver_warnings(driver: &Value, old: Option<&Value>, warnings: &mut Vec<String>) {
    let (spec, requests) = (&driver["spec"], &driver["spec"]["tokenRequests"]);
    let asked = is_set(requests) && old.is_none_or(|old| old["spec"]["tokenRequests"] != *requests);
    if asked && spec["serviceAccountTokenInSecrets"].is_null() {
        warnings.push(TOKENS_IN_SECRETS.into());
    }
}

pub(super) fn node(node: &Value, errors: &mut FieldErrors) {
    let path = Path::new("spec").child("drivers");
    let mut seen = Seen::new();
    for (index, driver) in items(&node["spec"]["drivers"]).iter().enumerate() {
        let at = path.index(index);
        csi_driver(&driver["name"], &at.child("name"), errors);
        let (id, id_at) = (text(&driver["nodeID"]), at.child("nodeID"));
        if id.is_empty() {
            errors.push(FieldError::required(id_at, ""));
        } else if id.len() > NODE_ID_MAX {
            let words = format!("must be {NODE_ID_MAX} characters or less");
            errors.push(FieldError::invalid(id_at, id, words));
        }
        let count = at.child("allocatable").child("count");
        check::not_negative(&driver["allocatable"]["count"], &count, errors);
        seen.add(text(&driver["name"]), &at.child("name"), errors);
        let mut keys = Seen::new();
        for key in texts(&driver["topologyKeys"]) {
            if key.is_empty() {
                errors.push(FieldError::required(at.clone(), ""));
            }
            keys.add(key, &at, errors);
            check::syntax(key, names::qualified, &at, errors);
        }
    }
}

/// A driver of a node stays as it registered, but for how much it can take.
pub(super) fn node_changes(_: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    for was in items(&old["spec"]["drivers"]) {
        let now = items(&new["spec"]["drivers"]).iter().find(|driver| driver["name"] == was["name"]);
        if let Some(now) = now.filter(|now| differ_but(now, was, &["allocatable"])) {
            errors.push(FieldError::invalid(
                Path::new("spec").child("drivers"),
                now.clone(),
                check::IMMUTABLE,
            ));
        }
    }
}

pub(super) fn attachment(attachment: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&attachment["spec"], Path::new("spec"));
    csi_driver(&spec["attacher"], &path.child("attacher"), errors);
    let (source, at) = (&spec["source"], path.child("source"));
    match (source["inlineVolumeSpec"].is_object(), source["persistentVolumeName"].as_str()) {
        (false, None) => errors.push(FieldError::required(at, ONE_SOURCE)),
        (true, Some(_)) => errors.push(FieldError::forbidden(at, ONE_SOURCE)),
        (false, Some("")) => {
            let words = "must specify non empty persistentVolumeName";
            errors.push(FieldError::required(at.child("persistentVolumeName"), words));
        }
        (false, Some(_)) => {}
        (true, None) => {
            let at = at.child("inlineVolumeSpec");
            crate::core::volume::volume_spec(&source["inlineVolumeSpec"], true, &at, errors);
        }
    }
    check::syntax(text(&spec["nodeName"]), names::subdomain, &path.child("nodeName"), errors);
    check::given(
        &source["persistentVolumeName"],
        names::subdomain,
        &Path::new("spec.source.persistentVolumeName"),
        errors,
    );
}

pub(super) fn attachment_changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if context.subresource != "status" {
        return check::immutable(&new["spec"], &old["spec"], &Path::new("spec"), errors);
    }
    let (status, path) = (&new["status"], Path::new("status"));
    for (key, _) in entries(&status["attachmentMetadata"]).filter(|(key, _)| key.is_empty()) {
        errors.push(FieldError::required(path.child("attachmentMetadata").key(key), ""));
    }
    for field in ["attachError", "detachError"] {
        if text(&status[field]["message"]).len() > MESSAGE_MAX {
            errors.push(FieldError::too_long(path.child(field).child("message"), MESSAGE_MAX));
        }
        let code = &status[field]["errorCode"];
        if code.as_i64().is_some_and(|code| code < 0) {
            let words = "must be between 0 and 2147483647, inclusive";
            errors.push(FieldError::invalid(path.child(field).child("errorCode"), code.clone(), words));
        }
    }
}
