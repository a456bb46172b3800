//! An APIService for every group version of custom resources, as upstream's auto-registration keeps them.

use std::collections::BTreeSet;
use std::sync::Arc;

use oarlock_api::Status;
use oarlock_apiserver_access::{Annotations, User};
use serde_json::{Value, json};

use crate::aggregate::api_services;
use crate::registry::{DeleteOptions, Write};
use crate::server::Server;

const MANAGED: &str = "kube-aggregator.kubernetes.io/automanaged";

/// Creates what is missing and deletes what nothing stands behind any more.
pub(super) async fn keep(server: &Arc<Server>) -> Result<(), Status> {
    let resources = server.resources.now();
    let custom = resources.served().iter().filter(|served| served.custom.is_some());
    let wanted: BTreeSet<(&str, &str)> = custom.map(|s| (s.api.group, s.api.version)).collect();
    let existing = server.objects.list(api_services(), "");
    let name_of = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_string();
    let served = server.resources.known("apiregistration.k8s.io", "v1", "apiservices");
    let Some(served) = served else { return Ok(()) };
    let user = Arc::new(User {
        name: "system:apiserver".into(),
        groups: vec!["system:masters".into()],
        ..User::default()
    });
    let options = Value::Null;
    let annotations = Annotations::default();
    let write = || Write {
        user: &user,
        subresource: "",
        dry_run: false,
        options: &options,
        warnings: Vec::new(),
        annotations: &annotations,
    };
    for (group, version) in &wanted {
        let name = format!("{version}.{group}");
        if existing.iter().any(|object| name_of(object) == name) {
            continue;
        }
        let mut object = api_service(&name, group, version);
        crate::decode::default(&served, &mut object);
        tolerate(server.registry.create(&served, "", object, &mut write()).await.map(drop))?;
    }
    let ours = existing.iter().filter(|object| object["metadata"]["labels"][MANAGED] == "true");
    for object in ours {
        let text = |field: &str| object["spec"][field].as_str().unwrap_or_default();
        if !wanted.contains(&(text("group"), text("version"))) {
            let place = ("", name_of(object));
            let options = DeleteOptions::default();
            let done = server.registry.delete(&served, (place.0, &place.1), &options, &mut write()).await;
            tolerate(done.map(drop))?;
        }
    }
    Ok(())
}

fn api_service(name: &str, group: &str, version: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": { "name": name, "labels": { MANAGED: "true" } },
        "spec": { "group": group, "version": version, "groupPriorityMinimum": 1000, "versionPriority": 100 },
    })
}

/// Another server may be quicker.
fn tolerate(done: Result<(), Status>) -> Result<(), Status> {
    match done {
        Err(status) if matches!(&*status.reason, "AlreadyExists" | "Conflict" | "NotFound") => Ok(()),
        other => other,
    }
}
