//! Label and field selectors.

use std::collections::BTreeMap;

use oarlock_api::selector::{FieldSelector, LabelSelector};

use crate::Seen;

pub(super) const WORDS: &[&str] = &[
    "=",
    "==",
    "!=",
    " in ",
    " notin ",
    "(",
    ")",
    ",",
    "!",
    ">",
    "<",
    "a",
    "app.kubernetes.io/name",
    "metadata.name",
    "\\,",
    "\\=",
    "\\\\",
    "a in (b,c)",
    "!a",
    "x>1",
    " ",
];

pub(super) fn label(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let parsed = LabelSelector::parse(&text);
    let seen = Seen::NOTHING.result("parse", &parsed);
    let Ok(parsed) = parsed else { return seen };
    let printed = parsed.to_string();
    let again = LabelSelector::parse(&printed).unwrap_or_else(|e| panic!("{printed:?} of {text:?}: {e}"));
    assert_eq!(again.to_string(), printed);
    for (key, value) in [("a", "b"), ("app.kubernetes.io/name", "1"), ("", "")] {
        let labels = serde_json::json!({"metadata": {"labels": {key: value}}});
        assert_eq!(parsed.matches_object(&labels), again.matches_object(&labels), "{printed:?}");
    }
    seen.and("requirements", parsed.requirements().len().min(3))
}

pub(super) fn field(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let parsed = FieldSelector::parse(&text);
    let seen = Seen::NOTHING.result("parse", &parsed);
    let Ok(parsed) = parsed else { return seen };
    let printed = parsed.to_string();
    let again = FieldSelector::parse(&printed).unwrap_or_else(|e| panic!("{printed:?} of {text:?}: {e}"));
    assert_eq!(again.requirements().len(), parsed.requirements().len(), "{printed:?} of {text:?}");
    let fields = BTreeMap::from([("metadata.name", "a"), ("a", "b")]);
    let value = |name: &str| fields.get(name).copied();
    assert_eq!(parsed.matches(value), again.matches(value), "{printed:?} of {text:?}");
    seen
}
