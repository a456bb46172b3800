//! The objects of a fresh cluster, and how each is kept as it should be.

use std::sync::Arc;

use oarlock_apiserver_access::authorization::{BindingAction, reconcile_binding, reconcile_role};
use serde_json::{Value, json};

use super::{Action, Plan, ensure, versions};
use crate::aggregate::{Duty, duty};
use crate::config::Error;
use crate::server::Server;

/// Kinds of the bootstrap data in the order they are written.
const KINDS: [&str; 7] = [
    "priorityclasses",
    "clusterroles",
    "clusterrolebindings",
    "roles",
    "rolebindings",
    "servicecidrs",
    "apiservices",
];

pub(super) fn all(server: &Server, plan: &Plan) -> Vec<(&'static str, Value)> {
    let mut data = oarlock_api::table::bootstrap_objects();
    let mut all = Vec::new();
    for plural in KINDS {
        let Some(Value::Array(mut objects)) = data.remove(plural) else { continue };
        if plural == "apiservices" {
            objects = versions::services(objects, &server.resources.now());
        }
        for mut object in objects {
            if plural == "servicecidrs" {
                object["spec"]["cidrs"] =
                    json!(plan.service_cidr.split(',').map(str::trim).collect::<Vec<_>>());
            }
            all.push((plural, object));
        }
    }
    all
}

/// Missing objects are created; roles and bindings get back what they lack, APIServices what they say, the rest belongs to
/// its owners.
pub(super) async fn reconcile(
    server: &Arc<Server>,
    plural: &'static str,
    object: Value,
) -> Result<(), Error> {
    ensure(server, plural, object, |existing, expected| match (plural, existing) {
        (_, None) => Some(Action::Create),
        ("clusterroles" | "roles", existing) => reconcile_role(existing, expected).map(Action::Replace),
        ("clusterrolebindings" | "rolebindings", existing) => {
            reconcile_binding(existing, expected).map(|action| match action {
                BindingAction::Write(object) => Action::Replace(object),
                BindingAction::Recreate(object) => Action::Recreate(object),
            })
        }
        ("apiservices", existing) => match duty(Some(expected), existing, true) {
            Duty::Replace(object) => Some(Action::Replace(object)),
            _ => None,
        },
        _ => None,
    })
    .await
}
