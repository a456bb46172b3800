//! Validation of ClusterTrustBundles. (`ValidateClusterTrustBundle`)

use std::collections::HashSet;

use oarlock_api::{FieldError, FieldErrors, Path};
use serde_json::Value;

use super::signing::{block, is_sequence};
use crate::strategy::Context;
use crate::value::{name, text};
use crate::{check, names};

const BUNDLE_MAX: usize = 1024 * 1024;

pub(super) fn validate(bundle: &Value, errors: &mut FieldErrors) {
    let (spec, path, called) = (&bundle["spec"], Path::new("spec"), name(bundle));
    let (signer, name_at) = (text(&spec["signerName"]), Path::new("metadata").child("name"));
    if signer.is_empty() {
        if called.contains(':') {
            let words = "ClusterTrustBundle without signer name must not have \":\" in its name";
            errors.push(FieldError::invalid(name_at.clone(), called, words));
        }
        check::syntax(called, names::subdomain, &name_at, errors);
    } else {
        let prefix = format!("{}:", signer.replace('/', ":"));
        match called.strip_prefix(&prefix) {
            Some(rest) => check::syntax(rest, names::subdomain, &name_at, errors),
            None => {
                let words =
                    format!("ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}");
                errors.push(FieldError::invalid(name_at, called, words));
            }
        }
        check::signer_name(signer, &path.child("signerName"), errors);
    }
    anchors(text(&spec["trustBundle"]), &path.child("trustBundle"), errors);
}

/// At least one certificate, each once, and nothing else.
fn anchors(bundle: &str, path: &Path, errors: &mut FieldErrors) {
    const END: &str = "-----END CERTIFICATE-----";
    let mut refuse = |words: String| {
        errors.push(FieldError::invalid(path.clone(), "<value omitted>", words));
    };
    if bundle.len() > BUNDLE_MAX {
        return errors.push(FieldError::too_long(path.clone(), BUNDLE_MAX));
    }
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    for (index, part) in bundle.split_inclusive(END).filter(|part| part.contains("-----BEGIN ")).enumerate() {
        match block(part.as_bytes()) {
            Some((label, der)) if label == "CERTIFICATE" && is_sequence(&der) => {
                if !seen.insert(der) {
                    refuse(format!("duplicate trust anchor (indices {index})"));
                }
            }
            Some((label, _)) if label != "CERTIFICATE" => {
                refuse(format!("entry {index} has bad block type: {label}"));
            }
            _ => refuse(format!("entry {index} does not parse as X.509: asn1: structure error")),
        }
    }
    if seen.is_empty() && !bundle.contains("-----BEGIN ") {
        refuse("at least one trust anchor must be provided".into());
    }
}

pub(super) fn changes(_: &Context<'_>, new: &Value, old: &Value, errors: &mut FieldErrors) {
    let at = Path::new("spec").child("signerName");
    check::immutable(&new["spec"]["signerName"], &old["spec"]["signerName"], &at, errors);
}
