//! Service-account tokens as JSON Web Tokens: their claims, their signature, and nothing of the cluster.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::keys::{KeyError, SigningKey, VerifyingKey};

/// What a token says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Claims {
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub(crate) aud: Vec<String>,
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "seconds")]
    pub(crate) exp: i64,
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "seconds")]
    pub(crate) iat: i64,
    #[serde(default)]
    pub(crate) iss: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) jti: String,
    #[serde(rename = "kubernetes.io", default)]
    pub(crate) kubernetes: PrivateClaims,
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "seconds")]
    pub(crate) nbf: i64,
    #[serde(default)]
    pub(crate) sub: String,
    #[serde(flatten)]
    pub(crate) legacy: LegacyClaims,
}

/// What tokens that stand in secrets say instead.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct LegacyClaims {
    #[serde(
        rename = "kubernetes.io/serviceaccount/namespace",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) namespace: String,
    #[serde(
        rename = "kubernetes.io/serviceaccount/secret.name",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) secret: String,
    #[serde(
        rename = "kubernetes.io/serviceaccount/service-account.name",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) account: String,
    #[serde(
        rename = "kubernetes.io/serviceaccount/service-account.uid",
        default,
        skip_serializing_if = "String::is_empty"
    )]
    pub(crate) uid: String,
}

/// The `kubernetes.io` claim.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct PrivateClaims {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<Ref>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Ref>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret: Option<Ref>,
    pub(crate) serviceaccount: Ref,
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "seconds")]
    pub(crate) warnafter: i64,
}

/// One object, of one lifetime.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Ref {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) uid: String,
}

fn is_zero(n: &i64) -> bool {
    *n == 0
}

/// RFC 7519's `aud`: a string or a list of strings.
fn one_or_many<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

/// RFC 7519's NumericDate, whose fraction nobody needs.
fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    f64::deserialize(deserializer).map(|n| n as i64)
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    alg: String,
    #[serde(default)]
    kid: String,
}

/// Signs the claims into a compact token.
pub(crate) fn sign(key: &SigningKey, claims: &Claims) -> Result<String, KeyError> {
    let public = key.verifying_key();
    let header = json!({"alg": public.algorithm(), "kid": public.id()});
    let body = serde_json::to_vec(claims).expect("plain strings and numbers always serialise");
    let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(body, &mut token);
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    Ok(token)
}

/// The claims as they stand in the token, believed by nobody yet; `None` where it is not a JWT.
pub(crate) fn unverified(token: &str) -> Option<Claims> {
    let mut parts = token.split('.');
    let (_, body, _, none) = (parts.next()?, parts.next()?, parts.next()?, parts.next());
    if none.is_some() {
        return None;
    }
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()
}

/// Whether one of the keys has signed the token. The algorithm is the key's, never the token's choice.
pub(crate) fn signed_by_one_of(keys: &[VerifyingKey], token: &str) -> bool {
    let check = || {
        let (message, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let header = URL_SAFE_NO_PAD.decode(message.split('.').next()?).ok()?;
        let header: Header = serde_json::from_slice(&header).ok()?;
        let fits = |key: &&VerifyingKey| {
            key.algorithm() == header.alg && (header.kid.is_empty() || key.id() == header.kid)
        };
        Some(keys.iter().filter(fits).any(|key| key.verifies(message.as_bytes(), &signature)))
    };
    check().unwrap_or(false)
}
