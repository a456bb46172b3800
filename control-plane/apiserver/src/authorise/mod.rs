//! Whether the user may do what is asked. Next: `endpoints`.

use std::sync::Arc;

use oarlock_api::Status;
use oarlock_api::selector::{FieldSelector, LabelSelector};
use oarlock_apiserver_access::authorization::forbidden;
use oarlock_apiserver_access::{Attributes, Decision, User};
use oarlock_apiserver_audit::Record;

use crate::request_info::{Query, RequestInfo};
use crate::server::Server;

pub(crate) async fn authorise(
    server: &Server,
    info: &RequestInfo,
    query: &Query,
    user: &Arc<User>,
    record: Option<&Record>,
) -> Result<(), Status> {
    let attributes = attributes(info, user, Some(query));
    let decision = server.authorizer.authorize(&attributes).await;
    if let Some(record) = record {
        let (allowed, reason) = match &decision {
            Decision::Allow(reason) => (true, reason),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => (false, reason),
        };
        record.authorized(allowed, reason);
    }
    match decision {
        Decision::Allow(_) => Ok(()),
        Decision::Deny(reason) | Decision::NoOpinion(reason) => Err(forbidden(&attributes, &reason)),
    }
}

pub(crate) fn attributes(info: &RequestInfo, user: &Arc<User>, query: Option<&Query>) -> Attributes {
    // Selectors narrow what is asked for; those that cannot be read narrow nothing and fail later.
    let selector = |name: &str| query.filter(|_| info.on_collection()).and_then(|query| query.get(name));
    Attributes {
        user: user.clone(),
        verb: info.verb.clone(),
        resource_request: info.is_resource,
        group: info.group.clone(),
        version: info.version.clone(),
        resource: info.resource.clone(),
        subresource: info.subresource.clone(),
        namespace: info.namespace.clone(),
        name: info.name.clone(),
        path: info.path.clone(),
        field_selector: selector("fieldSelector")
            .and_then(|text| FieldSelector::parse(text).ok())
            .map(Arc::new),
        label_selector: selector("labelSelector")
            .and_then(|text| LabelSelector::parse(text).ok())
            .map(Arc::new),
    }
}
