//! Acting as somebody else, for those who may. Next: `authorise`.

use std::sync::Arc;

use http::HeaderMap;
use oarlock_api::Status;
use oarlock_apiserver_access::User;
use oarlock_apiserver_audit::Record;

use crate::authorise;
use crate::request_info::{Query, RequestInfo};
use crate::server::Server;

/// Who the request is by now. Constrained impersonation looks at what is asked for, too.
pub(crate) async fn impersonate(
    server: &Server,
    headers: &HeaderMap,
    info: &RequestInfo,
    query: &Query,
    user: Arc<User>,
    record: Option<&Record>,
) -> Result<Arc<User>, Status> {
    // Most requests do not ask for it, and pay nothing.
    if !headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(user);
    }
    let asked = authorise::attributes(info, &user, Some(query));
    let Some(other) = server.impersonator.act(headers, &asked).await? else { return Ok(user) };
    if let Some(record) = record {
        record.impersonated(&other.user);
        if !other.constraint.is_empty() {
            record.constrained(other.constraint);
        }
    }
    Ok(other.user)
}
