//! Certificates: signing requests, trust bundles, requests for pods.

use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::{Context, SelectableField};
use crate::value::{items, items_mut, keep, object_mut, text};

pub(super) static REQUEST: Kind = Kind {
    prepare_create: create,
    prepare_update: update,
    name: crate::names::anything,
    validate: super::signing::validate,
    changes: super::signing::changes,
    fields: signer,
    cells: Some(super::cells::signing_request),
    ..Kind::PLAIN
};

pub(super) static TRUST_BUNDLE: Kind = Kind {
    name: crate::names::anything,
    validate: super::trust::validate,
    changes: super::trust::changes,
    fields: signer,
    ..Kind::CONDITIONAL
};

pub(super) static POD_REQUEST: Kind = Kind {
    status_keeps: crate::kind::STATUS_ALONE,
    fields: |request| {
        let field = |name: &str| text(&request["spec"][name]).to_string();
        vec![
            ("spec.signerName", field("signerName")),
            ("spec.podName", field("podName")),
            ("spec.nodeName", field("nodeName")),
        ]
    },
    ..Kind::CONDITIONAL
};

fn signer(object: &Value) -> Vec<SelectableField> {
    vec![("spec.signerName", text(&object["spec"]["signerName"]).to_string())]
}

/// Who asks is the server's to say.
fn create(context: &Context<'_>, request: &mut Value) {
    let spec = object_mut(request, "spec");
    for field in ["username", "uid", "groups", "extra"] {
        spec.remove(field);
    }
    let user = context.user;
    for (field, value) in [("username", &user.name), ("uid", &user.uid)] {
        if !value.is_empty() {
            spec.insert(field.into(), value.as_str().into());
        }
    }
    if !user.groups.is_empty() {
        spec.insert("groups".into(), user.groups.clone().into());
    }
    if !user.extra.is_empty() {
        let extra = user.extra.iter().map(|(key, values)| (key.clone(), values.clone().into()));
        spec.insert("extra".into(), Value::Object(extra.collect()));
    }
}

/// The spec never changes; approval takes only conditions, status the rest.
fn update(context: &Context<'_>, new: &mut Value, old: &Value) {
    keep(new, old, "spec");
    match context.subresource {
        "approval" => {
            let asked = new["status"].get("conditions").cloned();
            keep(new, old, "status");
            if let Some(conditions) = asked {
                object_mut(new, "status").insert("conditions".into(), conditions);
            }
            stamp(context, new, old);
        }
        "status" => stamp(context, new, old),
        _ => keep(new, old, "status"),
    }
}

/// A condition has a time: that of its last change, if it was there before.
fn stamp(context: &Context<'_>, request: &mut Value, old: &Value) {
    let now = oarlock_api::meta::print_time(context.now);
    let Some(status) = request.get_mut("status") else { return };
    for condition in items_mut(status, "conditions") {
        if text(&condition["lastTransitionTime"]).is_empty() {
            let same =
                |was: &&Value| was["type"] == condition["type"] && was["status"] == condition["status"];
            let before = items(&old["status"]["conditions"]).iter().find(same);
            let time = before.and_then(|was| was["lastTransitionTime"].as_str()).unwrap_or(&now).to_string();
            condition["lastTransitionTime"] = time.into();
        }
        if text(&condition["lastUpdateTime"]).is_empty() {
            condition["lastUpdateTime"] = now.clone().into();
        }
    }
}
