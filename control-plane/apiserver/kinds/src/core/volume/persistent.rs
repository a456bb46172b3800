//! PersistentVolumes. (`ValidatePersistentVolume`)

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::claim::{VOLUME_MODES, modes, storage};
use crate::podspec::{self, sources};
use crate::strategy::Context;
use crate::value::{entries, is_set, items, text};
use crate::{check, names};

const POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];
const SOURCE_WORDS: &str = "spec.persistentvolumesource is immutable after creation\n";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// What of a volume's spec is no source.
const PLAIN_FIELDS: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];
const SECRETS: [&str; 5] = [
    "controllerPublishSecretRef",
    "controllerExpandSecretRef",
    "nodePublishSecretRef",
    "nodeStageSecretRef",
    "nodeExpandSecretRef",
];
const DEPRECATED: [(&str, &str, &str); 8] = [
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("photonPersistentDisk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ("scaleIO", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
];

fn sources_of(spec: &Value) -> impl Iterator<Item = (&str, &Value)> {
    entries(spec).filter(|(field, _)| !PLAIN_FIELDS.contains(field))
}

pub(super) fn validate(volume: &Value, errors: &mut FieldErrors) {
    spec(&volume["spec"], false, &Path::new("spec"), errors);
}

/// `inline`: told by a VolumeAttachment, so without what makes it a volume of the cluster.
pub(crate) fn spec(spec: &Value, inline: bool, path: &Path, errors: &mut FieldErrors) {
    modes(spec, "", path, errors);
    if !inline {
        capacity(&spec["capacity"], &path.child("capacity"), errors);
        let at = path.child("persistentVolumeReclaimPolicy");
        check::one_of(&spec["persistentVolumeReclaimPolicy"], &POLICIES, &at, errors);
    }
    let affinity = path.child("nodeAffinity");
    if spec["nodeAffinity"].is_object() {
        let required = &spec["nodeAffinity"]["required"];
        if required.is_null() {
            let words = "must specify required node constraints";
            errors.push(FieldError::required(affinity.child("required"), words));
        } else {
            podspec::node_selector(required, &affinity.child("required"), errors);
        }
    }
    source(spec, path, errors);
    let recycled = spec["persistentVolumeReclaimPolicy"] == "Recycle";
    if recycled && is_root(text(&spec["hostPath"]["path"])) {
        let words = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(path.child("persistentVolumeReclaimPolicy"), words));
    }
    check::optional(&spec["storageClassName"], names::subdomain, &path.child("storageClassName"), errors);
    check::given_one_of(&spec["volumeMode"], &VOLUME_MODES, &path.child("volumeMode"), errors);
    attributes_class(spec, path, errors);
}

fn is_root(path: &str) -> bool {
    !path.is_empty() && path.starts_with('/') && path.split('/').all(|part| matches!(part, "" | "."))
}

fn capacity(capacity: &Value, path: &Path, errors: &mut FieldErrors) {
    if !is_set(capacity) {
        errors.push(FieldError::required(path.clone(), ""));
    }
    if capacity["storage"].is_null() || entries(capacity).count() > 1 {
        errors.push(FieldError::not_supported(path.clone(), capacity.clone(), &["storage"]));
    }
    for (name, value) in entries(capacity) {
        storage(value, &path.key(name), errors);
    }
}

fn source(spec: &Value, spec_path: &Path, errors: &mut FieldErrors) {
    let mut given = 0;
    for (kind, source) in sources_of(spec) {
        let path = spec_path.child(kind);
        given += 1;
        if given > 1 {
            errors.push(FieldError::forbidden(path, "may not specify more than 1 volume type"));
            continue;
        }
        match kind {
            "csi" => csi(source, &path, errors),
            "local" => {
                check::required(&source["path"], &path.child("path"), errors);
                podspec::no_way_up(text(&source["path"]), &path.child("path"), errors);
                if spec["nodeAffinity"].is_null() {
                    let at = spec_path.child("nodeAffinity");
                    errors.push(FieldError::required(at, "Local volume requires node affinity"));
                }
            }
            _ => sources::validate(kind, source, &path, errors),
        }
    }
    if given == 0 {
        errors.push(FieldError::required(spec_path.clone(), "must specify a volume type"));
    }
}

fn csi(source: &Value, path: &Path, errors: &mut FieldErrors) {
    sources::csi_driver(&source["driver"], &path.child("driver"), errors);
    check::required(&source["volumeHandle"], &path.child("volumeHandle"), errors);
    for field in SECRETS.iter().filter(|field| source[**field].is_object()) {
        let at = path.child(field);
        check::named(&source[*field]["name"], names::subdomain, &at.child("name"), errors);
        check::named(&source[*field]["namespace"], names::dns_label, &at.child("namespace"), errors);
    }
}

