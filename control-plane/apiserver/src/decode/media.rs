//! Media types of bodies.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use oarlock_api::Status;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Yaml,
    Protobuf,
}

const ALL: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

impl Format {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }

    pub(crate) fn of_media_type(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json" => Some(Self::Json),
            "application/yaml" => Some(Self::Yaml),
            "application/vnd.kubernetes.protobuf" => Some(Self::Protobuf),
            _ => None,
        }
    }

    /// What the body says it is; JSON where it says nothing.
    pub(crate) fn of_body(headers: &HeaderMap) -> Result<Self, Status> {
        let media_type = content_type(headers);
        if media_type.is_empty() {
            return Ok(Self::Json);
        }
        Self::of_media_type(media_type).ok_or_else(|| {
            Status::unsupported_media_type(format!(
                "the body of the request was in an unknown format - accepted media types include: {ALL}"
            ))
        })
    }

    /// What a custom resource, which has no messages, says to protobuf.
    pub(crate) fn no_protobuf() -> Status {
        Status::unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: application/json, \
             application/yaml",
        )
    }
}

/// The media type of the body without its parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}
