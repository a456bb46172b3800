//! Validation of what every object carries: its metadata. (`apimachinery/pkg/api/validation`)

use std::collections::BTreeMap;

use oarlock_api::apply::validate_managed;
use oarlock_api::selector::{label_value_faults, qualified_name_faults};
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
const DNS_LABEL_MAX: usize = 63;

pub(crate) const IMMUTABLE: &str = "field is immutable";

const DNS_LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
     start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/// What the rules of metadata depend on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) namespaced: bool,
    /// Judged by the rules of the core group: finalizers are standard or fully qualified.
    pub(crate) core: bool,
}

impl Kind {
    pub(crate) fn of(storage: &super::Storage) -> Self {
        // Servers of their own, and groups whose validation knows nothing of the core group.
        let apart = matches!(
            storage.api.group,
            "apiextensions.k8s.io"
                | "apiregistration.k8s.io"
                | "admissionregistration.k8s.io"
                | "coordination.k8s.io"
                | "node.k8s.io"
                | "policy"
        );
        Self { namespaced: storage.api.namespaced, core: storage.custom.is_none() && !apart }
    }
}

/// The metadata of a new object. The name itself is the kind's affair.
pub(crate) fn validate_create(object: &Value, kind: Kind) -> FieldErrors {
    let Kind { namespaced, .. } = kind;
    let (meta, path) = (&object["metadata"], Path::new("metadata"));
    let mut errors = FieldErrors::new();
    let text = |field: &str| meta[field].as_str().unwrap_or_default();
    if text("name").is_empty() {
        errors.push(FieldError::required(path.child("name"), "name or generateName is required"));
    } else if let Some(fault) = path_segment_fault(text("name")) {
        errors.push(FieldError::invalid(path.child("name"), text("name"), fault));
    }
    let namespace = text("namespace");
    if namespaced {
        if namespace.is_empty() {
            errors.push(FieldError::required(path.child("namespace"), ""));
        } else {
            let faults = dns_label_faults(namespace).into_iter();
            errors.extend(faults.map(|f| FieldError::invalid(path.child("namespace"), namespace, f)));
        }
    } else if !namespace.is_empty() {
        errors.push(FieldError::forbidden(path.child("namespace"), "not allowed on this type"));
    }
    validate_common(meta, kind, &path, &mut errors);
    errors
}

/// What a kind says of a name goes before what holds for all names, and all that is said of the name before the rest.
pub(crate) fn prefer_kind_of_name(errors: &mut FieldErrors) {
    let of_name = |error: &FieldError| error.path.as_str() == "metadata.name";
    let first = errors.iter().position(of_name);
    if let Some(first) = first
        && errors[first].body().contains(": may not ")
        && errors[first + 1..].iter().any(of_name)
    {
        errors.remove(first);
    }
    errors.sort_by_key(|error| match error.path.as_str() {
        "metadata.generateName" => 0,
        "metadata.name" => 1,
        _ => 2,
    });
}

/// The metadata of an object that replaces `old`.
pub(crate) fn validate_update(new: &Value, old: &Value, kind: Kind) -> FieldErrors {
    let Kind { namespaced, .. } = kind;
    let (now, was, path) = (&new["metadata"], &old["metadata"], Path::new("metadata"));
    let mut errors = FieldErrors::new();
    if let Some(added) = finalizers_added_while_deleting(now, was) {
        let detail = "no new finalizers can be added if the object is being deleted, found new finalizers ";
        errors.push(FieldError::forbidden(path.child("finalizers"), format!("{detail}[]string{{{added}}}")));
    }
    for field in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        if now.get(field).filter(|v| !v.is_null()) != was.get(field).filter(|v| !v.is_null()) {
            let value = now.get(field).cloned().unwrap_or(Value::Null);
            errors.push(FieldError::invalid(path.child(field), value, IMMUTABLE));
        }
    }
    if now["generation"].as_i64().unwrap_or(0) < was["generation"].as_i64().unwrap_or(0) {
        let value = now["generation"].clone();
        errors.push(FieldError::invalid(path.child("generation"), value, "must not be decremented"));
    }
    let _ = namespaced; // Scope cannot change: namespace is immutable.
    validate_common(now, kind, &path, &mut errors);
    errors
}

fn finalizers_added_while_deleting(now: &Value, was: &Value) -> Option<String> {
    was.get("deletionTimestamp").filter(|v| !v.is_null())?;
    let had: Vec<&str> = strings(&was["finalizers"]).collect();
    let added: Vec<String> =
        strings(&now["finalizers"]).filter(|f| !had.contains(f)).map(|f| format!("{f:?}")).collect();
    (!added.is_empty()).then(|| added.join(", "))
}

fn validate_common(meta: &Value, kind: Kind, path: &Path, errors: &mut FieldErrors) {
    if meta["generation"].as_i64().is_some_and(|n| n < 0) {
        let detail = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path.child("generation"), meta["generation"].clone(), detail));
    }
    validate_labels(&meta["labels"], &path.child("labels"), errors);
    validate_annotations(&meta["annotations"], &path.child("annotations"), errors);
    validate_owners(&meta["ownerReferences"], &path.child("ownerReferences"), errors);
    validate_finalizers(&meta["finalizers"], kind, &path.child("finalizers"), errors);
    if let Some(entries) = meta["managedFields"].as_array() {
        errors.extend(validate_managed(entries, &path.child("managedFields")));
    }
}

