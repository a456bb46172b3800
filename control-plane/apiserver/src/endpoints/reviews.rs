//! Kinds that are asked and never stored: access and token reviews.

use bytes::Bytes;
use http::{Response, StatusCode};
use oarlock_api::Status;
use oarlock_apiserver_access::Operation;

use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Format};
use crate::encode;
use crate::registry::admission;

pub(super) async fn create(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    let accepted = encode::negotiate(call.headers, call.query, false)?;
    let sent = options::options(&call, "CreateOptions")?;
    let mut write = call.write(&sent);
    let strictness = options::strictness(&call, "CreateOptions")?;
    let expected = call.expected(strictness);
    let mut review = decode::object(&expected, Format::of_body(call.headers)?, &body, &mut write.warnings)?;
    let place = (call.namespace(), "");
    let registry = &call.server.registry;
    let mut request = admission(Operation::Create, call.served, &mut write, place, Some(&mut review), None);
    registry.mutate(&mut request).await?;
    if let Some(review) = &request.object {
        refuse_faults(review)?;
    }
    registry.admit(&request).await?;
    let answered =
        call.server.reviews.review(call.served.api.kind, review, call.user, call.namespace()).await?;
    let mut response = encode::object(&accepted, StatusCode::CREATED, &answered);
    encode::warn(&mut response, &write.warnings);
    Ok(response)
}

/// What is wrong with an object that is asked and not stored.
pub(super) fn refuse_faults(object: &serde_json::Value) -> Result<(), Status> {
    let oarlock_api::GroupVersionKind { group, kind, .. } = &oarlock_api::meta::gvk(object);
    let errors = oarlock_apiserver_kinds::asked::faults(kind, object);
    if errors.is_empty() {
        return Ok(());
    }
    // Not that of what was asked: a token is asked of a ServiceAccount.
    let group = oarlock_api::GroupKind::new(group, kind);
    Err(Status::invalid(&group, object["metadata"]["name"].as_str().unwrap_or_default(), &errors))
}
