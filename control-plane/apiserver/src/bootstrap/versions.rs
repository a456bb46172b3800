//! The APIService of every version that is served: those of a fresh cluster, without those that are turned off, and with
//! those that are turned on. Those of versions that are served no more are taken away.

use std::sync::Arc;

use oarlock_api::Status;
use oarlock_apiserver_access::Annotations;
use serde_json::Value;

use super::system_user;
use crate::aggregate::{Duty, Kept, api_services, duty, registration};
use crate::config::Error;
use crate::registry::{DeleteOptions, Resources, Write};
use crate::server::Server;

/// Versions that are not served by default: group, version, its group's priority, its own. Upstream's.
const FURTHER: [(&str, &str, i64, i64); 13] = [
    ("admissionregistration.k8s.io", "v1alpha1", 16700, 9),
    ("admissionregistration.k8s.io", "v1beta1", 16700, 12),
    ("certificates.k8s.io", "v1alpha1", 17300, 1),
    ("certificates.k8s.io", "v1beta1", 17300, 9),
    ("coordination.k8s.io", "v1alpha2", 16500, 12),
    ("coordination.k8s.io", "v1beta1", 16500, 13),
    ("internal.apiserver.k8s.io", "v1alpha1", 16000, 9),
    ("networking.k8s.io", "v1beta1", 17200, 9),
    ("resource.k8s.io", "v1alpha3", 16200, 1),
    ("resource.k8s.io", "v1beta1", 16200, 9),
    ("resource.k8s.io", "v1beta2", 16200, 15),
    ("scheduling.k8s.io", "v1alpha2", 16600, 2),
    ("storage.k8s.io", "v1beta1", 16800, 9),
];
/// Of a version that is not listed.
const OTHER: (i64, i64) = (15800, 9);

pub(super) fn services(defaults: Vec<Value>, resources: &Resources) -> Vec<Value> {
    let text = |service: &Value, field: &str| service["spec"][field].as_str().unwrap_or_default().to_string();
    let mut all = defaults;
    all.retain(|service| resources.serves_version(&text(service, "group"), &text(service, "version")));
    for served in resources.served().iter().filter(|served| served.custom.is_none()) {
        let (group, version) = (served.api.group, served.api.version);
        // Who serves APIServices needs none of its own.
        if group == "apiregistration.k8s.io" {
            continue;
        }
        if !all.iter().any(|known| (&*text(known, "group"), &*text(known, "version")) == (group, version)) {
            let listed = FURTHER.iter().find(|(g, v, ..)| (*g, *v) == (group, version));
            let priorities = listed.map_or(OTHER, |(_, _, of_group, own)| (*of_group, *own));
            all.push(registration(Kept::OnStart, group, version, priorities));
        }
    }
    all
}

/// Takes away the APIServices that this or another server has kept and that are of no version served now: it was turned off
/// while no server ran, or its definition went.
pub(super) async fn remove_others(server: &Arc<Server>, wanted: &[Value]) -> Result<(), Error> {
    let resource = api_services();
    let Some(served) = server.resources.known(&resource.group, "v1", &resource.resource) else {
        return Ok(());
    };
    let definitions = server.objects.list(&crate::custom::definitions(), "");
    let (user, annotations) = (Arc::new(system_user()), Annotations::default());
    for service in server.objects.list(resource, "") {
        let name = service["metadata"]["name"].as_str().unwrap_or_default();
        let is_wanted = wanted.iter().any(|wanted| wanted["metadata"]["name"] == name)
            || definitions.iter().any(|definition| defines(definition, &service));
        if is_wanted || duty(None, Some(&service), true) != Duty::Delete {
            continue;
        }
        let uid = service["metadata"]["uid"].as_str().map(str::to_string);
        let options = DeleteOptions { uid, ..DeleteOptions::default() };
        let mut write = Write::of_server(&user, &annotations);
        match server.registry.delete(&served, ("", name), &options, &mut write).await {
            // It went, or is another by now.
            Err(status) if matches!(&*status.reason, "NotFound" | "Conflict") => {}
            Err(status) => return Err(failed(name, status)),
            Ok(_) => tracing::info!(name, "the APIService of a version that is served no more was removed"),
        }
    }
    Ok(())
}

fn failed(name: &str, status: Status) -> Error {
    Error::Bootstrap { what: format!("apiservices {name:?}"), status: Box::new(status) }
}

/// Whether a definition serves the version of an APIService.
fn defines(definition: &Value, service: &Value) -> bool {
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    definition["spec"]["group"] == service["spec"]["group"]
        && versions
            .into_iter()
            .any(|version| version["name"] == service["spec"]["version"] && version["served"] == true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorageMediaType;
    use crate::registry::RuntimeConfig;

    fn names(flags: &str) -> Vec<String> {
        let defaults =
            oarlock_api::table::bootstrap_objects()["apiservices"].as_array().expect("a list").clone();
        let config = RuntimeConfig::parse(&[flags.into()]).expect("valid");
        let resources = Resources::kept_as(StorageMediaType::Json, &config);
        let services = services(defaults, &resources);
        services.iter().map(|service| service["metadata"]["name"].as_str().expect("a name").into()).collect()
    }

    #[test]
    fn what_is_served_is_registered() {
        let cases = [
            ("", "v1.apps", true),
            ("", "v1beta1.networking.k8s.io", false),
            ("networking.k8s.io/v1beta1=true", "v1beta1.networking.k8s.io", true),
            ("batch/v1=false", "v1.batch", false),
            ("batch/v1=false", "v1.", true),
            ("api/all=true", "v1beta1.storagemigration.k8s.io", true),
        ];
        for (flags, name, want) in cases {
            assert_eq!(names(flags).iter().any(|known| known == name), want, "{flags:?}: {name}");
        }
    }
}
