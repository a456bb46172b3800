//! An event as it goes out: `audit.k8s.io/v1`, and the old one-line text.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use oarlock_api::status::StatusDetails;
use oarlock_api::{Status, User};
use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::policy::{Level, Stage};

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Event {
    pub(crate) kind: &'static str,
    pub(crate) api_version: &'static str,
    pub(crate) level: Level,
    #[serde(rename = "auditID")]
    pub(crate) audit_id: Arc<str>,
    pub(crate) stage: Stage,
    #[serde(rename = "requestURI")]
    pub(crate) request_uri: String,
    pub(crate) verb: String,
    pub(crate) user: UserInfo,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) impersonated_user: Option<UserInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) authentication_metadata: Option<AuthenticationMetadata>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "Vec::is_empty")]
    pub(crate) source_ips: Vec<IpAddr>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) user_agent: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object_ref: Option<ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_status: Option<ResponseStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) request_object: Option<Arc<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) response_object: Option<Arc<RawValue>>,
    #[serde(serialize_with = "micros")]
    pub(crate) request_received_timestamp: Timestamp,
    #[serde(serialize_with = "micros")]
    pub(crate) stage_timestamp: Timestamp,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// How the user became who it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuthenticationMetadata {
    pub(crate) impersonation_constraint: String,
}

/// `authentication.k8s.io/v1` UserInfo.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct UserInfo {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

impl From<&User> for UserInfo {
    fn from(user: &User) -> Self {
        Self {
            username: user.name.clone(),
            uid: user.uid.clone(),
            groups: user.groups.clone(),
            extra: user.extra.clone(),
        }
    }
}

#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ObjectRef {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) resource: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) namespace: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) api_group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) api_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) resource_version: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) subresource: String,
}

#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct ResponseStatus {
    pub(crate) metadata: Empty,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) status: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) details: Option<Box<StatusDetails>>,
    pub(crate) code: u16,
}

#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Empty {}

impl ResponseStatus {
    pub(crate) fn failure(status: &Status) -> Self {
        Self {
            metadata: Empty {},
            status: "Failure".into(),
            message: status.message.clone(),
            reason: status.reason.clone(),
            details: status.details.clone(),
            code: status.code,
        }
    }

    /// Of a `v1` Status object.
    pub(crate) fn read(object: &Value) -> Self {
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_string();
        Self {
            metadata: Empty {},
            status: text("status"),
            message: text("message"),
            reason: text("reason"),
            details: serde_json::from_value(object["details"].clone()).ok(),
            code: object["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default(),
        }
    }
}

fn micros<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
}

impl Event {
    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings, numbers and JSON always print")
    }

    /// Without what made it large.
    pub(crate) fn truncated(&self) -> Self {
        let mut small = Self { request_object: None, response_object: None, ..self.clone() };
        small.annotations.insert("audit.k8s.io/truncated".into(), "true".into());
        small
    }

    /// The one-line text of `--audit-log-format=legacy`.
    pub(crate) fn legacy(&self) -> String {
        let quoted =
            |list: &[String]| list.iter().map(|item| format!("{item:?}")).collect::<Vec<_>>().join(",");
        let or = |text: &str, none: &str| if text.is_empty() { none.to_string() } else { text.to_string() };
        let groups = if self.user.username.is_empty() { String::new() } else { quoted(&self.user.groups) };
        let (as_user, as_groups) = match &self.impersonated_user {
            Some(user) => (user.username.clone(), or(&quoted(&user.groups), "<lookup>")),
            None => ("<self>".into(), "<lookup>".into()),
        };
        let namespace = self.object_ref.as_ref().map_or("", |object| &object.namespace);
        format!(
            "{} AUDIT: id={:?} stage={:?} ip={:?} method={:?} user={:?} groups={:?} as={:?} asgroups={:?} user-agent={:?} \
             namespace={:?} uri={:?} response=\"{}\"",
            self.request_received_timestamp,
            &*self.audit_id,
            self.stage.as_str(),
            self.source_ips.first().map_or_else(|| "<unknown>".into(), ToString::to_string),
            self.verb,
            or(&self.user.username, "<none>"),
            or(&groups, "<none>"),
            as_user,
            as_groups,
            self.user_agent,
            or(namespace, "<none>"),
            self.request_uri,
            self.response_status
                .as_ref()
                .map_or_else(|| "<deferred>".into(), |status| status.code.to_string()),
        )
    }
}

/// Events as a webhook gets them. Each is JSON already.
pub(crate) fn list(events: &[bytes::Bytes]) -> bytes::Bytes {
    const HEAD: &[u8] = br#"{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":["#;
    let size = HEAD.len() + 2 + events.iter().map(|event| event.len() + 1).sum::<usize>();
    let mut body = Vec::with_capacity(size);
    body.extend_from_slice(HEAD);
    for (place, event) in events.iter().enumerate() {
        if place > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.extend_from_slice(b"]}");
    body.into()
}
