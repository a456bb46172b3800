//! The end of a definition: its instances are deleted, and when they are gone it may go.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::Annotations;
use oarlock_apiserver_custom::{Cleanup, after_cleanup, begin_cleanup};
use serde_json::Value;

use super::{Source, amend};
use crate::registry::{DeleteOptions, Served, Write};
use crate::server::Server;

/// How long instances may take before their finalizers are to blame, as upstream.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Says that the deletion goes on, and does it beside: finalizers may take their time.
pub(super) async fn begin(server: &Arc<Server>, definition: &Arc<Value>) -> Result<(), Status> {
    if begin_cleanup(definition, Timestamp::now()).is_some() {
        let change = |object: &mut Value| {
            if let Some(begun) = begin_cleanup(object, Timestamp::now()) {
                *object = begun;
            }
            Ok(())
        };
        amend(server, definition, change).await?;
    }
    let uid = definition["metadata"]["uid"].as_str().unwrap_or_default().to_string();
    if !server.cleaning.lock().insert(uid.clone()) {
        return Ok(());
    }
    let (server, definition) = (server.clone(), definition.clone());
    let stop = server.tasks.shutdown().clone();
    server.clone().tasks.spawn("definition-cleanup", async move {
        // A shutdown leaves the rest to the next start.
        let _ = stop.or(clean(&server, &definition)).await;
        server.cleaning.lock().remove(&uid);
    });
    Ok(())
}

async fn clean(server: &Arc<Server>, definition: &Value) {
    let outcome = delete_instances(server, definition).await;
    let change = |object: &mut Value| {
        *object = after_cleanup(object, &outcome, Timestamp::now());
        Ok(())
    };
    if let Err(status) = amend(server, definition, change).await {
        tracing::warn!(%status, "a definition could not be told that its instances are gone");
    }
}

async fn delete_instances(server: &Arc<Server>, definition: &Value) -> Cleanup {
    if !Source::of(definition).established {
        return Cleanup::NeverEstablished;
    }
    let text = |path: &str| definition.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let resource = GroupResource::new(text("/spec/group"), text("/status/acceptedNames/plural"));
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        // Looked up anew: a change of the definition gives it a new cache.
        let now = server.resources.now();
        let served =
            now.served().iter().find(|s| s.custom.is_some() && s.group_resource == resource).cloned();
        let Some(served) = served else { return Cleanup::ListFailed(format!("{resource} is not served")) };
        let faults = delete_all(server, &served).await;
        if !faults.is_empty() {
            return Cleanup::DeleteFailed(faults);
        }
        let stored = served.stored.as_ref().expect("custom resources are stored");
        if stored.cache.len() == 0 {
            return Cleanup::Done;
        }
        if tokio::time::Instant::now() > deadline {
            return Cleanup::Remain("timed out waiting for the condition".into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Deletes every instance that is not being deleted already; gives what went wrong.
async fn delete_all(server: &Arc<Server>, served: &Served) -> Vec<String> {
    let user = Arc::new(crate::bootstrap::system_user());
    let annotations = Annotations::default();
    let stored = served.stored.as_ref().expect("custom resources are stored");
    let snapshot = stored.cache.snapshot();
    let mut faults = Vec::new();
    for entry in snapshot.iter("", None) {
        if !entry.value(false)["metadata"]["deletionTimestamp"].is_null() {
            continue;
        }
        let mut write = Write::of_server(&user, &annotations);
        let place = (&*entry.namespace, &*entry.name);
        match server.registry.delete(served, place, &DeleteOptions::default(), &mut write).await {
            Err(status) if &*status.reason != "NotFound" => faults.push(status.message.to_string()),
            _ => {}
        }
    }
    faults
}
