//! Objects to bytes and back: JSON, YAML and protobuf, all driven by the type table.
//!
//! An object in memory is a [`serde_json::Value`] in *normal form*: no nulls in fields, no unknown fields, no empty
//! values where upstream omits them, times and quantities in canonical form. Decoders produce it; encoders print from it
//! what upstream prints, empty values that upstream writes included.

pub(crate) mod empty;
mod error;
pub mod json;
pub mod protobuf;
mod settle;
mod shape;
mod text;
pub mod yaml;

pub use error::DecodeError;
pub use settle::settle;
pub use shape::{check, prune};

/// A decoded object and what a strict reader objects to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Decoded {
    pub value: serde_json::Value,
    /// Unknown and duplicate fields in the order met, as upstream words them: `unknown field "spec.foo"`,
    /// `duplicate field "metadata.name"`. These are the warnings of `fieldValidation=Warn`.
    pub strict: Vec<String>,
}

impl Decoded {
    /// The error of `fieldValidation=Strict`, if there is something to object to.
    pub fn strict_error(&self) -> Option<String> {
        if self.strict.is_empty() {
            return None;
        }
        Some(format!("strict decoding error: {}", self.strict.join(", ")))
    }
}
