//! The keys of service-account tokens: read from PEM, signing and verifying, named and published as JWKs.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::curve::Curve;
use super::der::{self, PublicKeyInfo};

#[derive(Debug, Error)]
pub enum KeyError {
    #[error("read the PEM of a service-account key: {0}")]
    Pem(String),
    #[error("no key of a kind that can be used here (RSA, or EC of P-256, P-384 or P-521) in the PEM")]
    NoKey,
    #[error("use the service-account key: {0}")]
    Rejected(String),
}

enum Pair {
    Ec(Curve, EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// A private key that signs tokens: ES256, ES384 or ES512 where it is EC, by its curve; RS256 where it is RSA.
pub struct SigningKey {
    pair: Pair,
    public: VerifyingKey,
    random: SystemRandom,
}

impl SigningKey {
    /// The first private key in the PEM, in PKCS#8, SEC1 or PKCS#1.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        for section in sections(pem) {
            let (kind, der) = section?;
            let pair = match kind {
                SectionKind::PrivateKey => pkcs8(&der)?,
                SectionKind::EcPrivateKey => sec1(&der)?,
                SectionKind::RsaPrivateKey => {
                    Pair::Rsa(RsaKeyPair::from_der(&der).map_err(|e| KeyError::Rejected(e.to_string()))?)
                }
                _ => continue,
            };
            let public = VerifyingKey::of(&pair).ok_or(KeyError::NoKey)?;
            return Ok(Self { pair, public, random: SystemRandom::new() });
        }
        Err(KeyError::NoKey)
    }

    pub fn verifying_key(&self) -> VerifyingKey {
        self.public.clone()
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let failed = |_| KeyError::Rejected("signing failed".into());
        match &self.pair {
            Pair::Ec(_, pair) => Ok(pair.sign(&self.random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &self.random, message, &mut out).map_err(failed)?;
                Ok(out)
            }
        }
    }
}

fn pkcs8(der: &[u8]) -> Result<Pair, KeyError> {
    let of = |curve: Curve| Some(Pair::Ec(curve, EcdsaKeyPair::from_pkcs8(curve.signing(), der).ok()?));
    match Curve::ALL.into_iter().find_map(of) {
        Some(pair) => Ok(pair),
        None => RsaKeyPair::from_pkcs8(der).map(Pair::Rsa).map_err(|e| KeyError::Rejected(e.to_string())),
    }
}

/// `ECPrivateKey` of RFC 5915: version, private key, parameters, public key.
fn sec1(der: &[u8]) -> Result<Pair, KeyError> {
    let parts = || {
        let (body, _) = der::expect(der::SEQUENCE, der)?;
        let (_, rest) = der::expect(der::INTEGER, body)?;
        let (private, mut rest) = der::expect(der::OCTET_STRING, rest)?;
        while let Some((tag, content, after)) = der::read(rest) {
            if tag == 0xa1 {
                let (bits, _) = der::expect(der::BIT_STRING, content)?;
                return Some((private, bits.get(1..)?));
            }
            rest = after;
        }
        None
    };
    let (private, public) = parts().ok_or(KeyError::NoKey)?;
    let curve = Curve::ALL.into_iter().find(|curve| public.len() == 1 + 2 * curve.size());
    let curve = curve.ok_or(KeyError::NoKey)?;
    EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), private, public)
        .map(|pair| Pair::Ec(curve, pair))
        .map_err(|e| KeyError::Rejected(e.to_string()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Ec(Curve),
    Rsa,
}

/// A public key that tokens are verified with.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    /// What `aws-lc-rs` verifies with: the point, or the PKCS#1 key.
    key: Vec<u8>,
    id: String,
}

