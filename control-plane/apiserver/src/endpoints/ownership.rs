//! Who owns which field: what every write records in `metadata.managedFields`. (KEP-555)

use std::sync::Arc;

use http::header::USER_AGENT;
use jiff::Timestamp;
use oarlock_api::Schema;
use oarlock_api::apply::{
    self, Applied, ApplyError, OneVersion, Request, Reset, VersionError, Versions, manager_or_user_agent,
};
use oarlock_api::codec::settle;
use oarlock_api::gvk::split_api_version;
use oarlock_apiserver_custom::CustomVersion;
use serde_json::Value;

use super::Call;
use crate::custom::Caller;
use crate::registry::{Catalogue, Custom, Served};

/// The writer of a request, as it is recorded.
pub(super) struct Owner<'a> {
    call: &'a Call<'a>,
    manager: String,
    reset: Reset,
}

impl<'a> Owner<'a> {
    /// The manager that the request names, or the client's name.
    pub(super) fn of(call: &'a Call<'a>) -> Self {
        let named = call.query.get("fieldManager").unwrap_or_default();
        let agent = call.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Self { manager: manager_or_user_agent(named, agent), reset: reset(call), call }
    }

    /// Records what `new` changes; both objects are in the request's version.
    pub(super) fn track(&self, live: Option<&Value>, new: &mut Value) {
        // Items of lists are known by fields that a client may have left out.
        if let (Schema::Typed(ty), true) = (self.call.served.schema(), live.is_some()) {
            settle(ty, new);
        }
        self.request(|request| apply::track(request, live, new));
    }

    /// What a configuration makes of the object, or who stands against it.
    pub(super) fn apply(
        &self,
        live: Option<&Value>,
        config: &Value,
        force: bool,
    ) -> Result<Applied, ApplyError> {
        self.request(|request| apply::apply(request, live, config, force))
    }

    /// The same for the Scale of an object.
    pub(super) fn track_scale(&self, schema: &Schema, live: &Value, new: &mut Value) {
        apply::track(&self.scale_request(schema), Some(live), new);
    }

    pub(super) fn apply_scale(
        &self,
        schema: &Schema,
        live: &Value,
        config: &Value,
        force: bool,
    ) -> Result<Applied, ApplyError> {
        apply::apply(&self.scale_request(schema), Some(live), config, force)
    }

    fn scale_request<'r>(&'r self, schema: &'r Schema) -> Request<'r> {
        Request {
            schema,
            api_version: "autoscaling/v1",
            kind: "Scale",
            manager: &self.manager,
            subresource: "scale",
            reset: &self.reset,
            versions: &OneVersion,
            now: Timestamp::now(),
        }
    }

    fn request<T>(&self, ask: impl FnOnce(&Request<'_>) -> T) -> T {
        let served = self.call.served;
        let api_version = served.gvk.api_version();
        let versions = ServedVersions {
            served,
            resources: &self.call.server.resources,
            conversions: &self.call.server.registry.conversions,
        };
        ask(&Request {
            schema: &served.schema(),
            api_version: &api_version,
            kind: &served.gvk.kind,
            manager: &self.manager,
            subresource: &self.call.info.subresource,
            reset: &self.reset,
            versions: &versions,
            now: Timestamp::now(),
        })
    }
}

/// Built-in resources whose `/status` takes nothing of the metadata.
const STATUS_ALONE: [&str; 8] = [
    "customresourcedefinitions",
    "devicetaintrules",
    "flowschemas",
    "prioritylevelconfigurations",
    "resourceclaims",
    "servicecidrs",
    "validatingadmissionpolicies",
    "volumeattachments",
];

/// What an endpoint does not take from its client, so that its client cannot come to own it.
fn reset(call: &Call<'_>) -> Reset {
    let api = &call.served.api;
    match call.info.subresource.as_str() {
        "" if api.plural == "certificatesigningrequests" => Reset::fields(&[&["spec"], &["status"]]),
        "" if api.subresource("status").is_some() => Reset::fields(&[&["status"]]),
        "status" if api.plural == "certificatesigningrequests" => {
            Reset::fields(&[&["spec"], &["status", "conditions"]])
        }
        "approval" => Reset::fields(&[&["spec"], &["status", "certificate"]]),
        "finalize" => Reset::fields(&[&["status"]]),
        "status" if (api.group, api.plural) == ("", "pods") => {
            Reset::fields(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]])
        }
        "status" if call.served.custom.is_some() || STATUS_ALONE.contains(&api.plural) => {
            Reset::fields(&[&["spec"], &["metadata"]])
        }
        "status" if (api.group, api.plural) == ("apps", "deployments") => {
            Reset::fields(&[&["spec"], &["metadata", "labels"]])
        }
        "status" => Reset::fields(&[&["spec"]]),
        "resize" => Reset::all_but(&[&["spec", "containers", "*", "resources"]]),
        _ => Reset::fields(&[]),
    }
}

/// The other versions of a resource, for managers that wrote in them. Of a definition these are all its versions, also
/// those that are not served any more; of a built-in kind those that are served under the same root: upstream has schemas
/// of no others, so that events forget who wrote in the other group.
struct ServedVersions<'a> {
    served: &'a Served,
    resources: &'a Catalogue,
    conversions: &'a Caller,
}

impl ServedVersions<'_> {
    fn builtin(&self, api_version: &str) -> Option<Arc<Served>> {
        let (group, version) = split_api_version(api_version);
        let api = &self.served.api;
        let same_root = group.is_empty() == api.group.is_empty();
        same_root.then(|| self.resources.find(group, version, api.plural)).flatten()
    }

    fn of_definition(&self, custom: &Custom, api_version: &str) -> Option<Arc<CustomVersion>> {
        let (group, version) = split_api_version(api_version);
        (*group == *custom.resource.group).then(|| custom.resource.version(version).cloned()).flatten()
    }
}

impl Versions for ServedVersions<'_> {
    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, VersionError> {
        if let Some(custom) = &self.served.custom {
            let version = self.of_definition(custom, api_version).ok_or(VersionError::Missing)?;
            let other = Custom::new(custom.resource.clone(), version);
            let converted = crate::custom::to_version_at_once(&other, object.clone(), self.conversions);
            return converted.map_err(|status| VersionError::Failed(status.message.to_string()));
        }
        let other = self.builtin(api_version).ok_or(VersionError::Missing)?;
        let own = self.builtin(oarlock_api::meta::api_version(object)).ok_or(VersionError::Missing)?;
        let mut object = object.clone();
        if let Some(conversion) = own.conversion {
            conversion.to_stored(&mut object);
        }
        crate::encode::to_served(&other, &mut object);
        Ok(object)
    }

    fn schema(&self, api_version: &str) -> Option<Schema> {
        match &self.served.custom {
            Some(custom) => {
                self.of_definition(custom, api_version).map(|version| Schema::Structural(version.schema()))
            }
            None => self.builtin(api_version).map(|served| served.schema()),
        }
    }
}
