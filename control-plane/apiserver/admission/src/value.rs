//! Short reads of dynamic objects, and words for what is wrong with them.

pub(crate) use oarlock_api::value::{items, name, text, texts};

/// As Go prints an aggregate of errors.
pub(crate) fn aggregate(errors: &[String]) -> String {
    match errors {
        [one] => one.clone(),
        many => format!("[{}]", many.join(", ")),
    }
}
