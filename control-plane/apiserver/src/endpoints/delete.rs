//! DELETE of one object, and of all that a selector picks.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Response, StatusCode};
use oarlock_api::Status;
use oarlock_api::openapi::deletion_gives_object;
use serde_json::{Value, json};

use super::{Call, options};
use crate::body::Body;
use crate::cache::Entry;
use crate::encode;
use crate::registry::{DeleteOptions, Written, store_failed};

pub(super) async fn delete(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    let accepted = call.accepted()?;
    let (sent, options) = options::delete_options(&call, &body)?;
    call.recorded(&sent);
    let mut write = call.write(&sent);
    let deleted = call.server.registry.delete(call.served, call.place(), &options, &mut write).await?;
    let warnings = std::mem::take(&mut write.warnings);
    let api = &call.served.api;
    if !deleted.gone || deletion_gives_object(api.group, api.plural) {
        let written = Written::Tree(deleted.object);
        return call.answer(StatusCode::OK, written, &warnings);
    }
    let mut details = json!({
        "name": call.info.name, "kind": call.served.api.plural, "uid": deleted.object["metadata"]["uid"],
    });
    if !call.served.api.group.is_empty() {
        details["group"] = call.served.api.group.into();
    }
    let status = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details });
    let accepted = encode::Accepted { shape: encode::Shape::Object, ..accepted };
    let mut response = encode::object(&accepted, StatusCode::OK, &status);
    encode::warn(&mut response, &warnings);
    Ok(response)
}

pub(super) async fn delete_collection(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    let accepted = call.accepted()?;
    let (filter, late) = super::list::by_version(&call, super::list::filter(&call)?);
    let (sent, options) = options::delete_options(&call, &body)?;
    let mut warnings = Vec::new();
    let revision = call.server.cache.fresh().await.map_err(store_failed)?;
    let Some(stored) = &call.served.stored else { return Err(super::not_allowed()) };
    super::list::check_readable(&call, &filter).await.map_err(Status::internal)?;
    let snapshot = stored.cache.snapshot();
    let mut gone: Vec<Value> = Vec::new();
    let picked = snapshot.iter(&filter.namespace, None).filter(|entry| filter.matches(entry));
    let mut picked: Vec<_> = picked.cloned().collect();
    if let Some(late) = late {
        picked = call.in_version(picked).await?;
        picked.retain(|entry| late.matches(entry));
    }
    let mut under_way = futures::stream::iter(picked)
        .map(|entry| one_of_many(&call, &sent, &options, entry))
        .buffered(call.server.delete_workers);
    while let Some(deleted) = under_way.next().await {
        let (object, warned) = deleted?;
        gone.extend(object);
        warnings.extend(warned);
    }
    drop(under_way);
    let meta = encode::ListMeta { revision: revision.to_string(), ..encode::ListMeta::default() };
    let mut response = encode::print_list(&accepted, call.served, &meta, gone);
    encode::warn(&mut response, &warnings);
    Ok(response)
}

/// Deletes one object of a collection; tells what it was, unless somebody else was quicker, which is as good.
async fn one_of_many(
    call: &Call<'_>,
    sent: &Value,
    options: &DeleteOptions,
    entry: Arc<Entry>,
) -> Result<(Option<Value>, Vec<String>), Status> {
    let mut write = call.write(sent);
    let place = (&*entry.namespace, &*entry.name);
    let deleted = call.server.registry.delete(call.served, place, options, &mut write).await;
    match deleted {
        Ok(deleted) => Ok((Some(deleted.object), write.warnings)),
        Err(status) if status.reason == "NotFound" => Ok((None, write.warnings)),
        Err(status) => Err(status),
    }
}
