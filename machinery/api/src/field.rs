//! Where in an object something is wrong, and what: the paths and messages of field validation.

use std::fmt;

use serde_json::Value;

use crate::go;

/// A path into an object, as users read it: `spec.containers[0].ports[name]`.
///
/// Validation walks whole objects and seldom finds a fault, so a path of usual length is built without allocating.
#[derive(Clone, Default)]
pub struct Path(Text);

/// Longer than nearly every path of a built-in kind.
const INLINE_MAX: usize = 94;

#[derive(Clone)]
enum Text {
    Inline { len: u8, bytes: [u8; INLINE_MAX] },
    Heap(String),
}

impl Default for Text {
    fn default() -> Self {
        Self::Inline { len: 0, bytes: [0; INLINE_MAX] }
    }
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Self::Inline { len, bytes } => {
                std::str::from_utf8(&bytes[..usize::from(*len)]).expect("only whole texts are pushed")
            }
            Self::Heap(text) => text,
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Inline { len: 0, .. })
    }

    fn push(&mut self, text: &str) {
        match self {
            Self::Inline { len, bytes } => {
                let start = usize::from(*len);
                let end = start + text.len();
                if end <= INLINE_MAX {
                    bytes[start..end].copy_from_slice(text.as_bytes());
                    *len = u8::try_from(end).expect("the most that is kept inline is less than 256");
                } else {
                    let mut long = String::with_capacity(end + INLINE_MAX);
                    long.push_str(self.as_str());
                    long.push_str(text);
                    *self = Self::Heap(long);
                }
            }
            Self::Heap(long) => long.push_str(text),
        }
    }

    fn push_number(&mut self, mut number: usize) {
        let mut digits = [0_u8; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            digits[first] = b'0' + u8::try_from(number % 10).expect("a digit");
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(std::str::from_utf8(&digits[first..]).expect("digits are ASCII"));
    }
}

impl Path {
    /// The path of the object itself; printed as `<nil>` where upstream does.
    pub fn root() -> Self {
        Self::default()
    }

    pub fn new(name: &str) -> Self {
        Self::root().child(name)
    }

    /// `spec` → `spec.replicas`.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let mut longer = self.clone();
        if !longer.0.is_empty() {
            longer.0.push(".");
        }
        longer.0.push(name);
        longer
    }

    /// `containers` → `containers[2]`.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut longer = self.clone();
        longer.0.push("[");
        longer.0.push_number(index);
        longer.0.push("]");
        longer
    }

    /// `labels` → `labels[app]`.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        let mut longer = self.clone();
        longer.0.push("[");
        longer.0.push(key);
        longer.0.push("]");
        longer
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Path {}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Path({:?})", self.as_str())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "<nil>" } else { self.as_str() })
    }
}

/// What is wrong with a field. The variants are the cause types of a Status.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    NotFound {
        value: Value,
    },
    Required {
        detail: String,
    },
    Duplicate {
        value: Value,
    },
    Invalid {
        value: Value,
        detail: String,
    },
    /// The value is not told: it is a whole object or list.
    InvalidOmitted {
        detail: String,
    },
    DuplicateOmitted,
    TypeInvalid {
        value: Value,
        detail: String,
    },
    NotSupported {
        value: Value,
        supported: Vec<String>,
    },
    Forbidden {
        detail: String,
    },
    TooLong {
        max_bytes: usize,
    },
    TooMany {
        actual: usize,
        max: usize,
    },
    Internal {
        detail: String,
    },
    /// Whose value is told in other words than a tree's.
    Told {
        cause: &'static str,
        body: String,
    },
}

/// One fault at one place.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldError {
    pub path: Path,
    pub fault: Fault,
}

/// What a validation gives back; empty means valid.
pub type FieldErrors = Vec<FieldError>;

impl FieldError {
    pub fn not_found(path: Path, value: impl Into<Value>) -> Self {
        Self { path, fault: Fault::NotFound { value: value.into() } }
    }

