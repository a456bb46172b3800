//! Who asks: the component itself in process, else the chain of authenticators. Next: `impersonate`.

use std::sync::Arc;

use http::HeaderMap;
use oarlock_api::Status;
use oarlock_apiserver_access::{Credentials, User};

use crate::chain::Peer;
use crate::server::Server;

pub(crate) async fn authenticate(
    server: &Server,
    peer: &Peer,
    headers: &HeaderMap,
    path: &str,
) -> Result<Arc<User>, Status> {
    if let Some(user) = &peer.identity {
        return Ok(user.clone());
    }
    let credentials = Credentials { headers, client_certificates: &peer.certificates, path };
    server.authenticator.authenticate(&credentials).await
}
