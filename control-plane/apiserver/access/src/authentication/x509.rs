//! Who a client certificate says its holder is. Whether it is to be believed is asked beside
//! ([`super::client_certificates`]); here the leaf is asked for a name, and whether it may be used by a client now.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::der_parser::asn1_rs::FromDer as _;

use crate::names::EXTRA_CREDENTIAL_ID;
use crate::types::{AuthenticationError, User};

/// The relative distinguished name that carries a user's UID (KEP-4601's successor for certificates).
const UID_OID: &str = "1.3.6.1.4.1.57683.2";

/// Who a leaf says its holder is, whoever has issued it: common name is the user, organisations are the groups; `None`
/// without a common name.
pub fn user_of(der: &[u8], now: Timestamp) -> Result<Option<User>, AuthenticationError> {
    let (_, leaf) = X509Certificate::from_der(der)
        .map_err(|e| AuthenticationError(format!("x509: malformed certificate: {e}")))?;
    check_validity(&leaf, now)?;
    check_usage(&leaf)?;
    let all = |found: &str| -> Vec<String> {
        leaf.subject()
            .iter_attributes()
            .filter(|a| a.attr_type().to_id_string() == found)
            .filter_map(|a| a.as_str().ok().map(str::to_string))
            .collect()
    };
    // As Go's pkix.Name: of several common names the last one counts.
    let Some(name) = all("2.5.4.3").pop().filter(|name| !name.is_empty()) else { return Ok(None) };
    let mut uids = all(UID_OID);
    if uids.len() > 1 {
        return Err(AuthenticationError("expected 1 UID, but found multiple".into()));
    }
    let fingerprint = format!("X509SHA256={}", hex::encode(Sha256::digest(der)));
    Ok(Some(User {
        name,
        uid: uids.pop().unwrap_or_default(),
        groups: all("2.5.4.10"),
        extra: [(EXTRA_CREDENTIAL_ID.to_string(), vec![fingerprint])].into(),
    }))
}

fn check_validity(leaf: &X509Certificate<'_>, now: Timestamp) -> Result<(), AuthenticationError> {
    let validity = leaf.validity();
    let printed = |seconds: i64| Timestamp::from_second(seconds).map(|t| t.to_string()).unwrap_or_default();
    let (from, to) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    let seconds = now.as_second();
    let side = if seconds < from {
        format!("before {}", printed(from))
    } else if seconds > to {
        format!("after {}", printed(to))
    } else {
        return Ok(());
    };
    Err(AuthenticationError(format!(
        "x509: certificate has expired or is not yet valid: current time {} is {side}",
        printed(seconds)
    )))
}

/// A certificate without extended key usages may be used for anything.
fn check_usage(leaf: &X509Certificate<'_>) -> Result<(), AuthenticationError> {
    match leaf.extended_key_usage() {
        Ok(None) => Ok(()),
        Ok(Some(usage)) if usage.value.client_auth || usage.value.any => Ok(()),
        _ => Err(AuthenticationError("x509: certificate specifies an incompatible key usage".into())),
    }
}

#[cfg(test)]
#[path = "x509_tests.rs"]
mod tests;
