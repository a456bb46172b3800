//! The version of this binary: the Kubernetes version that it is, and its own.

/// As `kubectl version` and the Node tell it.
pub(crate) const VERSION: &str = concat!("v1.36.0-oarlock.", env!("CARGO_PKG_VERSION"));