/// A map of labels, in metadata or in a template.
pub(crate) fn validate_labels(labels: &Value, path: &Path, errors: &mut FieldErrors) {
    for (key, value) in labels.as_object().into_iter().flatten() {
        let faults = qualified_name_faults(key).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(path.clone(), key.as_str(), fault)));
        let value = value.as_str().unwrap_or_default();
        let faults = label_value_faults(value).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(path.clone(), value, fault)));
    }
}

fn validate_annotations(annotations: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut bytes = 0;
    for (key, value) in annotations.as_object().into_iter().flatten() {
        let faults = qualified_name_faults(&key.to_lowercase()).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(path.clone(), key.as_str(), fault)));
        bytes += key.len() + value.as_str().map_or(0, str::len);
    }
    if bytes > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(path.clone(), ANNOTATIONS_BYTES_MAX));
    }
}

fn validate_owners(owners: &Value, path: &Path, errors: &mut FieldErrors) {
    let mut controllers: BTreeMap<usize, String> = BTreeMap::new();
    for (index, owner) in owners.as_array().into_iter().flatten().enumerate() {
        let at = path;
        let text = |field: &str| owner[field].as_str().unwrap_or_default();
        if !text("apiVersion").contains('/') && text("apiVersion").is_empty() {
            errors.push(FieldError::invalid(at.child("apiVersion"), "", "version must not be empty"));
        }
        if (text("apiVersion"), text("kind")) == ("v1", "Event") {
            errors.push(FieldError::invalid(
                at.clone(),
                "/v1, Kind=Event",
                "is disallowed from being an owner",
            ));
        }
        for field in ["kind", "name", "uid"] {
            if text(field).is_empty() {
                errors.push(FieldError::invalid(at.child(field), "", "must not be empty"));
            }
        }
        if owner["controller"] == Value::Bool(true) {
            controllers.insert(index, text("name").to_string());
        }
    }
    let mut names = controllers.into_values();
    if let (Some(first), Some(second)) = (names.next(), names.next()) {
        let detail = "Only one reference can have Controller set to true. Found \"true\" in references for ";
        errors.push(FieldError::invalid(
            path.clone(),
            owners.clone(),
            format!("{detail}{first} and {second}"),
        ));
    }
}

const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", "orphan", "foregroundDeletion"];

fn validate_finalizers(finalizers: &Value, kind: Kind, path: &Path, errors: &mut FieldErrors) {
    let (mut orphan, mut foreground) = (false, false);
    for (index, finalizer) in strings(finalizers).enumerate() {
        let faults = qualified_name_faults(finalizer);
        let standard = finalizer.contains('/') || STANDARD_FINALIZERS.contains(&finalizer);
        errors.extend(faults.into_iter().map(|fault| FieldError::invalid(path.clone(), finalizer, fault)));
        if kind.core && !standard {
            let detail = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(path.index(index), finalizer, detail));
        }
        orphan |= finalizer == "orphan";
        foreground |= finalizer == "foregroundDeletion";
    }
    if orphan && foreground {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.push(FieldError::invalid(path.clone(), finalizers.clone(), detail));
    }
}

/// The strings of a list.
pub(crate) fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// What no name may be or hold, whatever its kind: names are segments of paths.
pub(crate) fn path_segment_fault(name: &str) -> Option<String> {
    match name {
        "." | ".." => Some(format!("may not be '{name}'")),
        _ => ["/", "%"].iter().find(|bad| name.contains(**bad)).map(|bad| format!("may not contain '{bad}'")),
    }
}

fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

pub(crate) fn dns_label_faults(value: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if value.len() > DNS_LABEL_MAX {
        faults.push(too_long(DNS_LABEL_MAX));
    }
    if !is_dns_label(value) {
        faults.push(DNS_LABEL.to_string());
    }
    faults
}

fn is_dns_label(value: &str) -> bool {
    let bytes = value.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if *first != b'-' && *last != b'-')
        && bytes.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(meta: Value, want: &[&str]) {
        let object = json!({ "metadata": meta });
        let got: Vec<String> = validate_create(&object, Kind { namespaced: true, core: true })
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(got.len(), want.len(), "{got:?}");
        for (got, want) in got.iter().zip(want) {
            assert!(got.starts_with(want), "{got} does not start with {want}");
        }
    }

    #[test]
    fn faults_are_told_in_upstreams_words() {
        check(json!({"name": "a", "namespace": "n"}), &[]);
        check(
            json!({"namespace": "n"}),
            &["metadata.name: Required value: name or generateName is required"],
        );
        check(
            json!({"name": "a/b", "namespace": "n"}),
            &["metadata.name: Invalid value: \"a/b\": may not contain '/'"],
        );
        check(
            json!({"name": "a", "namespace": "n", "labels": {"a b": "x", "ok": "y z"}}),
            &[
                "metadata.labels: Invalid value: \"a b\": name part must",
                "metadata.labels: Invalid value: \"y z\": a valid",
            ],
        );
        check(
            json!({"name": "a", "namespace": "n", "finalizers": ["mine"]}),
            &["metadata.finalizers[0]: Invalid value: \"mine\": name is neither a standard finalizer name"],
        );
    }

    #[test]
    fn identity_is_immutable() {
        let old = json!({"metadata": {"name": "a", "namespace": "n", "uid": "1"}});
        let new = json!({"metadata": {"name": "a", "namespace": "n", "uid": "2"}});
        let got = validate_update(&new, &old, Kind { namespaced: true, core: true });
        assert_eq!(got[0].to_string(), "metadata.uid: Invalid value: \"2\": field is immutable");
    }
}
