//! Certificates: signing requests, trust bundles, requests for pods.

use serde_json::Value;

use crate::kind::Kind;
use crate::strategy::{Context, SelectableField};
use crate::value::{items_mut, keep, object_mut, text};

pub(super) static REQUEST: Kind = Kind {
    prepare_create: create,
    prepare_update: update,
    fields: signer,
    cells: Some(super::cells::signing_request),
    ..Kind::PLAIN
};

pub(super) static TRUST_BUNDLE: Kind =
    Kind { name: crate::names::anything, fields: signer, ..Kind::CONDITIONAL };

pub(super) static POD_REQUEST: Kind = Kind {
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
    for field in ["uid", "groups", "extra"] {
        spec.remove(field);
    }
    spec.insert("username".into(), context.user.name.as_str().into());
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
            stamp(context, new);
        }
        "status" => stamp(context, new),
        _ => keep(new, old, "status"),
    }
}

fn stamp(context: &Context<'_>, request: &mut Value) {
    let now = oarlock_api::meta::print_time(context.now);
    let Some(status) = request.get_mut("status") else { return };
    for condition in items_mut(status, "conditions") {
        for field in ["lastUpdateTime", "lastTransitionTime"] {
            if text(&condition[field]).is_empty() {
                condition[field] = now.clone().into();
            }
        }
    }
}
