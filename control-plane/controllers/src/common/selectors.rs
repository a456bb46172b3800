//! Typed label selectors.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as TypedSelector;
use oarlock_api::selector::{LabelSelector, SelectorError};

/// The matcher of a typed selector; an absent one selects nothing.
pub(crate) fn matcher(selector: Option<&TypedSelector>) -> Result<LabelSelector, SelectorError> {
    let value = selector.map(|selector| serde_json::to_value(selector).expect("a selector is plain data"));
    LabelSelector::from_value(&value.unwrap_or_default())
}

/// Whether a selector has no terms, and so would select everything.
pub(crate) fn is_empty(selector: &TypedSelector) -> bool {
    selector.match_labels.as_ref().is_none_or(|labels| labels.is_empty())
        && selector.match_expressions.as_ref().is_none_or(|terms| terms.is_empty())
}
