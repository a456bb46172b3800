//! Keys of token issuers (RFC 7517) and the signatures that are theirs (RFC 7515, 7518).

use aws_lc_rs::signature::{self, RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::super::curve::Curve;
use crate::value::{items, text};

/// Every algorithm that can be verified here: all that upstream knows.
pub(crate) const ALGORITHMS: [&str; 9] =
    ["RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"];
/// No issuer has more keys; a set that is greater is hostile.
const KEYS_MAX: usize = 256;

#[derive(Debug, Clone)]
enum Key {
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// The uncompressed point.
    Ec(Curve, Vec<u8>),
}

#[derive(Debug, Clone)]
struct Named {
    id: String,
    algorithm: String,
    key: Key,
}

/// The keys of one issuer.
#[derive(Debug, Clone, Default)]
pub(super) struct KeySet(Vec<Named>);

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// No key of the set fits: there may be newer ones.
    NoKey,
    Bad,
}

impl KeySet {
    /// Keys that cannot be used here are left out.
    pub(super) fn read(document: &Value) -> Self {
        Self(items(document, &["keys"]).iter().take(KEYS_MAX).filter_map(read_key).collect())
    }

    /// Whether one of the keys has signed the token, by one of the allowed algorithms.
    pub(super) fn verify(&self, token: &str, allowed: &[String]) -> Verdict {
        let Some((message, given)) = token.rsplit_once('.') else { return Verdict::Bad };
        let header = message.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
        let header: Option<Value> = header.and_then(|header| serde_json::from_slice(&header).ok());
        let (Some(header), Ok(given)) = (header, URL_SAFE_NO_PAD.decode(given)) else { return Verdict::Bad };
        let algorithm = text(&header, &["alg"]);
        if !allowed.iter().any(|allowed| allowed == algorithm) {
            return Verdict::Bad;
        }
        let id = text(&header, &["kid"]);
        let fits = |key: &&Named| {
            (id.is_empty() || key.id == id) && (key.algorithm.is_empty() || key.algorithm == algorithm)
        };
        let mut fitting = self.0.iter().filter(fits).peekable();
        if fitting.peek().is_none() {
            return Verdict::NoKey;
        }
        if fitting.any(|key| key.key.verifies(algorithm, message.as_bytes(), &given)) {
            return Verdict::Good;
        }
        // A key may have been replaced under the same name.
        Verdict::NoKey
    }
}

fn read_key(jwk: &Value) -> Option<Named> {
    let bytes = |field: &str| URL_SAFE_NO_PAD.decode(text(jwk, &[field])).ok().filter(|b| !b.is_empty());
    if !matches!(text(jwk, &["use"]), "" | "sig") {
        return None;
    }
    let key = match (text(jwk, &["kty"]), text(jwk, &["crv"])) {
        ("RSA", _) => Key::Rsa { modulus: bytes("n")?, exponent: bytes("e")? },
        ("EC", curve) => {
            let curve = Curve::ALL.into_iter().find(|known| known.name() == curve)?;
            let size = curve.size();
            let (x, y) = (bytes("x")?, bytes("y")?);
            if x.len() > size || y.len() > size {
                return None;
            }
            let mut point = vec![4];
            for coordinate in [x, y] {
                point.resize(point.len() + size - coordinate.len(), 0);
                point.extend(coordinate);
            }
            Key::Ec(curve, point)
        }
        _ => return None,
    };
    Some(Named { id: text(jwk, &["kid"]).into(), algorithm: text(jwk, &["alg"]).into(), key })
}

impl Key {
    fn verifies(&self, algorithm: &str, message: &[u8], given: &[u8]) -> bool {
        let rsa = |parameters: &'static RsaParameters| match self {
            Self::Rsa { modulus, exponent } => {
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(parameters, message, given).is_ok()
            }
            _ => false,
        };
        match (algorithm, self) {
            ("RS256", _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA256),
            ("RS384", _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA384),
            ("RS512", _) => rsa(&signature::RSA_PKCS1_2048_8192_SHA512),
            ("PS256", _) => rsa(&signature::RSA_PSS_2048_8192_SHA256),
            ("PS384", _) => rsa(&signature::RSA_PSS_2048_8192_SHA384),
            ("PS512", _) => rsa(&signature::RSA_PSS_2048_8192_SHA512),
            (_, Self::Ec(curve, key)) => {
                algorithm == curve.algorithm()
                    && UnparsedPublicKey::new(curve.verification(), key).verify(message, given).is_ok()
            }
            _ => false,
        }
    }
}
