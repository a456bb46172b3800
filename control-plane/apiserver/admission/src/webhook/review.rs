//! The question that webhooks are asked: an AdmissionReview. It is printed once for each version of review and object
//! and shared by all who want it so; only its uid, which stands at its head, is each call's own.

use bytes::{BufMut as _, Bytes, BytesMut};
use oarlock_apiserver_access::Operation;
use serde_json::{Map, Value};

use crate::World;
use crate::facts::Facts;
use crate::matching::Matched;
use crate::versions::Versioned;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReviewVersion {
    V1,
    V1Beta1,
}

impl ReviewVersion {
    /// The first of a webhook's versions that we speak.
    pub(super) fn first(versions: &[Value]) -> Option<Self> {
        versions.iter().find_map(|version| match version.as_str() {
            Some("v1") => Some(Self::V1),
            Some("v1beta1") => Some(Self::V1Beta1),
            _ => None,
        })
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::V1 => "v1",
            Self::V1Beta1 => "v1beta1",
        }
    }
}

/// Reviews of one state of one request.
#[derive(Default)]
pub(super) struct Reviews(Vec<(ReviewVersion, Matched, Bytes)>);

impl Reviews {
    /// The review but for its head.
    pub(super) fn tail(
        &mut self,
        version: ReviewVersion,
        matched: &Matched,
        print: impl FnOnce() -> Bytes,
    ) -> Bytes {
        let found = self.0.iter().find(|(v, m, _)| *v == version && m == matched);
        if let Some((.., tail)) = found {
            return tail.clone();
        }
        let tail = print();
        self.0.push((version, matched.clone(), tail.clone()));
        tail
    }

    /// The object has changed.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The whole review: the head with a new uid, and the shared tail.
pub(super) fn with_head(version: ReviewVersion, uid: &str, tail: &Bytes) -> Bytes {
    let head = format!(
        "{{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/{}\",\"request\":{{\"uid\":\"{uid}\",",
        version.text()
    );
    let mut body = BytesMut::with_capacity(head.len() + tail.len());
    body.put_slice(head.as_bytes());
    body.put_slice(tail);
    body.freeze()
}

/// Everything after the uid.
pub(super) fn print_tail(
    world: &World,
    facts: &Facts<'_>,
    matched: &Matched,
    objects: Versioned<'_>,
) -> Bytes {
    let mut request = facts.to_value(&matched.resource, &matched.kind);
    request.insert("options".into(), options(facts));
    let mut out = Vec::with_capacity(4096);
    for (field, value) in &request {
        serde_json::to_writer(&mut out, field).expect("text always prints");
        out.push(b':');
        serde_json::to_writer(&mut out, value).expect("a tree always prints");
        out.push(b',');
    }
    for (field, object) in [("\"object\":", objects.object), (",\"oldObject\":", objects.old)] {
        out.extend_from_slice(field.as_bytes());
        match object {
            None => out.extend_from_slice(b"null"),
            Some(object) if object["kind"].is_string() => world.print(&matched.kind, object, &mut out),
            // Options of a connection may come without saying what they are.
            Some(object) => {
                let mut object = object.clone();
                oarlock_api::meta::set_gvk(&mut object, &matched.kind);
                world.print(&matched.kind, &object, &mut out);
            }
        }
    }
    out.extend_from_slice(b"}}");
    out.into()
}

/// The options of what is done, whatever was asked for: a patch that creates has CreateOptions.
pub(crate) fn options(facts: &Facts<'_>) -> Value {
    let kind = match facts.operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
        Operation::Connect => return Value::Null,
    };
    let mut options = Map::new();
    options.insert("kind".into(), kind.into());
    options.insert("apiVersion".into(), "meta.k8s.io/v1".into());
    if let Value::Object(given) = facts.options {
        let kept =
            given.iter().filter(|(field, _)| !matches!(field.as_str(), "kind" | "apiVersion" | "force"));
        options.extend(kept.map(|(field, value)| (field.clone(), value.clone())));
    }
    options.into()
}
