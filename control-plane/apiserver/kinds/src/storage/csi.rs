//! Validation of drivers, what nodes have of them, and attachments. (`pkg/apis/storage/validation`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check::Seen;
use crate::podspec::sources::csi_driver;
use crate::strategy::Context;
use crate::value::{differ_but, entries, items, text, texts};
use crate::{check, names};

const FS_GROUP_POLICIES: [&str; 3] = ["ReadWriteOnceWithFSType", "File", "None"];
const LIFECYCLES: [&str; 2] = ["Ephemeral", "Persistent"];
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
const NODE_ID_MAX: usize = 256;
const UPDATE_SECONDS_MIN: i64 = 10;
const MESSAGE_MAX: usize = 262_144;
const ONE_SOURCE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";

pub(super) fn driver(driver: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&driver["spec"], Path::new("spec"));
    csi_driver(&driver["metadata"]["name"], &Path::new("metadata").child("name"), errors);
    for field in ["attachRequired", "podInfoOnMount", "storageCapacity", "seLinuxMount"] {
        if spec[field].is_null() {
            errors.push(FieldError::required(path.child(field), ""));
        }
    }
    check::must_be_one_of(&spec["fsGroupPolicy"], &FS_GROUP_POLICIES, &path.child("fsGroupPolicy"), errors);
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
        check::one_of(mode, &LIFECYCLES, &path.child("volumeLifecycleModes"), errors);
    }
    let (period, at) = (&spec["nodeAllocatableUpdatePeriodSeconds"], "nodeAllocatableUpdatePeriodSeconds");
    let words = "must be greater than or equal to 10 seconds";
    check::at_least(period, UPDATE_SECONDS_MIN, words, &path.child(at), errors);
}

pub(super) fn driver_changes(_: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    for field in ["attachRequired", "volumeLifecycleModes"] {
        let at = Path::new("spec").child(field);
        check::immutable(&new["spec"][field], &old["spec"][field], &at, errors);
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
        let (mut keys, at) = (Seen::new(), at.child("topologyKeys"));
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
            errors.push(FieldError::invalid(Path::new("CSINodeDriver"), now.clone(), check::IMMUTABLE));
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
        (false, Some(name)) => {
            check::syntax(name, names::subdomain, &Path::new("spec.source.persistentVolumeName"), errors);
        }
        (true, None) => {
            let at = at.child("inlineVolumeSpec");
            crate::core::volume::volume_spec(&source["inlineVolumeSpec"], true, &at, errors);
        }
    }
    check::syntax(text(&spec["nodeName"]), names::subdomain, &path.child("nodeName"), errors);
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
    }
}