    pub fn required(path: Path, detail: impl Into<String>) -> Self {
        Self { path, fault: Fault::Required { detail: detail.into() } }
    }

    pub fn duplicate(path: Path, value: impl Into<Value>) -> Self {
        Self { path, fault: Fault::Duplicate { value: value.into() } }
    }

    pub fn invalid(path: Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self { path, fault: Fault::Invalid { value: value.into(), detail: detail.into() } }
    }

    /// As [`FieldError::invalid`], where the value is too large to be told.
    pub fn invalid_omitted(path: Path, detail: impl Into<String>) -> Self {
        Self { path, fault: Fault::InvalidOmitted { detail: detail.into() } }
    }

    /// As [`FieldError::duplicate`], where the value is too large to be told.
    pub fn duplicate_omitted(path: Path) -> Self {
        Self { path, fault: Fault::DuplicateOmitted }
    }

    pub fn type_invalid(path: Path, value: impl Into<Value>, detail: impl Into<String>) -> Self {
        Self { path, fault: Fault::TypeInvalid { value: value.into(), detail: detail.into() } }
    }

    /// `supported` is printed in the order given; upstream sorts, so callers give sorted lists.
    pub fn not_supported<S: AsRef<str>>(path: Path, value: impl Into<Value>, supported: &[S]) -> Self {
        let supported = supported.iter().map(|s| s.as_ref().to_string()).collect();
        Self { path, fault: Fault::NotSupported { value: value.into(), supported } }
    }

    pub fn forbidden(path: Path, detail: impl Into<String>) -> Self {
        Self { path, fault: Fault::Forbidden { detail: detail.into() } }
    }

    pub fn too_long(path: Path, max_bytes: usize) -> Self {
        Self { path, fault: Fault::TooLong { max_bytes } }
    }

    pub fn too_many(path: Path, actual: usize, max: usize) -> Self {
        Self { path, fault: Fault::TooMany { actual, max } }
    }

    pub fn internal(path: Path, detail: impl Into<String>) -> Self {
        Self { path, fault: Fault::Internal { detail: detail.into() } }
    }

    /// Tells the value in these words: [`crate::dump`] prints them.
    #[must_use]
    pub fn told_as(self, words: &str) -> Self {
        let cause = self.cause_type();
        let body = match &self.fault {
            Fault::NotFound { .. } => format!("Not found: {words}"),
            Fault::Duplicate { .. } => format!("Duplicate value: {words}"),
            Fault::Invalid { detail, .. } | Fault::TypeInvalid { detail, .. } => {
                with_detail(&format!("Invalid value: {words}"), detail)
            }
            Fault::NotSupported { supported, .. } => unsupported(words, supported),
            _ => return self,
        };
        Self { path: self.path, fault: Fault::Told { cause, body } }
    }

    /// As [`FieldError::duplicate`], where items must differ in what `detail` says.
    pub fn duplicate_of(path: Path, told: &str, detail: &str) -> Self {
        let body = with_detail(&format!("Duplicate value: {told}"), detail);
        Self { path, fault: Fault::Told { cause: "FieldValueDuplicate", body } }
    }

    /// As [`FieldError::not_found`], with what it could have been.
    pub fn not_found_among(path: Path, value: impl Into<Value>, detail: &str) -> Self {
        let body = with_detail(&format!("Not found: {}", printed(&value.into())), detail);
        Self { path, fault: Fault::Told { cause: "FieldValueNotFound", body } }
    }

