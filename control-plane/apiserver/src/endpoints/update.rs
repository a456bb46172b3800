//! PUT: the object as the client wants it.

use bytes::Bytes;
use http::{Response, StatusCode};
use oarlock_api::Status;
use serde_json::Value;

use super::ownership::Owner;
use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Format};
use crate::registry::Served;

pub(super) async fn update(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    call.accepted()?;
    let options = options::options(&call, "UpdateOptions")?;
    let mut write = call.write(&options);
    let strictness = options::strictness(&call, "UpdateOptions")?;
    let expected = call.expected(strictness);
    let format = Format::of_body(call.headers)?;
    let mut object = decode::object(&expected, format, &body, &mut write.warnings)?;
    decode::default(call.served, &mut object);
    let fits = super::create::check_namespace(&call, &mut object).and_then(|()| check_name(&call, &object));
    fits.map_err(|status| status.with_warnings(&mut write.warnings))?;
    call.recorded(&object);
    let owner = Owner::of(&call);
    let served = call.served;
    let missing = (call.info.subresource.is_empty() && may_create(served)).then(|| {
        let mut object = object.clone();
        owner.track(None, &mut object);
        object
    });
    let transform = |current: &Value| {
        let mut object = object.clone();
        owner.track(Some(current), &mut object);
        Ok(object)
    };
    let registry = &call.server.registry;
    let updated = registry.update(served, call.place(), &mut write, missing, transform).await;
    let updated = updated.map_err(|status| status.with_warnings(&mut write.warnings))?;
    let code = if updated.created { StatusCode::CREATED } else { StatusCode::OK };
    let warnings = std::mem::take(&mut write.warnings);
    call.answer(code, updated.written, &warnings)
}

fn may_create(served: &Served) -> bool {
    served.stored.as_ref().is_some_and(|stored| stored.storage.strategy.allow_create_on_update())
}

pub(super) fn check_name(call: &Call<'_>, object: &Value) -> Result<(), Status> {
    let said = object["metadata"]["name"].as_str().unwrap_or_default();
    let name = &call.info.name;
    if said.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({name} based on URL) was undeterminable: name must be provided"
        )));
    }
    if said != name {
        return Err(Status::bad_request(format!(
            "the name of the object ({said}) does not match the name on the URL ({name})"
        )));
    }
    Ok(())
}
