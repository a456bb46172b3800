//! What this build calls itself: the Kubernetes version that it is, and its own as build metadata, so that a client that
//! compares versions sees a release.

/// As `kubectl version`, nodes and `oarlock version` tell it.
pub const VERSION: &str = concat!("v1.36.0+oarlock-", env!("CARGO_PKG_VERSION"));

/// The same where a `+` is not allowed: the tag of the image that the binary is.
pub const IMAGE_TAG: &str = concat!("v1.36.0-oarlock-", env!("CARGO_PKG_VERSION"));
