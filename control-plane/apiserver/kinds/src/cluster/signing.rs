//! Validation of CertificateSigningRequests. (`pkg/apis/certificates/validation`)

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use crate::check::{self, Seen};
use crate::strategy::Context;
use crate::value::{items, text};

const SECONDS_MIN: i64 = 600;
const LEGACY: &str = "kubernetes.io/legacy-unknown";
const DECIDED: [&str; 3] = ["Approved", "Denied", "Failed"];
const STATUSES: [&str; 3] = ["False", "True", "Unknown"];
const USAGES: [&str; 23] = [
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// The bytes of the first block of PEM text, and its label.
pub(super) fn block(pem: &[u8]) -> Option<(String, Vec<u8>)> {
    let text = std::str::from_utf8(pem).ok()?;
    let start = text.find("-----BEGIN ")? + "-----BEGIN ".len();
    let (label, rest) = text[start..].split_once("-----")?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let body: String = body.split_whitespace().collect();
    Some((label.to_string(), STANDARD.decode(body).ok()?))
}

fn pem(value: &Value) -> Option<(String, Vec<u8>)> {
    block(&STANDARD.decode(text(value)).ok()?)
}

/// A whole DER sequence, as every certificate and request is one.
pub(super) fn is_sequence(der: &[u8]) -> bool {
    let Some((&0x30, rest)) = der.split_first() else { return false };
    let Some((&first, rest)) = rest.split_first() else { return false };
    if first < 0x80 {
        return rest.len() == usize::from(first);
    }
    let count = usize::from(first & 0x7f);
    (1..=4).contains(&count)
        && rest.len() >= count
        && rest[..count].iter().fold(0_usize, |n, b| n << 8 | usize::from(*b)) == rest.len() - count
}

pub(super) fn validate(request: &Value, errors: &mut FieldErrors) {
    let (spec, path) = (&request["spec"], Path::new("spec"));
    let fault = match pem(&spec["request"]) {
        Some((label, der)) if label == "CERTIFICATE REQUEST" => {
            (!is_sequence(&der)).then_some("asn1: structure error: tags don't match")
        }
        _ => Some("PEM block type must be CERTIFICATE REQUEST"),
    };
    if let Some(fault) = fault {
        errors.push(FieldError::invalid(path.child("request"), spec["request"].clone(), fault));
    }
    let (usages, at) = (items(&spec["usages"]), path.child("usages"));
    if usages.is_empty() {
        errors.push(FieldError::required(at.clone(), ""));
    }
    let mut seen = Seen::new();
    for (index, usage) in usages.iter().map(text).enumerate() {
        if !USAGES.contains(&usage) {
            errors.push(FieldError::not_supported(at.index(index), usage, &USAGES));
        }
        seen.add(usage, &at.index(index), errors);
    }
    let (signer, at) = (text(&spec["signerName"]), path.child("signerName"));
    if signer == LEGACY {
        let words = "the legacy signerName is not allowed via this API version";
        errors.push(FieldError::invalid(at, signer, words));
    } else {
        check::signer_name(signer, &at, errors);
    }
    let (seconds, at) = (&spec["expirationSeconds"], path.child("expirationSeconds"));
    let words = "may not specify a duration less than 600 seconds (10 minutes)";
    check::at_least(seconds, SECONDS_MIN, words, &at, errors);
    conditions(&request["status"]["conditions"], errors);
}

fn conditions(conditions: &Value, errors: &mut FieldErrors) {
    let path = Path::new("status").child("conditions");
    let mut seen = HashSet::new();
    for (index, condition) in items(conditions).iter().enumerate() {
        let (kind, status) = (text(&condition["type"]), text(&condition["status"]));
        let (at, status_at) = (path.index(index).child("type"), path.index(index).child("status"));
        if kind.is_empty() {
            errors.push(FieldError::required(at.clone(), ""));
        }
        let allowed: &[&str] = if DECIDED.contains(&kind) { &["True"] } else { &STATUSES };
        if status.is_empty() {
            errors.push(FieldError::required(status_at, ""));
        } else if !allowed.contains(&status) {
            errors.push(FieldError::not_supported(status_at, status, allowed));
        }
        let other = match kind {
            "Approved" => "Denied",
            "Denied" => "Approved",
            _ => "",
        };
        if !other.is_empty() && seen.contains(other) {
            let words = "Approved and Denied conditions are mutually exclusive";
            errors.push(FieldError::invalid(at.clone(), kind, words));
        }
        if !seen.insert(kind) {
            errors.push(FieldError::duplicate(at, kind));
        }
    }
}

/// A decision stands; only `/approval` makes one, only `/status` gives the certificate, and once.
pub(super) fn changes(context: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let path = Path::new("status");
    let count = |object: &Value, kind: &str| {
        items(&object["status"]["conditions"]).iter().filter(|c| c["type"] == kind).count()
    };
    for kind in DECIDED.iter().filter(|kind| count(old, kind) > count(new, kind)) {
        let words = format!("updates may not remove a condition of type {kind:?}");
        errors.push(FieldError::forbidden(path.child("conditions"), words));
    }
    if context.subresource != "approval" {
        for kind in DECIDED[..2].iter().filter(|kind| count(new, kind) > count(old, kind)) {
            let words = format!("updates may not add a condition of type {kind:?}");
            errors.push(FieldError::forbidden(path.child("conditions"), words));
        }
    }
    if context.subresource == "status" {
        conditions(&new["status"]["conditions"], errors);
    }
    let (now, was, at) =
        (text(&new["status"]["certificate"]), text(&old["status"]["certificate"]), path.child("certificate"));
    if now == was {
        return;
    }
    if !was.is_empty() {
        let words = "updates may not modify existing certificate content";
        errors.push(FieldError::forbidden(at.clone(), words));
    } else if context.subresource != "status" {
        errors.push(FieldError::forbidden(at.clone(), "updates may not set certificate content"));
    }
    if let Some(fault) = certificate_fault(&new["status"]["certificate"]) {
        errors.push(FieldError::invalid(at, new["status"]["certificate"].clone(), fault));
    }
}

fn certificate_fault(certificate: &Value) -> Option<&'static str> {
    match pem(certificate) {
        None => Some("must contain at least one CERTIFICATE PEM block"),
        Some((label, _)) if label != "CERTIFICATE" => {
            Some("only CERTIFICATE PEM blocks are allowed, found something else")
        }
        Some((_, der)) => (!is_sequence(&der)).then_some("asn1: structure error: tags don't match"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_whole() {
        for (der, want) in [
            (&[0x30_u8, 0][..], true),
            (&[0x30, 2, 1, 1], true),
            (&[0x30, 0x81, 1, 9], true),
            (&[0x30, 2, 1], false),
            (&[0x31, 0], false),
            (&[], false),
        ] {
            assert_eq!(is_sequence(der), want, "{der:?}");
        }
    }
}
