//! Field selectors: `metadata.name=a,spec.nodeName!=b`.

use std::fmt;
use std::str::FromStr;

/// A selector that cannot be read; the message is upstream's (answered as 400).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldSelectorError {
    #[error("invalid selector: '{selector}'; can't understand '{part}'")]
    Term { selector: String, part: String },
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    #[error("invalid field selector: unescaped character in value: {0}")]
    Unescaped(u32),
}

/// `field = value`, or `field != value`. A field that an object lacks is the empty string.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldRequirement {
    pub field: String,
    pub value: String,
    pub negated: bool,
}

/// All requirements hold. The default selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    pub fn everything() -> Self {
        Self::default()
    }

    /// `metadata.name=NAME`, and the like.
    pub fn equals(field: &str, value: &str) -> Self {
        Self::from_requirements(vec![FieldRequirement {
            field: field.to_string(),
            value: value.to_string(),
            negated: false,
        }])
    }

    pub fn from_requirements(requirements: Vec<FieldRequirement>) -> Self {
        Self { requirements }
    }

    /// The query parameter's form. In values `\`, `,` and `=` are escaped by `\`.
    pub fn parse(selector: &str) -> Result<Self, FieldSelectorError> {
        let mut parts = split_terms(selector);
        parts.sort_unstable();
        let mut requirements = Vec::with_capacity(parts.len());
        for part in parts {
            if part.is_empty() {
                continue;
            }
            let Some((field, negated, value)) = split_term(part) else {
                return Err(FieldSelectorError::Term {
                    selector: selector.to_string(),
                    part: part.to_string(),
                });
            };
            requirements.push(FieldRequirement {
                field: field.to_string(),
                value: unescape(value)?,
                negated,
            });
        }
        Ok(Self { requirements })
    }

    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// The value that `field` must equal, where the selector says so.
    pub fn required(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|r| !r.negated && r.field == field).map(|r| r.value.as_str())
    }

    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| (field(&r.field).unwrap_or_default() == r.value) != r.negated)
    }
}

impl FromStr for FieldSelector {
    type Err = FieldSelectorError;

    fn from_str(text: &str) -> Result<Self, FieldSelectorError> {
        Self::parse(text)
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, r) in self.requirements.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let operator = if r.negated { "!=" } else { "=" };
            write!(f, "{comma}{}{operator}{}", r.field, escape(&r.value))?;
        }
        Ok(())
    }
}

/// Cuts at commas that no backslash precedes.
fn split_terms(selector: &str) -> Vec<&str> {
    if selector.is_empty() {
        return Vec::new();
    }
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, byte) in selector.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                terms.push(&selector[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&selector[start..]);
    terms
}

/// Field, whether negated, and the value as written.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    for (i, _) in term.char_indices() {
        let rest = &term[i..];
        for (operator, negated) in [("!=", true), ("==", false), ("=", false)] {
            if let Some(value) = rest.strip_prefix(operator) {
                return Some((&term[..i], negated, value));
            }
        }
    }
    None
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn unescape(value: &str) -> Result<String, FieldSelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(FieldSelectorError::Escape(format!("\\{c}"))),
                None => return Err(FieldSelectorError::Escape("\\".to_string())),
            },
            ',' | '=' => return Err(FieldSelectorError::Unescaped(c as u32)),
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_read_and_printed() {
        let cases = [
            ("", ""),
            ("a=b", "a=b"),
            ("c==d,a!=b", "a!=b,c=d"),
            (",,a=b,", "a=b"),
            (r"a=x\,y\=z\\", r"a=x\,y\=z\\"),
            ("a=", "a="),
            ("a", "!invalid selector: 'a'; can't understand 'a'"),
            (r"a=\x", r"!invalid field selector: invalid escape sequence: \x"),
            ("a=b=c", "!invalid field selector: unescaped character in value: 61"),
        ];
        for (text, expected) in cases {
            let printed = match FieldSelector::parse(text) {
                Ok(selector) => selector.to_string(),
                Err(error) => format!("!{error}"),
            };
            assert_eq!(printed, expected, "{text}");
        }
    }

    #[test]
    fn fields_are_matched() {
        let fields = |name: &str| match name {
            "spec.nodeName" => Some("n1"),
            "metadata.name" => Some("web"),
            _ => None,
        };
        let cases = [
            ("", true),
            ("spec.nodeName=n1", true),
            ("spec.nodeName=n1,metadata.name!=db", true),
            ("spec.nodeName!=n1", false),
            ("status.phase=", true),
            ("status.phase!=Running", true),
        ];
        for (text, expected) in cases {
            assert_eq!(FieldSelector::parse(text).expect(text).matches(fields), expected, "{text}");
        }
        let selector = FieldSelector::parse("spec.nodeName=n1,metadata.name!=db").expect("it is well formed");
        assert_eq!(selector.required("spec.nodeName"), Some("n1"));
        assert_eq!(selector.required("metadata.name"), None);
    }

    proptest! {
        #[test]
        fn any_value_survives_its_text(field in "[a-z.]{1,6}", value in "\\PC{0,12}", negated: bool) {
            let selector = FieldSelector::from_requirements(vec![FieldRequirement { field, value, negated }]);
            prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _read = FieldSelector::parse(&text).is_ok();
        }
    }
}
