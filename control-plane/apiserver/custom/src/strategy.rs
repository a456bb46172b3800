//! A version of a custom resource as a strategy of the generic registry. Objects are checked in the version that the
//! request speaks, old ones converted to it.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;
use oarlock_api::field::Fault;
use oarlock_api::selector::{dns1123_subdomain_faults, qualified_name_faults};
use oarlock_api::{FieldError, FieldErrors, Path, meta};
use oarlock_apiserver_kinds::{Context, Strategy};
use parking_lot::Mutex;
use serde_json::Value;

use crate::compile::{Compiled, CustomVersion};
use crate::correlate::Correlated;
use crate::rules::RUNTIME_BUDGET;
use crate::value::{strings, text};
use crate::{embedded, validate};

/// Finalizers that have no group.
const STANDARD_FINALIZERS: [&str; 3] = ["orphan", "foregroundDeletion", "kubernetes"];

const UNCHECKED: &str = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

/// Warnings wait here between the two halves of a request; more than this many at once are not told.
const WAITING_MAX: usize = 64;

pub(crate) struct CustomStrategy {
    version: Arc<CustomVersion>,
    /// What rules object to in parts that did not change, by the revision it was said of, until the registry asks for
    /// warnings: rules are dear, and not asked twice.
    forgiven: Mutex<VecDeque<(String, Vec<String>)>>,
}

impl CustomStrategy {
    pub(crate) fn new(version: Arc<CustomVersion>) -> Self {
        Self { version, forgiven: Mutex::default() }
    }

    fn check_type(&self, object: &Value) -> FieldErrors {
        let wanted = [("kind", &*self.version.gvk.kind), ("apiVersion", self.version.api_version.as_str())];
        let wrong = wanted.into_iter().filter(|(field, wanted)| text(&object[*field]) != *wanted);
        let told = |(field, wanted): (&str, &str)| {
            FieldError::invalid(Path::new(field), text(&object[field]), format!("must be {wanted}"))
        };
        wrong.map(told).collect()
    }

    fn check_scale(&self, object: &Value, spec_too: bool, errors: &mut FieldErrors) {
        if let Some(scale) = &self.version.scale {
            if spec_too {
                scale.check_spec(object, errors);
            }
            scale.check_status(object, errors);
        }
    }

    /// The rules of the schema, where nothing is so wrong that they could not be asked. Gives what rules object to in
    /// parts that did not change.
    fn check_rules(&self, new: &Value, old: Option<&Value>, errors: &mut FieldErrors) -> Vec<String> {
        let compiled = self.version.compiled();
        let Some(rules) = &compiled.rules else { return Vec::new() };
        if errors.iter().any(is_blocking) {
            errors.push(FieldError::invalid(Path::root(), Value::Null, UNCHECKED));
            return Vec::new();
        }
        let correlated = old.map(|old| Correlated { schema: &compiled.schema, new, old });
        let found = rules.check(&Path::root(), new, old, correlated, RUNTIME_BUDGET);
        errors.extend(found.errors);
        found.forgiven
    }

    fn check_update(&self, context: &Context<'_>, new: &Value, old: &Value) -> FieldErrors {
        let wrong = self.check_type(new);
        if !wrong.is_empty() {
            return wrong;
        }
        let compiled = self.version.compiled();
        let status_only = context.subresource == "status";
        let mut errors = FieldErrors::new();
        if status_only {
            check_status(compiled, new, old, &mut errors);
        } else {
            errors.extend(validate_object(compiled, new, Some(old)));
        }
        self.check_scale(new, !status_only, &mut errors);
        if !status_only {
            check_embedded(compiled, new, &mut errors);
        }
        if check_lists(compiled, old).is_empty() {
            errors.extend(check_lists(compiled, new));
        }
        let forgiven = self.check_rules(new, Some(old), &mut errors);
        if errors.is_empty() && !forgiven.is_empty() {
            let mut waiting = self.forgiven.lock();
            waiting.truncate(WAITING_MAX - 1);
            waiting.push_front((revision_of(old), forgiven));
        }
        errors
    }

    /// What was forgiven of this update, once.
    fn take_forgiven(&self, old: &Value) -> Vec<String> {
        let mut waiting = self.forgiven.lock();
        if waiting.is_empty() {
            return Vec::new();
        }
        let revision = revision_of(old);
        let found = waiting.iter().position(|(of, _)| *of == revision);
        found.and_then(|at| waiting.remove(at)).map(|(_, told)| told).unwrap_or_default()
    }
}

fn revision_of(object: &Value) -> String {
    format!("{}/{}", meta::uid(object), meta::resource_version(object))
}

