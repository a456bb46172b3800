//! PATCH: JSON patch, merge patch and strategic merge patch, applied to the newest version inside the update loop.
//! Server-side apply (`application/apply-patch+yaml`) has its place in [`Kind`]; it is not served yet.

use bytes::Bytes;
use http::{Response, StatusCode};
use oarlock_api::codec::json;
use oarlock_api::patch::{PatchError, json_patch, merge_patch, strategic_merge};
use oarlock_api::{Schema, Status, Table};
use parking_lot::Mutex;
use serde_json::Value;

use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Expected, content_type};
use crate::encode::to_served;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Merge,
    Strategic,
}

const SUPPORTED: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/// A patch that has been read.
pub(super) struct Patch {
    kind: Kind,
    bytes: Bytes,
    tree: Value,
}

impl Patch {
    pub(super) fn read(call: &Call<'_>, body: Bytes) -> Result<Self, Status> {
        let kind = match content_type(call.headers) {
            "application/json-patch+json" => Kind::Json,
            "application/merge-patch+json" => Kind::Merge,
            "application/strategic-merge-patch+json" => Kind::Strategic,
            _ => {
                return Err(Status::unsupported_media_type(format!(
                    "the body of the request was in an unknown format - accepted media types include: {}",
                    SUPPORTED.join(", ")
                )));
            }
        };
        let tree = match kind {
            Kind::Json => Value::Null,
            _ => json::parse(&body).map_err(|error| Status::bad_request(error.to_string()))?,
        };
        Ok(Self { kind, bytes: body, tree })
    }

    /// The patched tree of `current`, an object of type `ty`.
    pub(super) fn apply(&self, current: &Value, schema: &Schema) -> Result<Value, PatchError> {
        match self.kind {
            Kind::Json => json_patch(current, &self.bytes),
            Kind::Merge => merge_patch(current, &self.tree),
            Kind::Strategic => match schema {
                Schema::Typed(ty) => strategic_merge(Table::builtin(), *ty, current, &self.tree),
                Schema::Structural(_) | Schema::Deduced => merge_patch(current, &self.tree),
            },
        }
    }
}

pub(super) async fn patch(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    call.accepted()?;
    let options = options::options(&call, "PatchOptions")?;
    let mut write = call.write(&options);
    let strictness = options::strictness(&call, "PatchOptions")?;
    let patch = Patch::read(&call, body)?;
    // The update loop may apply the patch several times; what counts are the warnings of the last.
    let lenient = Mutex::new(Vec::new());
    let served = call.served;
    let transform = |current: &Value| {
        let mut base = current.clone();
        to_served(served, &mut base);
        let patched = patch.apply(&base, &served.schema).map_err(|error| error.to_status())?;
        let expected = Expected { gvk: &served.gvk, schema: &served.schema, strictness };
        let mut warnings = Vec::new();
        let mut object = decode::tree(&expected, &patched, &mut warnings)?;
        *lenient.lock() = warnings;
        decode::default(served, &mut object);
        check_identity(&object, current)?;
        if let Some(conversion) = served.conversion {
            conversion.to_stored(&mut object);
        }
        Ok(object)
    };
    let registry = &call.server.registry;
    let updated = registry.update(served, call.place(), &mut write, None, transform).await?;
    let mut warnings = lenient.into_inner();
    warnings.append(&mut write.warnings);
    call.answer(StatusCode::OK, updated.object, &warnings)
}

fn check_identity(object: &Value, current: &Value) -> Result<(), Status> {
    let text =
        |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_string();
    let (said, is) = (text(object, "name"), text(current, "name"));
    if said != is {
        return Err(Status::bad_request(format!(
            "the name of the object ({said}) does not match the name on the URL ({is})"
        )));
    }
    if text(object, "namespace") != text(current, "namespace") {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    Ok(())
}
