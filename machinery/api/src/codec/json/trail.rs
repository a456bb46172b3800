//! The way from the root of an object to where a reader stands: links on the stack, printed only when needed.

use crate::table::{FieldKind, Member, Table, Type};

/// Where we are, innermost last.
pub(super) struct Trail<'a> {
    parent: Option<&'a Trail<'a>>,
    step: Step<'a>,
}

pub(super) enum Step<'a> {
    Root,
    /// A field, and the type that it belongs to.
    Field(&'static str, &'a Type),
    Index(usize),
    Key(&'a str),
}

impl<'a> Trail<'a> {
    pub(super) fn root() -> Self {
        Self { parent: None, step: Step::Root }
    }

    pub(super) fn then(&'a self, step: Step<'a>) -> Trail<'a> {
        Trail { parent: Some(self), step }
    }

    /// `spec.containers[0].name`; keys of maps count as names.
    pub(super) fn strict_path(&self, last: &str) -> String {
        let mut path = self.parent.map(|parent| parent.strict_path("")).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Field(name, _) | Step::Key(name) => push_name(&mut path, name),
            Step::Index(index) => path.push_str(&format!("[{index}]")),
        }
        if !last.is_empty() {
            push_name(&mut path, last);
        }
        path
    }

    /// Whether a field on the way reads itself upstream, and takes what it does not know in silence.
    pub(super) fn lenient(&self) -> bool {
        let here = match self.step {
            Step::Field(name, ty) => ty.field(name).is_some_and(|field| {
                use FieldKind::{SchemaOrArray, SchemaOrBool, SchemaOrStrings};
                matches!(field.kind, SchemaOrArray(_) | SchemaOrBool(_) | SchemaOrStrings(_))
            }),
            _ => false,
        };
        here || self.parent.is_some_and(Trail::lenient)
    }

    /// The names of the fields only, as Go's type errors have them, and the innermost struct. An inlined struct is told by its
    /// Go name.
    pub(super) fn go_path(&self, table: &Table) -> (String, Option<&'static str>) {
        let (mut path, mut owner) = self.parent.map(|parent| parent.go_path(table)).unwrap_or_default();
        if let Step::Field(name, ty) = self.step {
            push_embedded(table, ty, name, &mut path);
            push_name(&mut path, name);
            owner = Some(ty.short_name());
        }
        (path, owner)
    }

    /// The name that Go gives to the list or map that the last step leads to.
    pub(super) fn go_name(&self) -> Option<&'static str> {
        match self.step {
            Step::Field(name, ty) => ty.field(name)?.go_name(),
            _ => None,
        }
    }
}

/// The inlined structs through which a field belongs to a type.
fn push_embedded(table: &Table, ty: &Type, name: &str, path: &mut String) {
    if !ty.field(name).is_some_and(crate::table::Field::inlined) {
        return;
    }
    let inlined = ty.members.iter().filter_map(|member| match member {
        Member::Inline { ty, .. } => Some(table.ty(*ty)),
        Member::Field(_) => None,
    });
    if let Some(inner) = inlined.into_iter().find(|inner| inner.field(name).is_some()) {
        push_name(path, inner.short_name());
        push_embedded(table, inner, name, path);
    }
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}