fn validate_object(compiled: &Compiled, new: &Value, old: Option<&Value>) -> FieldErrors {
    if !compiled.has_schema {
        return FieldErrors::new();
    }
    validate::validate(&compiled.schema, &compiled.patterns, new, old, &Path::root())
}

fn check_embedded(compiled: &Compiled, object: &Value, errors: &mut FieldErrors) {
    if compiled.has_embedded {
        embedded::check(&compiled.schema, object, false, &Path::root(), errors);
    }
}

fn check_lists(compiled: &Compiled, object: &Value) -> FieldErrors {
    let mut errors = FieldErrors::new();
    if compiled.has_lists {
        validate::check_lists(&compiled.schema, object, &Path::root(), &mut errors);
    }
    errors
}

fn check_status(compiled: &Compiled, new: &Value, old: &Value, errors: &mut FieldErrors) {
    if let (Some(schema), Some(status)) = (compiled.schema.properties.get("status"), new.get("status")) {
        let path = Path::new("status");
        errors.extend(validate::validate(schema, &compiled.patterns, status, old.get("status"), &path));
    }
}

/// What keeps rules from being asked.
fn is_blocking(error: &FieldError) -> bool {
    matches!(
        error.fault,
        Fault::NotSupported { .. }
            | Fault::Required { .. }
            | Fault::TooLong { .. }
            | Fault::TooMany { .. }
            | Fault::TypeInvalid { .. }
    )
}

fn check_name(object: &Value, errors: &mut FieldErrors) {
    let path = Path::new("metadata");
    let base = meta::generate_name(object);
    if !base.is_empty() {
        let as_name = base.strip_suffix('-').map_or_else(|| base.to_string(), |head| format!("{head}a"));
        let faults = dns1123_subdomain_faults(&as_name).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(path.child("generateName"), base, fault)));
    }
    let name = meta::name(object);
    if !name.is_empty() {
        let faults = dns1123_subdomain_faults(name).into_iter();
        errors.extend(faults.map(|fault| FieldError::invalid(path.child("name"), name, fault)));
    }
}

fn without_metadata(object: &Value) -> impl Iterator<Item = (&String, &Value)> {
    object.as_object().into_iter().flatten().filter(|(name, _)| *name != "metadata")
}

/// Warnings for finalizers that were added and have no domain.
fn finalizer_warnings(new: &Value, old: Option<&Value>) -> Vec<String> {
    let had = old.map(|old| strings(&old["metadata"]["finalizers"])).unwrap_or_default();
    let mut added = strings(&new["metadata"]["finalizers"]);
    added.retain(|finalizer| !had.contains(finalizer));
    added.sort();
    let mut told = Vec::new();
    for finalizer in added {
        let head = format!("metadata.finalizers: {finalizer:?}: ");
        told.extend(qualified_name_faults(&finalizer).into_iter().map(|fault| format!("{head}{fault}")));
        if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer.as_str()) {
            let path = if finalizer.contains('.') { " including a path (/)" } else { "" };
            told.push(format!(
                "{head}prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer \
                 writers"
            ));
        }
    }
    told
}

impl Strategy for CustomStrategy {
    fn prepare_for_create(&self, _context: &Context<'_>, object: &mut Value) {
        if self.version.status
            && let Value::Object(fields) = object
        {
            fields.remove("status");
        }
    }

    fn validate_create(&self, _context: &Context<'_>, object: &Value) -> FieldErrors {
        let mut errors = self.check_type(object);
        if !errors.is_empty() {
            return errors;
        }
        let compiled = self.version.compiled();
        check_name(object, &mut errors);
        errors.extend(validate_object(compiled, object, None));
        self.check_scale(object, true, &mut errors);
        check_embedded(compiled, object, &mut errors);
        errors.extend(check_lists(compiled, object));
        self.check_rules(object, None, &mut errors);
        errors
    }

    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value) -> FieldErrors {
        self.check_update(context, new, old)
    }

    fn warnings(&self, _context: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut told = finalizer_warnings(new, old);
        told.extend(old.map(|old| self.take_forgiven(old)).unwrap_or_default());
        told
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        !without_metadata(new).eq(without_metadata(old))
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn keeps_status_on_create(&self) -> bool {
        !self.version.status
    }

    fn allow_unconditional_update(&self) -> bool {
        false
    }

    fn named_fields(&self, object: &Value) -> Vec<(Arc<str>, String)> {
        self.version.selectable_fields(object)
    }

    fn table_cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        Some(self.version.table_cells(object, now))
    }
}
