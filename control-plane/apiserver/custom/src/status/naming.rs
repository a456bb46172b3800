//! Which of the names that a definition asks for it gets: a name belongs to who had it first.

use std::collections::BTreeSet;

use jiff::Timestamp;
use oarlock_api::meta;
use serde_json::{Value, json};

use super::conditions::{Condition, set};
use crate::value::{condition, condition_is_true, items, strings, text};

/// Names of the group that other definitions have.
#[derive(Default)]
pub(super) struct Taken<'c> {
    resources: BTreeSet<&'c str>,
    kinds: BTreeSet<&'c str>,
}

impl<'c> Taken<'c> {
    /// What a definition itself has been given does not stand in its way.
    pub(super) fn by_others(crd: &Value, all: impl IntoIterator<Item = &'c Value>) -> Self {
        let mut taken = Self::default();
        let (group, name) = (text(&crd["spec"]["group"]), meta::name(crd));
        for other in all
            .into_iter()
            .filter(|other| text(&other["spec"]["group"]) == group && meta::name(other) != name)
        {
            let names = &other["status"]["acceptedNames"];
            taken.resources.extend([text(&names["plural"]), text(&names["singular"])]);
            taken.resources.extend(items(&names["shortNames"]).iter().map(text));
            taken.kinds.extend([text(&names["kind"]), text(&names["listKind"])]);
        }
        taken
    }
}

/// Accepts the names that are free and says which are not.
pub(super) fn accept(crd: &mut Value, taken: &Taken<'_>, now: Timestamp) {
    let wanted = crd["spec"]["names"].clone();
    let had = crd["status"]["acceptedNames"].clone();
    let mut accepted = if had.is_object() { had.clone() } else { json!({"plural": "", "kind": ""}) };
    let mut refused: Option<(&'static str, String)> = None;
    let conflict = |field: &str, taken: &BTreeSet<&str>| {
        let (name, had) = (text(&wanted[field]), text(&had[field]));
        (name != had && taken.contains(name)).then(|| format!("{name:?} is already in use"))
    };
    // Of several conflicts the last is told.
    for (field, reason, told) in [
        ("plural", "PluralConflict", conflict("plural", &taken.resources)),
        ("singular", "SingularConflict", conflict("singular", &taken.resources)),
        ("shortNames", "ShortNamesConflict", short_names(&wanted, &had, taken)),
        ("kind", "KindConflict", conflict("kind", &taken.kinds)),
        ("listKind", "ListKindConflict", conflict("listKind", &taken.kinds)),
        ("categories", "", None),
    ] {
        match told {
            Some(told) => refused = Some((reason, told)),
            None => take(&mut accepted, &wanted, field),
        }
    }
    crd["status"]["acceptedNames"] = accepted;
    tell(crd, refused, now);
}

/// Whether names are to be decided.
pub(super) fn asks(crd: &Value) -> bool {
    waits_for_names(crd) || condition(crd, "NamesAccepted").is_none()
}

/// Whether a definition does not have all names that it asks for: it is to be planned again when others change.
pub fn waits_for_names(crd: &Value) -> bool {
    crd["spec"]["names"] != crd["status"]["acceptedNames"]
}

fn take(accepted: &mut Value, wanted: &Value, field: &str) {
    match wanted.get(field) {
        Some(value) => accepted[field] = value.clone(),
        None => {
            accepted.as_object_mut().expect("accepted names are an object").remove(field);
        }
    }
}

fn short_names(wanted: &Value, had: &Value, taken: &Taken<'_>) -> Option<String> {
    let had = strings(&had["shortNames"]);
    let wanted = strings(&wanted["shortNames"]);
    let new = wanted.iter().filter(|name| !had.contains(name));
    let told: Vec<String> = new
        .filter(|name| taken.resources.contains(name.as_str()))
        .map(|name| format!("{name:?} is already in use"))
        .collect();
    match told.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

fn tell(crd: &mut Value, refused: Option<(&'static str, String)>, now: Timestamp) {
    let accepted = refused.is_none();
    let (reason, message) = refused.unwrap_or(("NoConflicts", "no conflicts found".into()));
    let status = if accepted { "True" } else { "False" };
    set(crd, Condition { kind: "NamesAccepted", status, reason, message }, now);
    if condition_is_true(crd, "Established") {
        return;
    }
    let (reason, message) = if accepted {
        ("Installing", "the initial names have been accepted")
    } else if condition(crd, "Established").is_some() {
        return;
    } else {
        ("NotAccepted", "not all names are accepted")
    };
    set(crd, Condition { kind: "Established", status: "False", reason, message: message.into() }, now);
}