impl VerifyingKey {
    /// Every key in the PEM: public keys, certificates' keys, and the public halves of private keys.
    pub fn all_from_pem(pem: &str) -> Result<Vec<Self>, KeyError> {
        let mut keys = Vec::new();
        for section in sections(pem) {
            let (kind, der) = section?;
            let key = match kind {
                SectionKind::PublicKey => Self::from_public_key_info(&der),
                SectionKind::Certificate => x509_parser::parse_x509_certificate(&der)
                    .ok()
                    .and_then(|(_, certificate)| Self::from_public_key_info(certificate.public_key().raw)),
                SectionKind::PrivateKey => pkcs8(&der).ok().and_then(|pair| Self::of(&pair)),
                SectionKind::EcPrivateKey => sec1(&der).ok().and_then(|pair| Self::of(&pair)),
                SectionKind::RsaPrivateKey => {
                    RsaKeyPair::from_der(&der).ok().and_then(|pair| Self::of(&Pair::Rsa(pair)))
                }
                _ => None,
            };
            keys.extend(key);
        }
        if keys.is_empty() { Err(KeyError::NoKey) } else { Ok(keys) }
    }

    fn of(pair: &Pair) -> Option<Self> {
        let info = match pair {
            Pair::Ec(curve, pair) => der::ec_public_key_info(*curve, pair.public_key().as_ref()),
            Pair::Rsa(pair) => der::rsa_public_key_info(pair.public_key().as_ref()),
        };
        Self::from_public_key_info(&info)
    }

    fn from_public_key_info(info: &[u8]) -> Option<Self> {
        let (algorithm, key) = match der::parse_public_key_info(info)? {
            PublicKeyInfo::Ec(curve, point) => (Algorithm::Ec(curve), point),
            PublicKeyInfo::Rsa(key) => (Algorithm::Rsa, key),
        };
        let id = URL_SAFE_NO_PAD.encode(Sha256::digest(info));
        Some(Self { algorithm, key: key.to_vec(), id })
    }

    /// The key ID in a token's header: as upstream's, the digest of the SubjectPublicKeyInfo.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn algorithm(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Ec(curve) => curve.algorithm(),
            Algorithm::Rsa => "RS256",
        }
    }

    pub(super) fn verifies(&self, message: &[u8], given: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Ec(curve) => {
                UnparsedPublicKey::new(curve.verification(), &self.key).verify(message, given).is_ok()
            }
            Algorithm::Rsa => UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &self.key)
                .verify(message, given)
                .is_ok(),
        }
    }

    /// The key as a member of a JSON Web Key Set.
    fn to_jwk(&self) -> Option<Value> {
        let base = |kty: &str| json!({"use": "sig", "kty": kty, "kid": self.id, "alg": self.algorithm()});
        let encoded = |bytes: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(bytes));
        match self.algorithm {
            Algorithm::Ec(curve) => {
                let (x, y) = self.key.get(1..)?.split_at_checked(curve.size())?;
                let mut jwk = base("EC");
                jwk["crv"] = curve.name().into();
                jwk["x"] = encoded(x);
                jwk["y"] = encoded(y);
                Some(jwk)
            }
            Algorithm::Rsa => {
                let (body, _) = der::expect(der::SEQUENCE, &self.key)?;
                let (modulus, rest) = der::expect(der::INTEGER, body)?;
                let (exponent, _) = der::expect(der::INTEGER, rest)?;
                let unsigned = |n: &'_ [u8]| encoded(n.strip_prefix(&[0]).unwrap_or(n));
                let mut jwk = base("RSA");
                jwk["n"] = unsigned(modulus);
                jwk["e"] = unsigned(exponent);
                Some(jwk)
            }
        }
    }
}

fn sections(pem: &str) -> impl Iterator<Item = Result<(SectionKind, Vec<u8>), KeyError>> + '_ {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem.as_bytes())
        .map(|s| s.map_err(|e| KeyError::Pem(e.to_string())))
}

/// The document at `/openid/v1/jwks`.
pub fn jwks(keys: &[VerifyingKey]) -> Value {
    json!({"keys": keys.iter().filter_map(VerifyingKey::to_jwk).collect::<Vec<_>>()})
}

/// The document at `/.well-known/openid-configuration`.
pub fn openid_configuration(issuer: &str, jwks_uri: &str, keys: &[VerifyingKey]) -> Value {
    let mut algorithms: Vec<&str> = keys.iter().map(VerifyingKey::algorithm).collect();
    algorithms.sort_unstable();
    algorithms.dedup();
    json!({
        "issuer": issuer,
        "jwks_uri": jwks_uri,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    })
}
