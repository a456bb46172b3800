//! The way from the root of an object to where a reader stands: links on the stack, printed only when needed.

use crate::table::Type;

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

    /// The names of the fields only, as Go's type errors have them, and the innermost struct.
    pub(super) fn go_path(&self) -> (String, Option<&'static str>) {
        let (mut path, mut owner) = self.parent.map(Trail::go_path).unwrap_or_default();
        if let Step::Field(name, ty) = self.step {
            push_name(&mut path, name);
            owner = Some(ty.short_name());
        }
        (path, owner)
    }
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}
