//! The error that the API gives: `metav1.Status`, with upstream's reasons, codes and messages.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::field::FieldError;
use crate::gvk::{GroupKind, GroupResource};

/// A failed request, as clients see it. Built once, from types, where the request ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub code: u16,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Box<StatusDetails>>,
    /// Texts for `Warning:` headers: what is refused may have been unwise besides.
    #[serde(skip)]
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusDetails {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<StatusCause>,
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_after_seconds: u32,
}

#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusCause {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl Status {
    /// Any code, reason and message.
    pub fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.into(), message: message.into(), details: None, warnings: Vec::new() }
    }

    fn about(mut self, gr: &GroupResource, name: &str) -> Self {
        self.details = Some(Box::new(StatusDetails {
            name: name.into(),
            group: gr.group.to_string(),
            kind: gr.resource.to_string(),
            ..StatusDetails::default()
        }));
        self
    }

    #[must_use]
    pub fn with_warnings(self, warnings: &mut Vec<String>) -> Self {
        Self { warnings: std::mem::take(warnings), ..self }
    }

    fn details_mut(&mut self) -> &mut StatusDetails {
        self.details.get_or_insert_default()
    }

    pub fn not_found(gr: &GroupResource, name: &str) -> Self {
        Self::new(404, "NotFound", format!("{gr} {name:?} not found")).about(gr, name)
    }

    pub fn already_exists(gr: &GroupResource, name: &str) -> Self {
        Self::new(409, "AlreadyExists", format!("{gr} {name:?} already exists")).about(gr, name)
    }

    /// The same where the object that has the name is about to go.
    pub fn being_deleted(self) -> Self {
        Self { message: format!("object is being deleted: {}", self.message), ..self }
    }

    /// `generateName` gave a taken name too often.
    pub fn generate_name_conflict(gr: &GroupResource, name: &str) -> Self {
        Self::new(
            409,
            "AlreadyExists",
            format!("{gr} {name:?} already exists, the server was not able to generate a unique name for the object"),
        )
        .about(gr, name)
        .with_retry_after(1)
    }

    /// Optimistic concurrency, preconditions, and other states that the request did not expect.
    pub fn conflict(gr: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        Self::new(409, "Conflict", format!("Operation cannot be fulfilled on {gr} {name:?}: {why}"))
            .about(gr, name)
    }

    /// The conflict of an update whose resourceVersion is old.
    pub fn modified(gr: &GroupResource, name: &str) -> Self {
        Self::conflict(
            gr,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub fn forbidden(gr: &GroupResource, name: &str, why: impl fmt::Display) -> Self {
        let message = if gr.resource.is_empty() && name.is_empty() {
            format!("forbidden: {why}")
        } else if name.is_empty() {
            format!("{gr} is forbidden: {why}")
        } else {
            format!("{gr} {name:?} is forbidden: {why}")
        };
        Self::new(403, "Forbidden", message).about(gr, name)
    }

    /// Validation failed: one cause for each field error, and all of them in the message.
    pub fn invalid(gk: &GroupKind, name: &str, errors: &[FieldError]) -> Self {
        let told = match errors {
            [one] => one.to_string(),
            many => {
                let mut lines: Vec<String> = Vec::with_capacity(many.len());
                for error in many {
                    let line = error.to_string();
                    if !lines.contains(&line) {
                        lines.push(line);
                    }
                }
                if lines.len() == 1 { lines.remove(0) } else { format!("[{}]", lines.join(", ")) }
            }
        };
        let mut status = Self::new(422, "Invalid", format!("{gk} {name:?} is invalid: {told}"));
        status.details = Some(Box::new(StatusDetails {
            name: name.into(),
            group: gk.group.to_string(),
            kind: gk.kind.to_string(),
            causes: errors
                .iter()
                .map(|e| StatusCause {
                    reason: e.cause_type().into(),
                    message: e.body(),
                    field: e.path.to_string(),
                })
                .collect(),
            ..StatusDetails::default()
        }));
        status
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub fn method_not_allowed(gr: &GroupResource, verb: &str) -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            format!("{verb} is not supported on resources of kind {:?}", gr.to_string()),
        )
        .about(gr, "")
    }

    pub fn internal(why: impl fmt::Display) -> Self {
        let mut status = Self::new(500, "InternalError", format!("Internal error occurred: {why}"));
        status.details_mut().causes.push(StatusCause { message: why.to_string(), ..StatusCause::default() });
        status
    }

    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::new(503, "ServiceUnavailable", message)
    }

    /// The server could not do it in time; the outcome is known to be "not done", the client may try again.
    pub fn server_timeout(gr: &GroupResource, verb: &str, retry_after_seconds: u32) -> Self {
        Self::new(
            500,
            "ServerTimeout",
            format!(
                "The {verb} operation against {gr} could not be completed at this time, please try again."
            ),
        )
        .about(gr, "")
        .with_retry_after(retry_after_seconds)
    }

    pub fn timeout(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(504, "Timeout", format!("Timeout: {}", message.into()))
            .with_retry_after(retry_after_seconds)
    }

    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::new(429, "TooManyRequests", message).with_retry_after(retry_after_seconds)
    }

    /// The resourceVersion or continue token is too old to serve.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    pub fn request_entity_too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", format!("Request entity is too large: {}", message.into()))
    }

    pub fn unsupported_media_type(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    pub fn not_acceptable(message: impl Into<String>) -> Self {
        Self::new(406, "NotAcceptable", message)
    }

    /// What upstream's router says where it has nothing that the client accepts.
    pub fn not_routed(available: &str) -> Self {
        let words = format!("406: Not Acceptable\n\nAvailable representations: {available}");
        Self { details: Some(Box::default()), ..Self::new(406, "NotAcceptable", words) }
    }

    /// What upstream's router says to a method that it has nothing for.
    pub fn method_is_not_allowed() -> Self {
        let words = "the server does not allow this method on the requested resource";
        Self { details: Some(Box::default()), ..Self::new(405, "MethodNotAllowed", words) }
    }

    /// What a path that nothing serves answers.
    pub fn page_not_found() -> Self {
        let mut status = Self::new(404, "NotFound", "the server could not find the requested resource");
        status.details = Some(Box::default());
        status
    }

    pub fn with_retry_after(mut self, seconds: u32) -> Self {
        self.details_mut().retry_after_seconds = seconds;
        self
    }

    pub fn with_cause(mut self, reason: &str, message: impl Into<String>, field: &str) -> Self {
        self.details_mut().causes.push(StatusCause {
            reason: reason.into(),
            message: message.into(),
            field: field.into(),
        });
        self
    }

    pub fn with_uid(mut self, uid: &str) -> Self {
        self.details_mut().uid = uid.into();
        self
    }

    /// The object that goes on the wire.
    pub fn to_value(&self) -> serde_json::Value {
        let mut object = serde_json::json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": self.code,
        });
        if !self.message.is_empty() {
            object["message"] = self.message.clone().into();
        }
        if !self.reason.is_empty() {
            object["reason"] = self.reason.clone().into();
        }
        if let Some(details) = &self.details {
            object["details"] =
                serde_json::to_value(details).expect("plain strings and numbers always serialise");
        }
        object
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::Path;

    #[test]
    fn messages_read_as_upstreams() {
        let pods = GroupResource::new("", "pods");
        let deployments = GroupResource::new("apps", "deployments");
        assert_eq!(Status::not_found(&pods, "a").message, "pods \"a\" not found");
        assert_eq!(Status::not_found(&deployments, "a").message, "deployments.apps \"a\" not found");
        assert_eq!(
            Status::modified(&pods, "a").message,
            "Operation cannot be fulfilled on pods \"a\": the object has been modified; please apply your changes to \
             the latest version and try again"
        );
    }

    #[test]
    fn invalid_names_every_field_once() {
        let path = Path::new("spec").child("x");
        let errors = vec![
            FieldError::required(path.clone(), ""),
            FieldError::required(path.clone(), ""),
            FieldError::forbidden(path, "no"),
        ];
        let status = Status::invalid(&GroupKind::new("apps", "Deployment"), "d", &errors);
        assert_eq!(
            status.message,
            "Deployment.apps \"d\" is invalid: [spec.x: Required value, spec.x: Forbidden: no]"
        );
        assert_eq!(status.details.expect("invalid has details").causes.len(), 3);
    }
}
