//! What an endpoint does not let its writers own: fields that it resets whatever they send.

use super::element::Element;
use super::fields::FieldSet;

/// The fields of one endpoint that nobody owns through it.
#[derive(Debug, Clone, Default)]
pub enum Reset {
    #[default]
    Nothing,
    /// These, and everything below them: `status` on the main resource, `spec` on `/status`.
    Fields(FieldSet<'static>),
    /// Everything but what these paths lead to; `*` stands for any element.
    AllBut(Vec<Vec<&'static str>>),
}

impl Reset {
    /// Resets these fields and everything below them.
    pub fn fields(paths: &[&[&'static str]]) -> Self {
        Self::Fields(FieldSet::of_fields(paths))
    }

    /// Resets everything but these; `*` stands for any element.
    pub fn all_but(paths: &[&[&'static str]]) -> Self {
        Self::AllBut(paths.iter().map(|path| path.to_vec()).collect())
    }

    pub(super) fn apply(&self, set: &mut FieldSet<'_>) {
        match self {
            Self::Nothing => {}
            Self::Fields(fields) => set.subtract_below(fields),
            Self::AllBut(paths) => {
                let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
                keep(set, &paths);
            }
        }
    }
}

fn keep(set: &mut FieldSet<'_>, paths: &[&[&str]]) {
    set.entries.retain_mut(|entry| {
        let fits = |step: &str| match &entry.element {
            Element::Field(name) => step == "*" || step == name,
            _ => step == "*",
        };
        let matching = paths.iter().filter_map(|path| path.split_first());
        let rest: Vec<&[&str]> = matching.filter(|(step, _)| fits(step)).map(|(_, rest)| rest).collect();
        if rest.is_empty() {
            return false;
        }
        if rest.iter().all(|path| !path.is_empty()) {
            keep(&mut entry.below, &rest);
        }
        entry.member || !entry.below.is_empty()
    });
}
