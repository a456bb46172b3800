//! `serviceaccounts/token`: a token for a service account.

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use oarlock_api::{GroupVersionKind, Status, Table};
use oarlock_apiserver_access::Operation;

use super::{Call, options};
use crate::body::Body;
use crate::decode::{self, Expected, Format};
use crate::encode;
use crate::registry::admission;

pub(super) async fn create(call: Call<'_>, body: Bytes) -> Result<Response<Body>, Status> {
    let accepted = encode::negotiate(call.headers, call.query, false)?;
    let options = options::options(&call, "CreateOptions")?;
    let mut write = call.write(&options);
    let gvk = GroupVersionKind::new("authentication.k8s.io", "v1", "TokenRequest");
    let ty = Table::builtin().type_for(&gvk).expect("the table holds TokenRequest");
    let schema = oarlock_api::Schema::Typed(ty);
    let expected = Expected {
        gvk: &gvk,
        schema: &schema,
        custom: None,
        strictness: options::strictness(&call, "CreateOptions")?,
    };
    let mut request = decode::object(&expected, Format::of_body(call.headers)?, &body, &mut write.warnings)?;
    oarlock_api::defaults::apply_defaults_as(ty, &mut request);
    super::reviews::refuse_faults(&request)?;
    let place = call.place();
    let registry = &call.server.registry;
    let mut step = admission(Operation::Create, call.served, &mut write, place, Some(&mut request), None);
    registry.mutate(&mut step).await?;
    registry.admit(&step).await?;
    write.warnings.extend(call.server.tokens.warning(&request));
    let issued = call.server.tokens.request(place.0, place.1, request, Timestamp::now()).await?;
    let mut response = encode::object(&accepted, StatusCode::CREATED, &issued);
    encode::warn(&mut response, &write.warnings);
    Ok(response)
}
