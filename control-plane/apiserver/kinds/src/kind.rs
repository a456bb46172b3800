//! A built-in kind as data: what differs from a plain kind stands in its row, the rest is [`Kind::PLAIN`].

use jiff::Timestamp;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::names::Faults;
use crate::strategy::{Context, GracefulDelete, SelectableField, Strategy};
use crate::value::{keep, text};
use crate::{check, names};

/// What the endpoint of a status would change, but may not. (`ResetObjectMetaForStatus`)
pub(crate) const STATUS_ALONE: &[&str] = &["labels", "annotations", "finalizers", "ownerReferences"];

type Cells = fn(&Value, Timestamp) -> Vec<Value>;

pub(crate) struct Kind {
    pub(crate) generation: bool,
    pub(crate) generation_changes: Option<fn(&Value, &Value) -> bool>,
    pub(crate) create_on_update: bool,
    pub(crate) unconditional_update: bool,
    pub(crate) keeps_status_on_create: bool,
    pub(crate) propagation: &'static str,
    pub(crate) prepare_create: fn(&Context<'_>, &mut Value),
    pub(crate) prepare_update: fn(&Context<'_>, &mut Value, &Value),
    /// Of the metadata, what `/status` leaves as it was.
    pub(crate) status_keeps: &'static [&'static str],
    /// The syntax of a new object's name.
    pub(crate) name: fn(&str) -> Faults,
    /// Whole objects, new and changed; not what comes by `/status`.
    pub(crate) validate: fn(&Value, &mut FieldErrors),
    /// What depends on the version of the request; new objects and changed ones.
    pub(crate) validate_version: fn(&Context<'_>, &Value, Option<&Value>, &mut FieldErrors),
    /// What only a new object may not have.
    pub(crate) validate_new: fn(&Value, &mut FieldErrors),
    /// New against old, whatever endpoint it comes by.
    pub(crate) changes: fn(&Context<'_>, &Value, &Value, &mut FieldErrors),
    /// Texts for `Warning:` headers; not asked of `/status`.
    pub(crate) warn: fn(&Value, Option<&Value>, &mut Vec<String>),
    pub(crate) canonicalize: fn(&mut Value),
    pub(crate) delete: fn(&Value, Option<i64>) -> GracefulDelete,
    pub(crate) fields: fn(&Value) -> Vec<SelectableField>,
    pub(crate) cells: Option<Cells>,
}

impl Kind {
    pub(crate) const PLAIN: Self = Self {
        generation: false,
        generation_changes: None,
        create_on_update: false,
        unconditional_update: true,
        keeps_status_on_create: false,
        propagation: "Background",
        prepare_create: |_, _| {},
        prepare_update: |_, _, _| {},
        status_keeps: &[],
        name: names::subdomain,
        validate: |_, _| {},
        validate_version: |_, _, _, _| {},
        validate_new: |_, _| {},
        changes: |_, _, _, _| {},
        warn: |_, _, _| {},
        canonicalize: |_| {},
        delete: |_, _| GracefulDelete::Immediate,
        fields: |_| Vec::new(),
        cells: None,
    };

    /// A plain kind that counts changes of its spec.
    pub(crate) const COUNTED: Self = Self { generation: true, ..Self::PLAIN };

    /// A plain kind that a PUT must say the version of.
    pub(crate) const CONDITIONAL: Self = Self { unconditional_update: false, ..Self::PLAIN };

    pub(crate) const COUNTED_CONDITIONAL: Self = Self { generation: true, ..Self::CONDITIONAL };
}

impl Kind {
    fn check_name(&self, object: &Value, errors: &mut FieldErrors) {
        let (meta, path) = (&object["metadata"], Path::new("metadata"));
        let base = text(&meta["generateName"]);
        if !base.is_empty() {
            let faults = (self.name)(&names::as_prefix(base)).into_iter();
            errors.extend(faults.map(|fault| FieldError::invalid(path.child("generateName"), base, fault)));
        }
        check::optional(&meta["name"], self.name, &path.child("name"), errors);
    }
}

impl Strategy for Kind {
    fn prepare_for_create(&self, context: &Context<'_>, object: &mut Value) {
        (self.prepare_create)(context, object);
    }

    fn prepare_for_update(&self, context: &Context<'_>, new: &mut Value, old: &Value) {
        if context.subresource == "status" {
            for field in self.status_keeps {
                keep(&mut new["metadata"], &old["metadata"], field);
            }
        }
        (self.prepare_update)(context, new, old);
    }

    fn validate_create(&self, context: &Context<'_>, object: &Value) -> FieldErrors {
        let mut errors = FieldErrors::new();
        self.check_name(object, &mut errors);
        (self.validate)(object, &mut errors);
        (self.validate_version)(context, object, None, &mut errors);
        (self.validate_new)(object, &mut errors);
        errors
    }

    fn validate_update(&self, context: &Context<'_>, new: &Value, old: &Value) -> FieldErrors {
        let mut errors = FieldErrors::new();
        if context.subresource != "status" {
            (self.validate)(new, &mut errors);
            (self.validate_version)(context, new, Some(old), &mut errors);
        }
        (self.changes)(context, new, old, &mut errors);
        errors
    }

    fn warnings(&self, context: &Context<'_>, new: &Value, old: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        if context.subresource != "status" {
            (self.warn)(new, old, &mut warnings);
        }
        warnings
    }

    fn canonicalize(&self, object: &mut Value) {
        (self.canonicalize)(object);
    }

    fn generation_changes(&self, new: &Value, old: &Value) -> bool {
        self.generation_changes.map_or_else(|| content_differs(new, old), |changes| changes(new, old))
    }

    fn has_generation(&self) -> bool {
        self.generation
    }

    fn keeps_status_on_create(&self) -> bool {
        self.keeps_status_on_create
    }

    fn allow_create_on_update(&self) -> bool {
        self.create_on_update
    }

    fn allow_unconditional_update(&self) -> bool {
        self.unconditional_update
    }

    fn graceful_delete(&self, object: &Value, grace: Option<i64>) -> GracefulDelete {
        (self.delete)(object, grace)
    }

    fn default_propagation(&self) -> &'static str {
        self.propagation
    }

    fn selectable_fields(&self, object: &Value) -> Vec<SelectableField> {
        (self.fields)(object)
    }

    fn table_cells(&self, object: &Value, now: Timestamp) -> Option<Vec<Value>> {
        self.cells.map(|cells| cells(object, now))
    }
}

/// Whether anything but metadata and status differs.
pub(crate) fn content_differs(new: &Value, old: &Value) -> bool {
    crate::value::differ_but(new, old, &["metadata", "status", "apiVersion", "kind"])
}
