//! POST of a new object.

use bytes::Bytes;
use http::{Response, StatusCode};
use oarlock_api::Status;

use super::ownership::Owner;
use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Format};

pub(super) async fn create(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    call.accepted()?;
    let options = options::options(&call, "CreateOptions")?;
    let mut write = call.write(&options);
    let strictness = options::strictness(&call, "CreateOptions")?;
    let expected = call.expected(strictness);
    let format = Format::of_body(call.headers)?;
    let mut object = decode::object(&expected, format, &body, &mut write.warnings)?;
    decode::default(call.served, &mut object);
    check_namespace(&call, &mut object).map_err(|status| status.with_warnings(&mut write.warnings))?;
    wipe(&mut object);
    call.recorded(&object);
    Owner::of(&call).track(None, &mut object);
    let created = call.server.registry.create(call.served, call.namespace(), object, &mut write).await;
    let created = created.map_err(|status| status.with_warnings(&mut write.warnings))?;
    let warnings = std::mem::take(&mut write.warnings);
    call.answer(StatusCode::CREATED, created, &warnings)
}

/// What only the server says of an object: nobody who creates it owns that.
fn wipe(object: &mut serde_json::Value) {
    let meta = crate::registry::meta_mut(object);
    for field in ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "uid", "selfLink"] {
        meta.remove(field);
    }
}

/// The object's namespace is the path's; where it says nothing it is given the path's.
pub(super) fn check_namespace(call: &Call<'_>, object: &mut serde_json::Value) -> Result<(), Status> {
    let namespace = call.namespace();
    let meta = crate::registry::meta_mut(object);
    let said = meta.get("namespace").and_then(|v| v.as_str()).unwrap_or_default();
    if said.is_empty() {
        if !namespace.is_empty() {
            meta.insert("namespace".into(), namespace.into());
        }
        return Ok(());
    }
    if call.served.api.namespaced && namespace.is_empty() {
        // A path without a namespace creates nothing inside one.
        return Err(Status::bad_request("an empty namespace may not be set during creation"));
    }
    if call.served.api.namespaced && said != namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    if !call.served.api.namespaced {
        meta.remove("namespace");
    }
    Ok(())
}
