//! Images: references, a content store whose every blob is verified, layers unpacked once and shared as lower
//! directories of overlays, archives, registries, and the running executable as an image of its own.

mod archive;
mod builtin;
mod content;
mod pull;
mod reference;
mod store;
mod unpack;

use std::path::PathBuf;

use thiserror::Error;

pub use pull::{Auth, Registries};
pub use reference::Reference;
pub use store::{Image, ImageStore};

/// Why something with images did not work.
#[derive(Debug, Error)]
pub enum ImageError {
    #[error("invalid reference {text:?}: {reason}")]
    Reference { text: String, reason: &'static str },
    #[error("image {0:?} not found")]
    NotFound(String),
    #[error("{} is in use by another process (is a runtime running there?)", .0.display())]
    Locked(PathBuf),
    #[error("{what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{what} has digest {got}, not {want}")]
    Digest { what: &'static str, want: String, got: String },
    #[error("unpack layer {layer}")]
    Unpack {
        layer: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{0}")]
    Malformed(String),
    #[error("pull {reference} from {registry}")]
    Pull {
        reference: String,
        registry: String,
        #[source]
        source: Box<oci_client::errors::OciDistributionError>,
    },
    #[error("pull {reference}: stopped")]
    Stopped { reference: String },
}

impl ImageError {
    pub(crate) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }

    /// The error with its causes on one line, for a gRPC status.
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        text
    }
}
