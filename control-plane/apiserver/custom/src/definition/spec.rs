//! Validation of a definition's names, versions and status. (`apiextensions/validation`)

use std::collections::HashSet;

use oarlock_api::selector::dns1123_subdomain_faults;
use oarlock_api::{FieldError, FieldErrors, Path, dump, meta};
use serde_json::Value;

use super::layout::{Place, any_schema, places};
use super::{conversion, parts, schema};
use crate::names::{self, MIXED_CASE};
use crate::status::{ANNOTATION, Approval, approval_state, is_protected};
use crate::value::{flag, items, text};

/// What is asked of a definition; a changed one may keep some old faults.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) schema_required: bool,
    pub(super) known_types: bool,
    pub(super) structural: bool,
    pub(super) pruned_defaults: bool,
    pub(super) atomic_sets: bool,
    pub(super) map_keys: bool,
    pub(super) known_review_version: bool,
    pub(super) any_ca_bundle: bool,
    /// Versions whose schema did not change: their rules may be as dear as they were.
    pub(super) unchanged: Vec<String>,
    /// Versions that may keep more selectable fields than are allowed.
    pub(super) many_selectable: Vec<String>,
}

impl Options {
    pub(super) fn strict() -> Self {
        Self {
            schema_required: true,
            known_types: true,
            structural: true,
            pruned_defaults: true,
            atomic_sets: true,
            map_keys: true,
            known_review_version: true,
            any_ca_bundle: true,
            unchanged: Vec::new(),
            many_selectable: Vec::new(),
        }
    }
}

/// A part of a version, told once for all versions where they agree: its field, the name of that place, and its check.
struct Part {
    field: &'static str,
    shared: &'static str,
    check: fn(&Place<'_>, &Value, &Options, &mut FieldErrors),
}

impl Part {
    fn places<'c>(&self, spec: &'c Value) -> Vec<Place<'c>> {
        places(spec, self.field, self.shared)
    }
}

const PARTS: [Part; 4] = [
    Part { field: "schema", shared: "validation", check: schema::validate },
    Part {
        field: "subresources",
        shared: "subresources",
        check: |place, _, _, errors| parts::subresources(place.value, &place.path, errors),
    },
    Part {
        field: "additionalPrinterColumns",
        shared: "additionalPrinterColumns",
        check: |place, _, _, errors| parts::columns(place.value, &place.path, errors),
    },
    Part {
        field: "selectableFields",
        shared: "selectableFields",
        check: |place, _, options, errors| parts::selectable_fields(place, options, errors),
    },
];

pub(super) fn validate_create(crd: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    name(crd, &mut errors);
    spec(crd, &Options::strict(), &mut errors);
    errors.extend(validate_status(crd));
    stored_versions(crd, &mut errors);
    approval(crd, None, &mut errors);
    preserve_unknown_fields(crd, None, &mut errors);
    errors
}

fn name(crd: &Value, errors: &mut FieldErrors) {
    let (name, names) = (meta::name(crd), &crd["spec"]["names"]);
    let path = Path::new("metadata").child("name");
    if name.is_empty() {
        return;
    }
    let mut faults = dns1123_subdomain_faults(name);
    if name != format!("{}.{}", text(&names["plural"]), text(&crd["spec"]["group"])) {
        faults.push("must be spec.names.plural+\".\"+spec.group".into());
    }
    errors.extend(faults.into_iter().map(|fault| FieldError::invalid(path.clone(), name, fault)));
}

