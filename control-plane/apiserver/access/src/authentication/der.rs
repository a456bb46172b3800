//! As much DER as key files need: reading tagged values in order, and writing a SubjectPublicKeyInfo.

use super::curve::Curve;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;

/// `rsaEncryption`, as an AlgorithmIdentifier (RFC 3279).
const RSA_ALGORITHM: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
const RSA_OID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const EC_OID: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

/// What a SubjectPublicKeyInfo holds.
pub(super) enum PublicKeyInfo<'a> {
    /// The uncompressed point.
    Ec(Curve, &'a [u8]),
    /// The PKCS#1 RSAPublicKey.
    Rsa(&'a [u8]),
}

/// Takes one value off the front: its tag, content, and what follows.
pub(super) fn read(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (bytes, rest) = rest.split_at(count);
        (bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b)), rest)
    };
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}

/// Takes one value of the given tag off the front.
pub(super) fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    read(input).filter(|(got, ..)| *got == tag).map(|(_, content, rest)| (content, rest))
}

pub(super) fn parse_public_key_info(spki: &[u8]) -> Option<PublicKeyInfo<'_>> {
    let (body, _) = expect(SEQUENCE, spki)?;
    let (algorithm, rest) = expect(SEQUENCE, body)?;
    let (oid, parameters) = expect(OID, algorithm)?;
    let (bits, _) = expect(BIT_STRING, rest)?;
    let (&unused, key) = bits.split_first()?;
    match oid {
        _ if unused != 0 => None,
        RSA_OID => Some(PublicKeyInfo::Rsa(key)),
        EC_OID => {
            let (oid, _) = expect(OID, parameters)?;
            let curve = Curve::ALL.into_iter().find(|curve| curve.oid() == oid)?;
            (key.len() == 1 + 2 * curve.size()).then_some(PublicKeyInfo::Ec(curve, key))
        }
        _ => None,
    }
}

pub(super) fn ec_public_key_info(curve: Curve, point: &[u8]) -> Vec<u8> {
    let mut identifiers = Vec::new();
    write(&mut identifiers, OID, EC_OID);
    write(&mut identifiers, OID, curve.oid());
    let mut algorithm = Vec::new();
    write(&mut algorithm, SEQUENCE, &identifiers);
    public_key_info(&algorithm, point)
}

pub(super) fn rsa_public_key_info(pkcs1: &[u8]) -> Vec<u8> {
    public_key_info(RSA_ALGORITHM, pkcs1)
}

fn public_key_info(algorithm: &[u8], key: &[u8]) -> Vec<u8> {
    let mut bits = vec![0];
    bits.extend_from_slice(key);
    let mut body = algorithm.to_vec();
    write(&mut body, BIT_STRING, &bits);
    let mut out = Vec::with_capacity(body.len() + 4);
    write(&mut out, SEQUENCE, &body);
    out
}

fn write(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    match content.len() {
        n @ ..0x80 => out.push(n as u8),
        n @ ..0x100 => out.extend([0x81, n as u8]),
        n => out.extend([0x82, (n >> 8) as u8, n as u8]),
    }
    out.extend_from_slice(content);
}
