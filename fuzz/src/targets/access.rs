//! Credentials: tokens, certificates, keys.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::authentication::{
    BootstrapTokens, ClientCertificates, ServiceAccountTokens, SigningKey, StaticTokens, TokenAuthenticator,
    VerifyingKey, jwks, user_of,
};
use oarlock_apiserver_access::{Authenticator, Credentials, ObjectEvent, Objects};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

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

/// A cluster with one object: the bootstrap token `abcdef.0123456789abcdef`.
struct OneToken;

const BOOTSTRAP_TOKEN: &str = "abcdef.0123456789abcdef";

#[async_trait]
impl Objects for OneToken {
    fn get(&self, resource: &GroupResource, _: &str, name: &str) -> Option<Arc<Value>> {
        if &*resource.resource != "secrets" || name != "bootstrap-token-abcdef" {
            return None;
        }
        Some(Arc::new(json!({
            "apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": name, "namespace": "kube-system"},
            "data": {"token-id": "YWJjZGVm", "token-secret": "MDEyMzQ1Njc4OWFiY2RlZg==",
                "usage-bootstrap-authentication": "dHJ1ZQ=="},
        })))
    }

    async fn get_fresh(
        &self,
        resource: &GroupResource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Value>>, Status> {
        Ok(self.get(resource, namespace, name))
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
    ServiceAccountTokens::new(vec![issuer.clone()], vec![issuer], keys, Arc::new(OneToken))
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

pub(super) const CLAIMS: &[&str] = &[
    "alg",
    "ES256",
    "RS256",
    "kid",
    "crit",
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "kubernetes.io",
    "namespace",
    "serviceaccount",
    "name",
    "uid",
    "pod",
    "node",
    "secret",
    "warnafter",
    "https://kubernetes.default.svc",
    "system:serviceaccount:a:b",
    "kubernetes/serviceaccount",
];

/// `[header, claims]`, signed by a key that is trusted: what stands in the claims is read, and nobody is known by them.
pub(super) fn jwt(input: &[u8]) -> Seen {
    static KEY: LazyLock<EcdsaKeyPair> = LazyLock::new(|| {
        let pem = std::fs::read(crate::corpus::folder().join("key/ec8.pem")).expect("a seed is there");
        let der = PrivatePkcs8KeyDer::from_pem_slice(&pem).expect("the seed is a key");
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
            .expect("the seed is a key of this curve")
    });
    let Ok(Value::Array(parts)) = serde_json::from_slice(input) else { return Seen::NOTHING };
    let [header, claims] = parts.as_slice() else { return Seen::NOTHING };
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature =
        KEY.sign(&SystemRandom::new(), signed.as_bytes()).expect("the system gives random numbers");
    let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let checked = wait(TOKENS.check(&token, &[], jiff::Timestamp::UNIX_EPOCH));
    assert!(!matches!(checked, Ok(Some(_))), "{header} {claims}");
    Seen::NOTHING.result("check", &checked.map_err(|error| error.0))
}

/// Only the one token is known, to the letter.
pub(super) fn bootstrap_token(input: &[u8]) -> Seen {
    static TOKENS: LazyLock<BootstrapTokens> =
        LazyLock::new(|| BootstrapTokens::new(Arc::new(OneToken), vec!["api".to_string()]));
    let text = String::from_utf8_lossy(input);
    let check = |token: &str| wait(TOKENS.check(token, &[]));
    assert!(matches!(check(BOOTSTRAP_TOKEN), Ok(Some(_))), "the token itself is not known");
    let checked = check(&text);
    assert!(text == BOOTSTRAP_TOKEN || !matches!(checked, Ok(Some(_))), "{text}");
    Seen::NOTHING.result("check", &checked.map_err(|error| error.0))
}

/// A file of tokens knows no token that does not stand in it.
pub(super) fn token_file(input: &[u8]) -> Seen {
    let text = String::from_utf8_lossy(input);
    let tokens = StaticTokens::parse(&text, vec!["api".to_string()]);
    let seen = Seen::NOTHING.result("parse", &tokens);
    let Ok(tokens) = tokens else { return seen };
    let candidates = text.split(|c: char| !c.is_alphanumeric()).take(20).chain([""]);
    let known = candidates.filter(|token| matches!(wait(tokens.check(token, &[])), Ok(Some(_)))).count();
    assert!(!matches!(wait(tokens.check("\u{1}nobody", &[])), Ok(Some(_))));
    seen.and("known", known.min(3))
}

/// Trusts the one authority of the corpus.
fn verified() -> &'static ClientCertificates {
    static VERIFIED: LazyLock<ClientCertificates> = LazyLock::new(|| {
        let pem =
            std::fs::read_to_string(crate::corpus::folder().join("key/ca.pem")).expect("a seed is there");
        ClientCertificates::from_pem(&pem).expect("the seed is an authority")
    });
    &VERIFIED
}

pub(super) fn certificate(input: &[u8]) -> Seen {
    let chain = [CertificateDer::from(input.to_vec())];
    let headers = http::HeaderMap::new();
    let credentials = Credentials { headers: &headers, client_certificates: &chain, path: "/api" };
    let user = user_of(input, jiff::Timestamp::now());
    let named = |user: &Option<oarlock_api::User>| user.as_ref().is_none_or(|user| !user.name.is_empty());
    assert!(user.as_ref().map_or(true, named));
    let seen = Seen::NOTHING.result("user", &user.map_err(|error| error.0));
    // The authority signed one certificate, so there is one name that verifies.
    let verified = wait(verified().authenticate(&credentials));
    if let Ok(Some(user)) = &verified {
        assert_eq!(
            (user.name.as_str(), user.groups.as_slice()),
            ("admin", &["system:masters".into(), "b".into()][..])
        );
    }
    seen.result("verified", &verified.map_err(|error| error.0))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_targets_get_past_the_signatures() {
        let der = std::fs::read(crate::corpus::folder().join("certificate/signed")).expect("a seed is there");
        let unsigned =
            std::fs::read(crate::corpus::folder().join("certificate/client")).expect("a seed is there");
        let told = |der: &[u8]| {
            let chain = [CertificateDer::from(der.to_vec())];
            let headers = http::HeaderMap::new();
            let credentials = Credentials { headers: &headers, client_certificates: &chain, path: "/api" };
            wait(verified().authenticate(&credentials))
                .map(|user| user.map(|user| user.name))
                .map_err(|e| e.0)
        };
        assert_eq!(told(&der), Ok(Some("admin".to_string())));
        assert!(told(&unsigned).is_err());
        let claims = std::fs::read(crate::corpus::folder().join("jwt/bound")).expect("a seed is there");
        let text = String::from_utf8(claims).expect("JSON is text");
        // Trusted claims are refused for what they say, not for how they are signed.
        assert_ne!(jwt(text.as_bytes()), jwt(text.replace("\"sub\"", "\"bus\"").as_bytes()));
    }
}