fn attributes_class(spec: &Value, path: &Path, errors: &mut FieldErrors) {
    let Some(class) = spec["volumeAttributesClassName"].as_str() else { return };
    let at = path.child("volumeAttributesClassName");
    if class.is_empty() {
        errors.push(FieldError::required(at.clone(), "an empty string is disallowed"));
    }
    check::optional(&spec["volumeAttributesClassName"], names::subdomain, &at, errors);
    if spec["csi"].is_null() {
        let words = "has to be specified when using volumeAttributesClassName";
        errors.push(FieldError::required(path.child("csi"), words));
    }
}

pub(super) fn changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let (now, was, path) = (&new["spec"], &old["spec"], Path::new("spec"));
    if context.subresource == "status" {
        return;
    }
    if !same_source(now, was) {
        errors.push(FieldError::forbidden(path.child("persistentvolumesource"), SOURCE_WORDS));
    }
    check::immutable(&now["volumeMode"], &was["volumeMode"], &Path::new("volumeMode"), errors);
    if !was["nodeAffinity"].is_null() && !same_affinity(&now["nodeAffinity"], &was["nodeAffinity"]) {
        let (at, told) = (Path::new("nodeAffinity"), now["nodeAffinity"].clone());
        let words = "field is immutable, except for updating from beta label to GA";
        errors.push(FieldError::invalid(at, told, words));
    }
    let class = "volumeAttributesClassName";
    if !was[class].is_null() && now[class].is_null() {
        let words = "update from non-nil value to nil is forbidden";
        errors.push(FieldError::forbidden(path.child(class), words));
    }
}

/// The source stays; secrets that expand it may be told later.
fn same_source(now: &Value, was: &Value) -> bool {
    let later = ["controllerExpandSecretRef", "nodeExpandSecretRef"];
    let free: Vec<&str> = later.into_iter().filter(|field| was["csi"][*field].is_null()).collect();
    let same = |(kind, source): (&str, &Value)| match kind {
        "csi" => !now["csi"].is_null() && !crate::value::differ_but(&now["csi"], source, &free),
        _ => now[kind] == *source,
    };
    sources_of(was).all(same) && sources_of(now).all(|(kind, _)| !was[kind].is_null())
}

/// The same, but that old names of labels may be made new ones.
fn same_affinity(now: &Value, was: &Value) -> bool {
    fn newer(label: &str) -> &str {
        match label {
            "beta.kubernetes.io/arch" => "kubernetes.io/arch",
            "beta.kubernetes.io/os" => "kubernetes.io/os",
            "failure-domain.beta.kubernetes.io/region" => "topology.kubernetes.io/region",
            "failure-domain.beta.kubernetes.io/zone" => "topology.kubernetes.io/zone",
            "beta.kubernetes.io/instance-type" => "node.kubernetes.io/instance-type",
            // So upstream looks it up; a key that is taken away passes with it.
            _ => "",
        }
    }
    if now == was {
        return true;
    }
    let terms = |affinity: &Value| items(&affinity["required"]["nodeSelectorTerms"]).to_vec();
    let (now, was) = (terms(now), terms(was));
    now.len() == was.len()
        && now.iter().zip(&was).all(|(now, was)| {
            let (a, b) = (items(&now["matchExpressions"]), items(&was["matchExpressions"]));
            now["matchFields"] == was["matchFields"]
                && a.len() == b.len()
                && a.iter().zip(b).all(|(now, was)| {
                    let (key, old) = (text(&now["key"]), text(&was["key"]));
                    (key == old || key == newer(old)) && !crate::value::differ_but(now, was, &["key"])
                })
        })
}

pub(super) fn warn(volume: &Value, _old: Option<&Value>, told: &mut Vec<String>) {
    let (spec, path) = (&volume["spec"], Path::new("spec"));
    if !volume["metadata"]["annotations"][BETA_CLASS].is_null() {
        let at = Path::new("metadata").child("annotations").key(BETA_CLASS);
        told.push(format!("{at}: deprecated since v1.8; use \"storageClassName\" attribute instead"));
    }
    if spec["persistentVolumeReclaimPolicy"] == "Recycle" {
        told.push(format!(
            "{}: The Recycle reclaim policy is deprecated. Instead, the recommended approach is to use dynamic provisioning.",
            path.child("persistentVolumeReclaimPolicy")
        ));
    }
    let terms = path.child("nodeAffinity").child("required").child("nodeSelectorTerms");
    for (index, term) in items(&spec["nodeAffinity"]["required"]["nodeSelectorTerms"]).iter().enumerate() {
        podspec::warnings::node_term(term, &terms.index(index), told);
    }
    for (_, name, words) in DEPRECATED.iter().filter(|(field, ..)| !spec[*field].is_null()) {
        told.push(format!("{}: {words}", path.child(name)));
    }
}