pub(super) fn spec(crd: &Value, options: &Options, errors: &mut FieldErrors) {
    let (spec, path) = (&crd["spec"], Path::new("spec"));
    let mut options = options.clone();
    group(text(&spec["group"]), &path.child("group"), errors);
    one_of(text(&spec["scope"]), &["Cluster", "Namespaced"], &path.child("scope"), errors);
    let preserves = flag(&spec["preserveUnknownFields"]);
    let has_defaults = any_schema(crd, |schema| schema.get("default").is_some());
    if !preserves || has_defaults || any_schema(crd, schema::has_extensions) {
        options.structural = true;
    }
    schemas_given(spec, &options, preserves, &path, errors);
    if has_defaults && preserves {
        let detail = "must be false in order to use defaults in the schema";
        errors.push(FieldError::invalid(path.child("preserveUnknownFields"), true, detail));
    }
    versions(spec, &options, &path, errors);
    new_names(&spec["names"], &path.child("names"), errors);
    for part in &PARTS {
        let shared = part.places(spec).into_iter().filter(|place| place.shared);
        shared.for_each(|place| (part.check)(&place, spec, &options, errors));
    }
    let strategy = text(&spec["conversion"]["strategy"]);
    if spec["conversion"].is_object() && strategy != "None" && preserves {
        let at = path.child("conversion").child("strategy");
        let detail = "must be None if spec.preserveUnknownFields is true";
        errors.push(FieldError::invalid(at, strategy, detail));
    }
    conversion::validate(&spec["conversion"], &options, &path.child("conversion"), errors);
}

fn group(group: &str, path: &Path, errors: &mut FieldErrors) {
    let faults = dns1123_subdomain_faults(group);
    if group.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
    } else if !faults.is_empty() {
        errors.push(FieldError::invalid(path.clone(), group, faults.join(",")));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid(path.clone(), group, "should be a domain with at least one dot"));
    }
}

pub(super) fn one_of(value: &str, allowed: &[&str], path: &Path, errors: &mut FieldErrors) {
    if value.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
    } else if !allowed.contains(&value) {
        errors.push(FieldError::not_supported(path.clone(), value, allowed));
    }
}

fn schemas_given(spec: &Value, options: &Options, preserves: bool, path: &Path, errors: &mut FieldErrors) {
    for (index, version) in items(&spec["versions"]).iter().enumerate() {
        if version["schema"]["openAPIV3Schema"].is_object() {
            continue;
        }
        let at = path.child("versions").index(index).child("schema").child("openAPIV3Schema");
        if options.schema_required {
            errors.push(FieldError::required(at, ""));
        } else if !preserves && flag(&version["served"]) {
            errors.push(FieldError::required(at, "because otherwise all fields are pruned"));
        }
    }
}

fn versions(spec: &Value, options: &Options, path: &Path, errors: &mut FieldErrors) {
    let (all, at) = (items(&spec["versions"]), path.child("versions"));
    let mut seen = HashSet::new();
    let (mut unique, mut storages) = (true, 0);
    let alone = PARTS.each_ref().map(|part| (part, part.places(spec)));
    for (index, version) in all.iter().enumerate() {
        let (name, at) = (text(&version["name"]), at.index(index));
        unique &= seen.insert(name);
        storages += usize::from(flag(&version["storage"]));
        is_label(name, name, "", at.child("name"), errors);
        parts::deprecation(version, &at.child("deprecationWarning"), errors);
        for (part, places) in &alone {
            let here = places.iter().filter(|place| !place.shared && std::ptr::eq(place.version, version));
            here.for_each(|place| (part.check)(place, spec, options, errors));
        }
    }
    if !unique {
        let detail = "must contain unique version names";
        errors.push(FieldError::invalid(at.clone(), "", detail).told_as(&told_versions(&spec["versions"])));
    }
    if storages != 1 {
        let detail = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(at, "", detail).told_as(&told_versions(&spec["versions"])));
    }
    // The first version is the one that definitions of old spoke of alone.
    let first = text(&all.first().unwrap_or(&Value::Null)["name"]);
    if !first.is_empty() {
        is_label(first, first, "", path.child("version"), errors);
    }
}

/// Versions as upstream has them inside: what all of them share stands above them.
fn told_versions(versions: &Value) -> String {
    let ty = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion";
    let Some(all) = versions.as_array() else { return dump::list(ty, versions) };
    let mut told = all.clone();
    for field in ["schema", "subresources", "additionalPrinterColumns", "selectableFields"] {
        if all.iter().all(|version| version[field] == all[0][field]) {
            told.iter_mut().filter_map(Value::as_object_mut).for_each(|version| {
                version.remove(field);
            });
        }
    }
    dump::list(ty, &Value::Array(told))
}

