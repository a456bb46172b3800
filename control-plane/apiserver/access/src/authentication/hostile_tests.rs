//! What strangers send never makes the server panic, and nothing but the real thing is believed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use jiff::Timestamp;
use oarlock_pki::{Authority, Profile};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::FakeObjects;

const EC: &str = include_str!("testdata/ec-sec1.pem");

fn certificate() -> Vec<u8> {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (cert, key) = (dir.path().join("ca.crt"), dir.path().join("ca.key"));
    let authority = Authority::load_or_create(&cert, &key, "test").expect("an authority");
    let identity = authority.issue(&Profile::client("jane", "devs")).expect("a certificate");
    identity.certificates().expect("PEM").remove(0).to_vec()
}

fn token(key: &SigningKey) -> String {
    let claims = jwt::Claims {
        iss: "https://issuer".into(),
        sub: "system:serviceaccount:default:bot".into(),
        aud: vec!["api".into()],
        ..jwt::Claims::default()
    };
    jwt::sign(key, &claims).expect("signed")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn bent_certificates(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
        thread_local!(static DER: Vec<u8> = certificate());
        let mut der = DER.with(Clone::clone);
        let at = at % der.len();
        der[at] = byte;
        // Whatever comes out: it is not a panic.
        let _ = x509::user_of(&der, Timestamp::now());
        der.truncate(cut);
        prop_assert!(x509::user_of(&der, Timestamp::now()).is_err());
    }

    #[test]
    fn bent_tokens(at in 0usize..400, letter in "[ -~]", tail in "[a-zA-Z0-9._-]{0,40}") {
        let key = SigningKey::from_pem(EC).expect("a key");
        let good = token(&key);
        let at = at % good.len();
        let bent = format!("{}{letter}{}{tail}", &good[..at], &good[at + 1..]);
        // The last letter of a signature in base64 holds bits that are no bits of it.
        prop_assume!(bent != good && URL_SAFE_NO_PAD.decode(bent.rsplit('.').next().unwrap_or_default()).ok()
            != URL_SAFE_NO_PAD.decode(good.rsplit('.').next().unwrap_or_default()).ok()
            || bent.rsplit_once('.').map(|(m, _)| m) != good.rsplit_once('.').map(|(m, _)| m));
        prop_assert!(!jwt::signed_by_one_of(&[key.verifying_key()], &bent));
        let _ = jwt::unverified(&bent);
    }

    #[test]
    fn any_header(value in proptest::collection::vec(any::<u8>(), 0..120), name in 0usize..2) {
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        let mut headers = HeaderMap::new();
        headers.insert(["authorization", "sec-websocket-protocol"][name], value);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let objects = FakeObjects::with(&[]);
        let tokens = TokenUnion::new(vec![
            Arc::new(ServiceAccountTokens::new(vec!["https://issuer".into()], vec![], vec![], objects.clone())),
            Arc::new(BootstrapTokens::new(objects, vec![])),
            Arc::new(StaticTokens::parse("token,jane,1", vec![]).expect("valid")),
        ]);
        let chain = AuthenticationChain::new(vec![Arc::new(BearerTokens::new(Arc::new(tokens)))]);
        let credentials = Credentials { headers: &headers, client_certificates: &[], path: "/api" };
        let user = runtime.block_on(chain.authenticate(&credentials));
        let said = headers.get("authorization").is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"bearer token"));
        prop_assert!(user.is_err() || said);
    }

    #[test]
    fn any_file(text in "[a-z\",#\n ]{0,80}") {
        // Files are the administrator's, and still no reason to panic.
        let _ = StaticTokens::parse(&text, vec![]);
        let config = AuthenticationConfig { file: Some(text.into_bytes()), ..AuthenticationConfig::default() };
        let _ = config.check();
    }
}

#[test]
fn deep_and_wide_documents() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let body = URL_SAFE_NO_PAD.encode(&deep);
    assert!(jwt::unverified(&format!("e30.{body}.e30")).is_none());
    let config = AuthenticationConfig { file: Some(deep.into_bytes()), ..AuthenticationConfig::default() };
    assert!(config.check().is_err());
    let key = json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"});
    let many = json!({"keys": vec![key; 10_000]});
    let signing = SigningKey::from_pem(EC).expect("a key");
    assert!(!oidc::verified_by(&many, &token(&signing)), "keys that are none verify nothing");
}
