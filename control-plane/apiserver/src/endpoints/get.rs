//! GET of one object, from the cache.

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use oarlock_api::Status;
use serde_json::json;

use super::Call;
use crate::body::Body;
use crate::cache::Entry;
use crate::encode;
use crate::registry::{Stored, key_of, store_failed};

/// How long a read waits for a revision the cache has not seen, as upstream.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn get(call: &Call<'_>) -> Result<Response<Body>, Status> {
    let accepted = call.accepted()?;
    if call.query.flag("export") {
        let why = "the export parameter, deprecated since v1.14, is no longer supported";
        return Err(Status::bad_request(why));
    }
    match call.query.get("resourceVersion").unwrap_or_default() {
        "" => {
            call.server.cache.fresh().await.map_err(store_failed)?;
        }
        "0" => {}
        text => not_older_than(call, parse_revision(text)?).await?,
    }
    let Some(stored) = &call.served.stored else { return Err(super::not_allowed()) };
    let (namespace, name) = call.place();
    check_segment(name)?;
    let newest = call.query.get("resourceVersion").unwrap_or_default().is_empty();
    let entry = match stored.cache.get(namespace, name) {
        Some(entry) => {
            if newest && call.server.encryption.is_some() {
                check_opens(call, stored, namespace, name).await?;
            }
            entry
        }
        None => missing(call, stored, namespace, name).await?,
    };
    let entry = call.in_version(vec![entry]).await?.pop().expect("as many come out as went in");
    Ok(encode::entry(&accepted, call.served, &entry))
}

/// Who asks for the newest state is not shown what cannot be read any more.
async fn check_opens(call: &Call<'_>, stored: &Stored, namespace: &str, name: &str) -> Result<(), Status> {
    let key = key_of(&stored.storage.prefix, namespace, name);
    let registry = &call.server.registry;
    if !registry.opens(stored, &key).await? {
        registry.find(&stored.storage, namespace, name).await?;
    }
    Ok(())
}

/// An object that is not seen may be one that could not be read.
async fn missing(
    call: &Call<'_>,
    stored: &Stored,
    namespace: &str,
    name: &str,
) -> Result<Arc<Entry>, Status> {
    let key = key_of(&stored.storage.prefix, namespace, name);
    let key = String::from_utf8_lossy(&key);
    if stored.cache.unreadable(&key).is_some() {
        let looked = call.server.cache.look_again(&stored.cache, &key).await;
        looked.map_err(|fault| Status::internal(fault.why))?;
    }
    let found = stored.cache.get(namespace, name);
    found.ok_or_else(|| Status::not_found(&call.served.group_resource, name))
}

/// A name is one segment of a key. (`path.IsValidPathSegmentName`)
fn check_segment(name: &str) -> Result<(), Status> {
    let why = match name {
        "." | ".." => format!("may not be '{name}'"),
        _ if name.contains('%') => "may not contain '%'".to_string(),
        _ => return Ok(()),
    };
    Err(Status::bad_request(format!("Name parameter invalid: {name:?}: {why}")))
}

/// Waits until the cache has seen a revision, but not for ever.
pub(super) async fn not_older_than(call: &Call<'_>, revision: u64) -> Result<(), Status> {
    let reached = call.server.cache.reached_within(revision, PATIENCE).await;
    reached.map(drop).map_err(|now| {
        Status::timeout(format!("Too large resource version: {revision}, current: {now}"), 1).with_cause(
            "ResourceVersionTooLarge",
            "Too large resource version",
            "",
        )
    })
}

pub(super) fn parse_revision(text: &str) -> Result<u64, Status> {
    text.parse().map_err(|_| {
        let path = oarlock_api::Path::new("resourceVersion");
        let detail = format!("strconv.ParseUint: parsing {text:?}: invalid syntax");
        // Upstream gives this fault no reason of its own.
        Status::new(500, "", oarlock_api::FieldError::invalid(path, text, detail).to_string())
    })
}

/// The old health view: of upstream's components, the one that this server itself can ask.
pub(super) async fn component_statuses(call: &Call<'_>) -> Result<Response<Body>, Status> {
    const STORE: &str = "etcd-0";
    let accepted = call.accepted()?;
    let name = &call.info.name;
    if call.info.verb == "get" && name != STORE {
        return Err(Status::not_found(&oarlock_api::GroupResource::new("", "componentstatus"), name));
    }
    let healthy = crate::health::store_answers(call.server).await;
    let condition = match healthy {
        Ok(()) => json!({ "type": "Healthy", "status": "True", "message": "ok" }),
        Err(why) => json!({ "type": "Healthy", "status": "False", "message": why, "error": why }),
    };
    let status = json!({
        "apiVersion": "v1", "kind": "ComponentStatus", "metadata": { "name": STORE }, "conditions": [condition],
    });
    if call.info.verb == "get" {
        return Ok(encode::object_in_shape(&accepted, call.served, http::StatusCode::OK, status));
    }
    let items = if name.is_empty() || name == STORE { vec![status] } else { Vec::new() };
    Ok(encode::print_list(&accepted, call.served, &encode::ListMeta::default(), items))
}
