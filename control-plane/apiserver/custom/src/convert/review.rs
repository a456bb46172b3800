//! `apiextensions.k8s.io` ConversionReview, v1 and v1beta1: the request, and what an answer must be.

use oarlock_api::meta;
use serde_json::{Value, json};

use crate::value::text;

const GROUP: &str = "apiextensions.k8s.io";

/// `apiVersion` and `kind` alone: there is nothing to convert.
pub(super) fn is_empty(object: &Value) -> bool {
    object.as_object().is_some_and(|fields| {
        fields.len() == 2 && fields.contains_key("apiVersion") && fields.contains_key("kind")
    })
}

pub(super) fn needs_it(object: &Value, wanted: &str) -> bool {
    meta::api_version(object) != wanted && !is_empty(object)
}

/// In the first version that both sides know.
pub(super) fn request(versions: &[String], objects: &[&Value], wanted: &str, uid: &str) -> Option<Value> {
    let version = versions.iter().find(|version| matches!(version.as_str(), "v1" | "v1beta1"))?;
    Some(json!({
        "apiVersion": format!("{GROUP}/{version}"),
        "kind": "ConversionReview",
        "request": {"uid": uid, "desiredAPIVersion": wanted, "objects": objects},
    }))
}

/// The objects of an answer, or why there are none.
pub(super) fn converted(request: &Value, mut answer: Value, uid: &str) -> Result<Vec<Value>, String> {
    let (wanted, kind) = (meta::api_version(request), "ConversionReview");
    // v1beta1 was never strict about what an answer calls itself.
    let strict = wanted.ends_with("/v1");
    if strict && (meta::api_version(&answer) != wanted || meta::kind(&answer) != kind) {
        let got = meta::gvk(&answer);
        return Err(format!("expected webhook response of {wanted}, Kind={kind}, got {got}"));
    }
    let Some(response) = answer.get_mut("response").filter(|response| response.is_object()) else {
        return Err("no response provided".into());
    };
    let got = text(&response["uid"]);
    if strict && got != uid {
        return Err(format!("expected response.uid={uid:?}, got {got:?}"));
    }
    let result = &response["result"];
    let status = text(&result["status"]);
    if status != "Success" {
        let message = text(&result["message"]);
        return Err(if message.is_empty() {
            format!("response.result.status was '{status}', not 'Success'")
        } else {
            message.to_string()
        });
    }
    match response["convertedObjects"].take() {
        Value::Array(objects) => Ok(objects),
        _ => Ok(Vec::new()),
    }
}

/// A converted object is the same object in the version that was asked for.
pub(super) fn check(old: &Value, new: &Value, wanted: &str) -> Result<(), String> {
    let got = meta::api_version(new);
    if got != wanted {
        return Err(format!("invalid groupVersion (expected {wanted}, received {got})"));
    }
    let (expected, got) = (meta::kind(old), meta::kind(new));
    if expected != got {
        return Err(format!("invalid kind (expected {expected}, received {got})"));
    }
    type Part = fn(&Value) -> &str;
    let parts: [(&str, Part); 3] = [("name", meta::name), ("namespace", meta::namespace), ("UID", meta::uid)];
    for (what, part) in parts {
        let (expected, got) = (part(old), part(new));
        if expected != got {
            return Err(format!("must have the same {what}: {expected} != {got}"));
        }
    }
    Ok(())
}
