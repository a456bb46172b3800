//! PUT: the object as the client wants it.

use bytes::Bytes;
use http::{Response, StatusCode};
use oarlock_api::Status;
use serde_json::Value;

use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Expected, Format};

pub(super) async fn update(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    call.accepted()?;
    let options = options::options(&call, "UpdateOptions")?;
    let mut write = call.write(&options);
    let strictness = options::strictness(&call, "UpdateOptions")?;
    let expected = Expected { gvk: &call.served.gvk, schema: &call.served.schema, strictness };
    let format = Format::of_body(call.headers)?;
    let mut object = decode::object(&expected, format, &body, &mut write.warnings)?;
    decode::default(call.served, &mut object);
    super::create::check_namespace(&call, &mut object)?;
    check_name(&call, &object)?;
    if let Some(conversion) = call.served.conversion {
        conversion.to_stored(&mut object);
    }
    let missing = call.info.subresource.is_empty().then(|| object.clone());
    let registry = &call.server.registry;
    let updated =
        registry.update(call.served, call.place(), &mut write, missing, |_| Ok(object.clone())).await?;
    let code = if updated.created { StatusCode::CREATED } else { StatusCode::OK };
    let warnings = std::mem::take(&mut write.warnings);
    call.answer(code, updated.object, &warnings)
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
