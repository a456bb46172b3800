use async_trait::async_trait;
use base64::Engine as _;
use http::HeaderMap;
use serde_json::json;

use super::*;
use crate::types::AuthenticationError;

const EC_SEC1: &str = include_str!("testdata/ec-sec1.pem");
const RSA_PKCS1: &str = include_str!("testdata/rsa-pkcs1.pem");
const EC_384: &str = include_str!("testdata/ec384-sec1.pem");
const EC_521: &str = include_str!("testdata/ec521-pkcs8.pem");

#[test]
fn every_form_of_a_key_is_the_same_key() {
    let forms = [
        (EC_SEC1, include_str!("testdata/ec-pkcs8.pem"), include_str!("testdata/ec-public.pem")),
        (RSA_PKCS1, include_str!("testdata/rsa-pkcs8.pem"), include_str!("testdata/rsa-public.pem")),
    ];
    for (own, pkcs8, public) in forms {
        let id = |pem: &str| VerifyingKey::all_from_pem(pem).expect("a key is in it")[0].id().to_string();
        let signing = SigningKey::from_pem(own).expect("a private key is in it");
        assert_eq!(signing.verifying_key().id(), id(public));
        assert_eq!(id(own), id(public));
        assert_eq!(id(pkcs8), id(public));
        assert_eq!(
            SigningKey::from_pem(pkcs8).expect("a private key is in it").verifying_key().id(),
            id(public)
        );
        assert!(SigningKey::from_pem(public).is_err(), "a public key signs nothing");
    }
    assert!(VerifyingKey::all_from_pem("nothing").is_err());
}

#[test]
fn tokens_are_signed_and_not_to_be_bent() {
    let ec = SigningKey::from_pem(EC_SEC1).expect("a key");
    let rsa = SigningKey::from_pem(RSA_PKCS1).expect("a key");
    let claims = jwt::Claims { iss: "https://issuer".into(), sub: "me".into(), ..jwt::Claims::default() };
    let [ec384, ec521] = [EC_384, EC_521].map(|pem| SigningKey::from_pem(pem).expect("a key"));
    for (key, other) in [(&ec, &rsa), (&rsa, &ec), (&ec384, &ec), (&ec521, &ec384)] {
        let token = jwt::sign(key, &claims).expect("signed");
        assert_eq!(jwt::unverified(&token).as_ref(), Some(&claims));
        assert!(jwt::signed_by_one_of(&[other.verifying_key(), key.verifying_key()], &token));
        assert!(!jwt::signed_by_one_of(&[other.verifying_key()], &token), "another key");
        let (message, signature) = token.rsplit_once('.').expect("three parts");
        let (header, _) = message.split_once('.').expect("three parts");
        let bent = jwt::sign(key, &jwt::Claims { sub: "you".into(), ..claims.clone() }).expect("signed");
        let body = bent.split('.').nth(1).expect("three parts");
        assert!(!jwt::signed_by_one_of(&[key.verifying_key()], &format!("{header}.{body}.{signature}")));
        let none = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        assert!(
            !jwt::signed_by_one_of(&[key.verifying_key()], &format!("{none}.{body}.")),
            "no signature at all"
        );
    }
    for junk in ["", ".", "a.b.c", "a.b", "a.b.c.d"] {
        assert!(jwt::unverified(junk).is_none(), "{junk}");
        assert!(!jwt::signed_by_one_of(&[ec.verifying_key()], junk), "{junk}");
    }
}

#[test]
fn keys_are_published() {
    let keys = [EC_SEC1, RSA_PKCS1, EC_384, EC_521];
    let keys = keys.map(|pem| SigningKey::from_pem(pem).expect("a key").verifying_key());
    let set = jwks(&keys);
    assert_eq!(set["keys"][0]["kty"], "EC");
    assert_eq!(set["keys"][0]["crv"], "P-256");
    assert_eq!(set["keys"][0]["x"].as_str().map(str::len), Some(43));
    assert_eq!(set["keys"][1]["kty"], "RSA");
    assert_eq!(set["keys"][1]["e"], "AQAB");
    assert_eq!(set["keys"][1]["n"].as_str().map(str::len), Some(342));
    for (at, curve, length) in [(2, "P-384", 64), (3, "P-521", 88)] {
        assert_eq!(set["keys"][at]["crv"], curve);
        assert_eq!(set["keys"][at]["y"].as_str().map(str::len), Some(length));
    }
    let configuration = openid_configuration("https://i", "https://i/openid/v1/jwks", &keys);
    assert_eq!(
        configuration["id_token_signing_alg_values_supported"],
        json!(["ES256", "ES384", "ES512", "RS256"])
    );
}

struct Says(Result<Option<&'static str>, ()>);

#[async_trait]
impl Authenticator for Says {
    async fn authenticate(&self, _: &Credentials<'_>) -> Result<Option<User>, AuthenticationError> {
        let named = |name: &str| User { name: name.into(), ..User::default() };
        self.0.map(|found| found.map(named)).map_err(|()| AuthenticationError("bad".into()))
    }
}

#[tokio::test]
async fn the_chain_gives_a_user_or_401() {
    let (nobody, jane, bad) = (Ok(None), Ok(Some("jane")), Err(()));
    let cases = [
        ("known", vec![nobody, jane], "/api", false, Some("jane")),
        ("bad, but known by other means", vec![bad, jane], "/api", false, Some("jane")),
        ("unknown", vec![nobody], "/api", false, None),
        ("unknown asks for health", vec![nobody], "/readyz/ping", false, Some("system:anonymous")),
        ("unknown asks for the version", vec![nobody], "/version", false, Some("system:anonymous")),
        ("unknown asks for metrics", vec![nobody], "/metrics", false, None),
        ("lookalike path", vec![nobody], "/healthzz", false, None),
        ("bad asks for health", vec![bad], "/healthz", false, None),
        ("a token nobody knows asks for health", vec![nobody], "/healthz", true, None),
    ];
    for (what, links, path, token, want) in cases {
        let links = links.into_iter().map(|says| Arc::new(Says(says)) as Arc<dyn Authenticator>).collect();
        let mut headers = HeaderMap::new();
        if token {
            headers.insert("authorization", "Bearer x".parse().expect("a header"));
        }
        let credentials = Credentials { headers: &headers, client_certificates: &[], path };
        let got = AuthenticationChain::new(links).authenticate(&credentials).await;
        assert_eq!(got.as_ref().ok().map(|user| user.name.as_str()), want, "{what}");
        match got {
            Ok(user) if user.name == "jane" => assert_eq!(user.groups, ["system:authenticated"], "{what}"),
            Ok(user) => assert_eq!(user.groups, ["system:unauthenticated"], "{what}"),
            Err(status) => assert_eq!((status.code, status.reason.as_str()), (401, "Unauthorized"), "{what}"),
        }
    }
}

#[test]
fn bearer_tokens_are_found() {
    let check = |name: &'static str, value: &str, want: Option<&str>| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().expect("a header"));
        assert_eq!(service_account::bearer_token(&headers).as_deref(), want, "{name}: {value}");
    };
    check("authorization", "Bearer abc", Some("abc"));
    check("authorization", "bearer abc", Some("abc"));
    check("authorization", "Bearer ", None);
    check("authorization", "Basic abc", None);
    check(
        "sec-websocket-protocol",
        "v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.YWJj",
        Some("abc"),
    );
    check("sec-websocket-protocol", "v4.channel.k8s.io", None);
}
