//! Why bytes are not an object.

/// The messages are those of upstream's decoders, for they end in the Status that the client sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not JSON (or YAML) at all.
    #[error("{0}")]
    Syntax(String),
    /// JSON, but not of this type.
    #[error("{0}")]
    Type(String),
    /// Not a protobuf message of this type.
    #[error("proto: {0}")]
    Protobuf(&'static str),
    /// The object names a kind that the table does not hold.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind { api_version: String, kind: String },
}
