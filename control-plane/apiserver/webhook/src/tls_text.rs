//! A failed handshake in Go's words.

use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage};
use rustls_pki_types::{ServerName, UnixTime};

use crate::tls::LEGACY_NAME;

pub(crate) fn handshake_text(error: &io::Error) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => "EOF".into(),
            io::ErrorKind::ConnectionReset => "read: connection reset by peer".into(),
            _ => error.to_string(),
        };
    };
    match tls {
        rustls::Error::InvalidCertificate(why) => {
            format!("tls: failed to verify certificate: x509: {}", certificate_text(why))
        }
        rustls::Error::General(why) if why == LEGACY_NAME => {
            format!("tls: failed to verify certificate: x509: {why}")
        }
        rustls::Error::AlertReceived(alert) => format!("remote error: tls: {}", alert_text(*alert)),
        // The first byte of an HTTP answer is none of a TLS record.
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "http: server gave HTTP response to HTTPS client".into()
        }
        other => format!("tls: {other}"),
    }
}

fn certificate_text(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".into()
        }
        CertificateError::ExpiredContext { time, not_after } => format!(
            "certificate has expired or is not yet valid: current time {} is after {}",
            time_text(*time),
            time_text(*not_after)
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "certificate has expired or is not yet valid: current time {} is before {}",
            time_text(*time),
            time_text(*not_before)
        ),
        CertificateError::Expired | CertificateError::NotValidYet => {
            "certificate has expired or is not yet valid".into()
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            name_text(expected, &names(presented))
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "certificate specifies an incompatible key usage".into()
        }
        CertificateError::UnhandledCriticalExtension => "unhandled critical extension".into(),
        other => other.to_string(),
    }
}

/// The verifier tells names as `DnsName("a")` and `IpAddress(10.0.0.1)`.
fn names(presented: &[String]) -> Vec<(bool, String)> {
    presented
        .iter()
        .filter_map(|name| {
            let (kind, rest) = name.split_once('(')?;
            let is_dns = kind == "DnsName";
            Some((is_dns, rest.strip_suffix(')')?.trim_matches('"').to_string()))
        })
        .collect()
}

fn name_text(expected: &ServerName<'_>, presented: &[(bool, String)]) -> String {
    let host = expected.to_str();
    let wants_dns = matches!(expected, ServerName::DnsName(_));
    if !wants_dns && presented.iter().all(|(is_dns, _)| *is_dns) {
        return format!("cannot validate certificate for {host} because it doesn't contain any IP SANs");
    }
    if presented.is_empty() {
        return format!("certificate is not valid for any names, but wanted to match {host}");
    }
    let fitting: Vec<&str> =
        presented.iter().filter(|(is_dns, _)| *is_dns == wants_dns).map(|(_, name)| name.as_str()).collect();
    if fitting.is_empty() {
        return format!("certificate is not valid for any names, but wanted to match {host}");
    }
    format!("certificate is valid for {}, not {host}", fitting.join(", "))
}

fn time_text(at: UnixTime) -> String {
    let second = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(second)
        .map_or_else(|_| second.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

fn alert_text(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::CertificateRequired => "certificate required",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::UnrecognisedName => "unrecognized name",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        AlertDescription::InternalError => "internal error",
        _ => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_as_go_tells_them() {
        let check = |expected: &str, presented: &[&str], want: &str| {
            let expected = ServerName::try_from(expected.to_string()).expect("a name");
            let presented: Vec<String> = presented.iter().map(ToString::to_string).collect();
            assert_eq!(name_text(&expected, &names(&presented)), want);
        };
        check(
            "a.ns.svc",
            &["DnsName(\"b\")", "DnsName(\"c\")", "IpAddress(10.0.0.1)"],
            "certificate is valid for b, c, not a.ns.svc",
        );
        check("a.ns.svc", &[], "certificate is not valid for any names, but wanted to match a.ns.svc");
        check(
            "10.0.0.1",
            &["DnsName(\"b\")"],
            "cannot validate certificate for 10.0.0.1 because it doesn't contain any IP SANs",
        );
    }
}
