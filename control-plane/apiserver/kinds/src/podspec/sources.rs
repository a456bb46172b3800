//! Sources of volumes that a pod names itself or through a PersistentVolume. (`validateVolumeSource`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::value::{is_set, is_true, items, text};
use crate::{check, names};

const HOST_PATH_TYPES: [&str; 8] =
    ["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const BYTE: &str = "must be between 0 and 255, inclusive";
const DRIVER_NAME_MAX: usize = 63;
const CACHINGS: [&str; 3] = ["None", "ReadOnly", "ReadWrite"];
const DISK_KINDS: [&str; 3] = ["Dedicated", "Managed", "Shared"];

/// Fields that a source cannot be without.
const REQUIRED: [(&str, &[&str]); 14] = [
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cinder", &["volumeID"]),
    ("flexVolume", &["driver"]),
    ("gcePersistentDisk", &["pdName"]),
    ("glusterfs", &["endpoints", "path"]),
    ("hostPath", &["path"]),
    ("nfs", &["server", "path"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("quobyte", &["registry", "volume"]),
    ("rbd", &["image"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("vsphereVolume", &["volumePath"]),
];

/// `kind` is the name of the source's field.
pub(crate) fn validate(kind: &str, source: &Value, path: &Path, errors: &mut FieldErrors) {
    if let Some((_, fields)) = REQUIRED.iter().find(|(k, _)| *k == kind) {
        for field in *fields {
            check::required(&source[*field], &path.child(field), errors);
        }
    }
    match kind {
        "hostPath" => host_path(source, path, errors),
        "gcePersistentDisk" | "awsElasticBlockStore" => byte(source, "partition", path, errors),
        "nfs" if !text(&source["path"]).starts_with('/') => {
            let words = "must be an absolute path";
            errors.push(FieldError::invalid(path.child("path"), text(&source["path"]), words));
        }
        "iscsi" => iscsi(source, path, errors),
        "fc" => fibre_channel(source, path, errors),
        "rbd" | "cephfs" if items(&source["monitors"]).is_empty() => {
            errors.push(FieldError::required(path.child("monitors"), ""));
        }
        "flocker" => flocker(source, path, errors),
        "azureDisk" => azure_disk(source, path, errors),
        _ => {}
    }
}

fn byte(source: &Value, field: &str, path: &Path, errors: &mut FieldErrors) {
    if let Some(number) = source[field].as_i64().filter(|n| !(0..=255).contains(n)) {
        errors.push(FieldError::invalid(path.child(field), number, BYTE));
    }
}

fn host_path(source: &Value, path: &Path, errors: &mut FieldErrors) {
    super::no_way_up(text(&source["path"]), &path.child("path"), errors);
    check::given_one_of(&source["type"], &HOST_PATH_TYPES, &path.child("type"), errors);
}

fn iscsi(source: &Value, path: &Path, errors: &mut FieldErrors) {
    check::required(&source["targetPortal"], &path.child("targetPortal"), errors);
    let (name, at) = (text(&source["iqn"]), path.child("iqn"));
    if name.is_empty() {
        errors.push(FieldError::required(at, ""));
    } else if !["iqn", "eui", "naa"].iter().any(|prefix| name.starts_with(prefix)) {
        errors.push(FieldError::invalid(at, name, "must be valid format starting with iqn, eui, or naa"));
    }
    byte(source, "lun", path, errors);
    let asks = is_true(&source["chapAuthDiscovery"]) || is_true(&source["chapAuthSession"]);
    if asks && source["secretRef"].is_null() {
        errors.push(FieldError::required(path.child("secretRef"), ""));
    }
}

fn fibre_channel(source: &Value, path: &Path, errors: &mut FieldErrors) {
    let (targets, wide) = (items(&source["targetWWNs"]), items(&source["wwids"]));
    let at = path.child("targetWWNs");
    match (targets.is_empty(), wide.is_empty()) {
        (true, true) => {
            let words = "must specify either targetWWNs or wwids, but not both";
            errors.push(FieldError::required(at, words));
        }
        (false, false) => {
            let words = "targetWWNs and wwids can not be specified simultaneously";
            errors.push(FieldError::invalid(at, targets.to_vec(), words));
        }
        (false, true) if source["lun"].is_null() => {
            let words = "lun is required if targetWWNs is specified";
            errors.push(FieldError::required(path.child("lun"), words));
        }
        (false, true) => byte(source, "lun", path, errors),
        _ => {}
    }
}

fn flocker(source: &Value, path: &Path, errors: &mut FieldErrors) {
    match (is_set(&source["datasetName"]), is_set(&source["datasetUUID"])) {
        (false, false) => {
            let words = "one of datasetName and datasetUUID is required";
            errors.push(FieldError::required(path.clone(), words));
        }
        (true, true) => {
            let words = "datasetName and datasetUUID can not be specified simultaneously";
            errors.push(FieldError::invalid(path.clone(), "resource", words));
        }
        _ => {}
    }
    if text(&source["datasetName"]).contains('/') {
        let at = path.child("datasetName");
        errors.push(FieldError::invalid(at, source["datasetName"].clone(), "must not contain '/'"));
    }
}

fn azure_disk(source: &Value, path: &Path, errors: &mut FieldErrors) {
    check::required(&source["diskName"], &path.child("diskName"), errors);
    check::required(&source["diskURI"], &path.child("diskURI"), errors);
    check::given_one_of(&source["cachingMode"], &CACHINGS, &path.child("cachingMode"), errors);
    check::given_one_of(&source["kind"], &DISK_KINDS, &path.child("kind"), errors);
    let (uri, at) = (text(&source["diskURI"]), path.child("diskURI"));
    let managed = uri.starts_with("/subscriptions/");
    if source["kind"] == "Managed" && !managed {
        errors.push(FieldError::not_supported(at, uri, &["/subscriptions/{sub-id}/resourceGroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"]));
    } else if source["kind"] != "Managed" && !uri.starts_with("https://") {
        let words = ["https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"];
        errors.push(FieldError::not_supported(at, uri, &words));
    }
}

/// The name of a storage or device driver.
pub(crate) fn csi_driver(name: &Value, path: &Path, errors: &mut FieldErrors) {
    if check::required(name, path, errors) {
        let name = text(name);
        if name.len() > DRIVER_NAME_MAX {
            errors.push(FieldError::too_long(path.clone(), DRIVER_NAME_MAX));
        }
        let faults = names::subdomain(&name.to_lowercase()).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(path.clone(), name, fault)));
    }
}
