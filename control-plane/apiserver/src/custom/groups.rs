//! An APIService for every group version of custom resources, as upstream's auto-registration keeps them.

use std::collections::BTreeMap;
use std::sync::Arc;

use oarlock_api::Status;
use oarlock_apiserver_access::Annotations;
use serde_json::Value;

use crate::aggregate::{Duty, Kept, api_services, duty, registration};
use crate::registry::{DeleteOptions, Hand, Write};
use crate::server::Server;

/// Custom resources come after all others.
const PRIORITIES: (i64, i64) = (1000, 100);

/// Creates what is missing, puts right what was changed, and deletes what nothing stands behind any more.
pub(super) async fn keep(server: &Arc<Server>) -> Result<(), Status> {
    let resources = server.resources.now();
    let custom = resources.served().iter().filter(|served| served.custom.is_some());
    let wanted: BTreeMap<String, Value> = custom
        .map(|served| registration(Kept::Always, served.api.group, served.api.version, PRIORITIES))
        .map(|service| (name_of(&service), service))
        .collect();
    let existing = server.objects.list(api_services(), "");
    let existing: BTreeMap<String, &Value> =
        existing.iter().map(|service| (name_of(service), &**service)).collect();
    let also = existing.keys().filter(|name| !wanted.contains_key(*name));
    for name in wanted.keys().chain(also) {
        // A built-in version is nobody's definition; it is seen to at the start.
        let builtin = resources.served().iter().any(|served| {
            served.custom.is_none() && name.split_once('.') == Some((served.api.version, served.api.group))
        });
        if !builtin {
            let existing = existing.get(name).copied();
            act(server, name, duty(wanted.get(name), existing, false), existing).await?;
        }
    }
    Ok(())
}

fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_string()
}

async fn act(server: &Arc<Server>, name: &str, duty: Duty, existing: Option<&Value>) -> Result<(), Status> {
    let served = server.resources.known("apiregistration.k8s.io", "v1", "apiservices");
    let Some(served) = served else { return Ok(()) };
    let user = Arc::new(crate::bootstrap::system_user());
    let annotations = Annotations::default();
    let mut write = Write::of_server(&user, &annotations);
    let registry = &server.registry;
    tolerate(match duty {
        Duty::Nothing => Ok(()),
        Duty::Create(mut object) => {
            crate::decode::default(&served, &mut object);
            Hand::SERVER.record((&served.schema(), &served.gvk), true, None, &mut object);
            registry.create(&served, "", object, &mut write).await.map(drop)
        }
        Duty::Replace(new) => {
            let change = |current: &Value| {
                let mut new = new.clone();
                Hand::SERVER.record((&served.schema(), &served.gvk), true, Some(current), &mut new);
                Ok(new)
            };
            registry.update(&served, ("", name), &mut write, None, change).await.map(drop)
        }
        Duty::Delete => {
            let uid = existing.and_then(|service| service["metadata"]["uid"].as_str()).map(str::to_string);
            let options = DeleteOptions { uid, ..DeleteOptions::default() };
            registry.delete(&served, ("", name), &options, &mut write).await.map(drop)
        }
    })
}

/// Another server may be quicker.
fn tolerate(done: Result<(), Status>) -> Result<(), Status> {
    match done {
        Err(status) if matches!(&*status.reason, "AlreadyExists" | "Conflict" | "NotFound") => Ok(()),
        other => other,
    }
}
