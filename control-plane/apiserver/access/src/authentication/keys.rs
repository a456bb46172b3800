//! The keys of service-account tokens: read from PEM, signing and verifying, named and published as JWKs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{self, EcdsaKeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey};
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::der::{self, PublicKeyInfo};

#[derive(Debug, Error)]
pub enum KeyError {
    #[error("read the PEM of a service-account key: {0}")]
    Pem(String),
    #[error("no key of a kind that can be used here (EC P-256 or RSA) in the PEM")]
    NoKey,
    #[error("use the service-account key: {0}")]
    Rejected(String),
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(RsaKeyPair),
}

/// A private key that signs tokens: ES256 where it is EC P-256, RS256 where it is RSA.
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
                    Pair::Rs256(RsaKeyPair::from_der(&der).map_err(|e| KeyError::Rejected(e.to_string()))?)
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
            Pair::Es256(pair) => Ok(pair.sign(&self.random, message).map_err(failed)?.as_ref().to_vec()),
            Pair::Rs256(pair) => {
                let mut out = vec![0; pair.public().modulus_len()];
                pair.sign(&signature::RSA_PKCS1_SHA256, &self.random, message, &mut out).map_err(failed)?;
                Ok(out)
            }
        }
    }
}

fn pkcs8(der: &[u8]) -> Result<Pair, KeyError> {
    let random = SystemRandom::new();
    match EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, der, &random) {
        Ok(pair) => Ok(Pair::Es256(pair)),
        Err(_) => RsaKeyPair::from_pkcs8(der).map(Pair::Rs256).map_err(|e| KeyError::Rejected(e.to_string())),
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
    let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    EcdsaKeyPair::from_private_key_and_public_key(algorithm, private, public, &SystemRandom::new())
        .map(Pair::Es256)
        .map_err(|e| KeyError::Rejected(e.to_string()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Algorithm {
    Es256,
    Rs256,
}

/// A public key that tokens are verified with.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    algorithm: Algorithm,
    /// What `ring` verifies with: the point, or the PKCS#1 key.
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
                    RsaKeyPair::from_der(&der).ok().and_then(|pair| Self::of(&Pair::Rs256(pair)))
                }
                _ => None,
            };
            keys.extend(key);
        }
        if keys.is_empty() { Err(KeyError::NoKey) } else { Ok(keys) }
    }

    fn of(pair: &Pair) -> Option<Self> {
        let info = match pair {
            Pair::Es256(pair) => der::ec_public_key_info(pair.public_key().as_ref()),
            Pair::Rs256(pair) => der::rsa_public_key_info(pair.public_key().as_ref()),
        };
        Self::from_public_key_info(&info)
    }

    fn from_public_key_info(info: &[u8]) -> Option<Self> {
        let (algorithm, key) = match der::parse_public_key_info(info)? {
            PublicKeyInfo::Ec(point) => (Algorithm::Es256, point),
            PublicKeyInfo::Rsa(key) => (Algorithm::Rs256, key),
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
            Algorithm::Es256 => "ES256",
            Algorithm::Rs256 => "RS256",
        }
    }

    pub(super) fn verifies(&self, message: &[u8], given: &[u8]) -> bool {
        match self.algorithm {
            Algorithm::Es256 => UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, &self.key)
                .verify(message, given)
                .is_ok(),
            Algorithm::Rs256 => UnparsedPublicKey::new(&signature::RSA_PKCS1_2048_8192_SHA256, &self.key)
                .verify(message, given)
                .is_ok(),
        }
    }

    /// The key as a member of a JSON Web Key Set.
    fn to_jwk(&self) -> Option<Value> {
        let base = |kty: &str| json!({"use": "sig", "kty": kty, "kid": self.id, "alg": self.algorithm()});
        let encoded = |bytes: &[u8]| Value::from(URL_SAFE_NO_PAD.encode(bytes));
        match self.algorithm {
            Algorithm::Es256 => {
                let mut jwk = base("EC");
                jwk["crv"] = "P-256".into();
                jwk["x"] = encoded(self.key.get(1..33)?);
                jwk["y"] = encoded(self.key.get(33..65)?);
                Some(jwk)
            }
            Algorithm::Rs256 => {
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