/// The names of a new definition: all that it must say are said, and are labels.
fn new_names(names: &Value, path: &Path, errors: &mut FieldErrors) {
    let missing = NAMES.iter().filter(|name| text(&names[name.field]).is_empty());
    errors.extend(missing.map(|name| FieldError::required(path.child(name.field), "")));
    valid_names(names, path, errors);
}

/// A name that a definition must say.
struct Name {
    field: &'static str,
    /// Capitals do not count against it.
    is_mixed: bool,
}

const NAMES: [Name; 4] = [
    Name { field: "plural", is_mixed: false },
    Name { field: "singular", is_mixed: false },
    Name { field: "kind", is_mixed: true },
    Name { field: "listKind", is_mixed: true },
];

fn valid_names(names: &Value, path: &Path, errors: &mut FieldErrors) {
    for name in &NAMES {
        let given = text(&names[name.field]);
        if given.is_empty() {
            continue;
        }
        let (label, prefix) =
            if name.is_mixed { (given.to_lowercase(), MIXED_CASE) } else { (given.to_string(), "") };
        is_label(given, &label, prefix, path.child(name.field), errors);
    }
    labels(names, "shortNames", path, errors);
    let (kind, list_kind) = (text(&names["kind"]), text(&names["listKind"]));
    if !kind.is_empty() && kind == list_kind {
        let detail = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(path.child("listKind"), list_kind, detail));
    }
    labels(names, "categories", path, errors);
}

fn labels(names: &Value, field: &str, path: &Path, errors: &mut FieldErrors) {
    for (index, name) in items(&names[field]).iter().map(text).enumerate() {
        is_label(name, name, "", path.child(field).index(index), errors);
    }
}

fn is_label(given: &str, label: &str, prefix: &str, path: Path, errors: &mut FieldErrors) {
    let faults = names::dns_1035(label);
    if !faults.is_empty() {
        errors.push(FieldError::invalid(path, given, format!("{prefix}{}", faults.join(","))));
    }
}

pub(super) fn validate_status(crd: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let path = Path::new("status").child("acceptedNames");
    valid_names(&crd["status"]["acceptedNames"], &path, &mut errors);
    errors
}

pub(super) fn stored_versions(crd: &Value, errors: &mut FieldErrors) {
    let (stored, path) = (&crd["status"]["storedVersions"], Path::new("status").child("storedVersions"));
    let listed: Vec<&str> = items(stored).iter().map(text).collect();
    if listed.is_empty() {
        errors.push(FieldError::invalid(path, stored.clone(), "must have at least one stored version"));
        return;
    }
    let versions = items(&crd["spec"]["versions"]);
    for version in versions.iter().filter(|version| flag(&version["storage"])) {
        let name = text(&version["name"]);
        if !listed.contains(&name) {
            let detail = format!("must have the storage version {name}");
            errors.push(FieldError::invalid(path.clone(), stored.clone(), detail));
        }
    }
    for (index, name) in listed.iter().enumerate() {
        if !versions.iter().any(|version| text(&version["name"]) == *name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errors.push(FieldError::invalid(path.index(index), *name, detail));
        }
    }
}

pub(super) fn approval(new: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
    if !is_protected(text(&new["spec"]["group"])) {
        return;
    }
    let (state, told) = approval_state(new);
    if old.is_some_and(|old| approval_state(old).0 == state) {
        return;
    }
    let path = Path::new("metadata").child("annotations").key(ANNOTATION);
    let annotation = text(&new["metadata"]["annotations"][ANNOTATION]);
    match state {
        Approval::Missing => errors.push(FieldError::required(path, told)),
        Approval::Invalid => errors.push(FieldError::invalid(path, annotation, told)),
        Approval::Bypassed | Approval::Approved => {}
    }
}

pub(super) fn preserve_unknown_fields(new: &Value, old: Option<&Value>, errors: &mut FieldErrors) {
    let preserves = |crd: &Value| flag(&crd["spec"]["preserveUnknownFields"]);
    if preserves(new) && !old.is_some_and(preserves) {
        let path = Path::new("spec").child("preserveUnknownFields");
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema \
                      instead";
        errors.push(FieldError::invalid(path, true, detail));
    }
}
