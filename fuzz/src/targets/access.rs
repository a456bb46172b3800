//! Credentials: tokens, certificates, keys.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::authentication::{
    ClientCertificates, ServiceAccountTokens, SigningKey, VerifyingKey, jwks,
};
use oarlock_apiserver_access::{Authenticator, Credentials, ObjectEvent, Objects};
use rustls_pki_types::CertificateDer;
use serde_json::Value;

use super::wait;
use crate::Seen;

pub(super) const WORDS: &[&str] = &[
    ".",
    "eyJhbGciOiJSUzI1NiJ9",
    "eyJhbGciOiJFUzI1NiJ9",
    "eyJhbGciOiJub25lIn0",
    "e30",
    "Bearer ",
    "Basic ",
    "=",
    "-",
    "_",
    "abcdef.0123456789abcdef",
    "eyJpc3MiOiJodHRwczovL2t1YmVybmV0ZXMuZGVmYXVsdC5zdmMiLCJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6YTpiIn0",
];
pub(super) const PEM_WORDS: &[&str] = &[
    "-----BEGIN ",
    "-----END ",
    "RSA PRIVATE KEY-----",
    "EC PRIVATE KEY-----",
    "PRIVATE KEY-----",
    "PUBLIC KEY-----",
    "CERTIFICATE-----",
    "\n",
    "MII",
    "AAAA",
    "==",
    "Proc-Type: 4,ENCRYPTED",
];

/// A cluster without objects.
struct Nothing;

#[async_trait]
impl Objects for Nothing {
    fn get(&self, _: &GroupResource, _: &str, _: &str) -> Option<Arc<Value>> {
        None
    }

    async fn get_fresh(&self, _: &GroupResource, _: &str, _: &str) -> Result<Option<Arc<Value>>, Status> {
        Ok(None)
    }

    fn list(&self, _: &GroupResource, _: &str) -> Vec<Arc<Value>> {
        Vec::new()
    }

    fn generation(&self, _: &GroupResource) -> u64 {
        0
    }

    fn subscribe(&self, _: &GroupResource) -> tokio::sync::mpsc::Receiver<ObjectEvent> {
        tokio::sync::mpsc::channel(1).1
    }
}

static TOKENS: LazyLock<ServiceAccountTokens> = LazyLock::new(|| {
    let issuer = "https://kubernetes.default.svc".to_string();
    let pem = std::fs::read_to_string(crate::corpus::folder().join("key/public.pem")).unwrap_or_default();
    let keys = VerifyingKey::all_from_pem(&pem).unwrap_or_default();
    ServiceAccountTokens::new(vec![issuer.clone()], vec![issuer], keys, Arc::new(Nothing))
});

/// Nobody is known here, so no token may be.
pub(super) fn token(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let checked = wait(TOKENS.check(&text, &[], jiff::Timestamp::UNIX_EPOCH));
    assert!(!matches!(checked, Ok(Some(_))), "{text}");
    let seen = Seen::NOTHING.result("check", &checked.map_err(|error| error.0));
    let mut headers = http::HeaderMap::new();
    let Ok(value) = http::HeaderValue::from_bytes(input) else { return seen };
    headers.insert(http::header::AUTHORIZATION, value.clone());
    headers.insert(http::header::SEC_WEBSOCKET_PROTOCOL, value);
    let credentials = Credentials { headers: &headers, client_certificates: &[], path: "/api" };
    let user = wait(Authenticator::authenticate(&*TOKENS, &credentials));
    assert!(!matches!(user, Ok(Some(_))), "{text}");
    seen.result("header", &user.map_err(|error| error.0))
}

pub(super) fn certificate(input: &[u8]) -> Seen {
    let chain = [CertificateDer::from(input.to_vec())];
    let headers = http::HeaderMap::new();
    let credentials = Credentials { headers: &headers, client_certificates: &chain, path: "/api" };
    let user = wait(ClientCertificates.authenticate(&credentials));
    let named = |user: &Option<oarlock_api::User>| user.as_ref().is_none_or(|user| !user.name.is_empty());
    assert!(user.as_ref().map_or(true, named));
    Seen::NOTHING.result("user", &user.map_err(|error| error.0))
}

pub(super) fn key(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let signing = SigningKey::from_pem(&text);
    let verifying = VerifyingKey::all_from_pem(&text);
    let seen = Seen::NOTHING.result("signing", &signing).result("verifying", &verifying);
    if let Ok(keys) = verifying {
        // A key whose inner form is broken verifies nothing, and is not published.
        let set = jwks(&keys);
        assert!(set["keys"].as_array().is_some_and(|published| published.len() <= keys.len()));
    }
    seen
}
