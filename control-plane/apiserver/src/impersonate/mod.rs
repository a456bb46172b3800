//! Acting as somebody else, for those who may. Next: `authorise`.

use std::sync::Arc;

use http::HeaderMap;
use oarlock_api::Status;
use oarlock_apiserver_access::{User, impersonate};

use crate::server::Server;

pub(crate) async fn impersonate(
    server: &Server,
    headers: &HeaderMap,
    user: Arc<User>,
) -> Result<Arc<User>, Status> {
    let other = impersonate::impersonate(headers, &user, &*server.authorizer).await?;
    Ok(other.unwrap_or(user))
}
