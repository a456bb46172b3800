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

/// As upstream's messages print a selector (Go's `%v` of it).
pub(crate) fn print(selector: Option<&TypedSelector>) -> String {
    let Some(selector) = selector else { return "nil".into() };
    let labels = selector.match_labels.iter().flatten();
    let labels: String = labels.map(|(key, value)| format!("{key}: {value},")).collect();
    let terms = selector.match_expressions.iter().flatten();
    let terms: String = terms
        .map(|term| {
            let values = term.values.as_deref().unwrap_or_default().join(" ");
            format!(
                "LabelSelectorRequirement{{Key:{},Operator:{},Values:[{values}],}},",
                term.key, term.operator
            )
        })
        .collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},MatchExpressions:[]LabelSelectorRequirement{{{terms}}},}}"
    )
}