    /// The `reason` of a Status cause.
    pub fn cause_type(&self) -> &'static str {
        match self.fault {
            Fault::Told { cause, .. } => cause,
            Fault::NotFound { .. } => "FieldValueNotFound",
            Fault::Required { .. } => "FieldValueRequired",
            Fault::Duplicate { .. } | Fault::DuplicateOmitted => "FieldValueDuplicate",
            Fault::Invalid { .. } | Fault::InvalidOmitted { .. } => "FieldValueInvalid",
            Fault::TypeInvalid { .. } => "FieldValueTypeInvalid",
            Fault::NotSupported { .. } => "FieldValueNotSupported",
            Fault::Forbidden { .. } => "FieldValueForbidden",
            Fault::TooLong { .. } => "FieldValueTooLong",
            Fault::TooMany { .. } => "FieldValueTooMany",
            Fault::Internal { .. } => "InternalError",
        }
    }

    /// The message without the path: `Invalid value: "x": must be …`.
    pub fn body(&self) -> String {
        match &self.fault {
            Fault::NotFound { value } => format!("Not found: {}", printed(value)),
            Fault::Required { detail } => with_detail("Required value", detail),
            Fault::Duplicate { value } => format!("Duplicate value: {}", printed(value)),
            Fault::DuplicateOmitted => "Duplicate value".to_string(),
            Fault::InvalidOmitted { detail } => with_detail("Invalid value", detail),
            Fault::Invalid { value, detail } => {
                with_detail(&format!("Invalid value: {}", printed(value)), detail)
            }
            Fault::TypeInvalid { value, detail } => {
                with_detail(&format!("Invalid value: {}", printed(value)), detail)
            }
            Fault::NotSupported { value, supported } => unsupported(&printed(value), supported),
            Fault::Told { body, .. } => body.clone(),
            Fault::Forbidden { detail } => with_detail("Forbidden", detail),
            Fault::TooLong { max_bytes } => {
                let unit = if *max_bytes == 1 { "byte" } else { "bytes" };
                format!("Too long: may not be more than {max_bytes} {unit}")
            }
            Fault::TooMany { actual, max } => {
                let unit = if *max == 1 { "item" } else { "items" };
                format!("Too many: {actual}: must have at most {max} {unit}")
            }
            Fault::Internal { detail } => with_detail("Internal error", detail),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.body())
    }
}

fn with_detail(head: &str, detail: &str) -> String {
    if detail.is_empty() { head.to_string() } else { format!("{head}: {detail}") }
}

fn unsupported(value: &str, supported: &[String]) -> String {
    let supported: Vec<String> = supported.iter().map(|s| go::quoted(s)).collect();
    let head = format!("Unsupported value: {value}");
    if supported.is_empty() { head } else { format!("{head}: supported values: {}", supported.join(", ")) }
}

/// Strings in quotes, numbers and booleans bare, null as upstream's `null`, the rest as JSON.
fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => go::quoted(text),
        other => go::json(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_any_length_read_the_same() {
        let (mut path, mut want) = (Path::new("spec"), String::from("spec"));
        for index in [0, 7, 10, 4_294_967_295] {
            path = path.child("aVeryLongFieldNameIndeed").index(index).key("é/x");
            want = format!("{want}.aVeryLongFieldNameIndeed[{index}][é/x]");
            assert_eq!(path.as_str(), want);
            assert_eq!(path.to_string(), want);
        }
        assert_eq!(path, path.clone());
        assert_ne!(path, Path::root());
    }

    #[test]
    fn messages_read_as_upstreams() {
        let path = Path::new("spec").child("containers").index(0).child("name");
        let check = |error: FieldError, want: &str| assert_eq!(error.to_string(), want);
        check(FieldError::required(path.clone(), ""), "spec.containers[0].name: Required value");
        check(
            FieldError::invalid(path.clone(), "A", "must be lower case"),
            "spec.containers[0].name: Invalid value: \"A\": must be lower case",
        );
        check(
            FieldError::not_supported(path.clone(), "x", &["Always", "Never"]),
            "spec.containers[0].name: Unsupported value: \"x\": supported values: \"Always\", \"Never\"",
        );
        check(
            FieldError::too_long(path, 63),
            "spec.containers[0].name: Too long: may not be more than 63 bytes",
        );
        check(FieldError::invalid(Path::root(), 3, ""), "<nil>: Invalid value: 3");
    }
}
