//! `kube-system/extension-apiserver-authentication`: what an aggregated server reads to know its clients and the front
//! proxy. Several servers write it, so what others believe stays; authorities go when they have expired.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Map, Value, json};

use super::{Action, ensure};
use crate::authorities::Believed;
use crate::config::Error;
use crate::server::Server;

pub(super) const NAME: &str = "extension-apiserver-authentication";
pub(super) const NAMESPACE: &str = "kube-system";

/// Keys whose values are certificates; all others are lists of names.
const BUNDLES: [&str; 2] = ["client-ca-file", "requestheader-client-ca-file"];

/// An authority that has ended is told of for so long, should clocks differ.
const SLACK_SECONDS: i64 = 5 * 60;
const LINE: usize = 64;

pub(super) async fn publish(server: &Arc<Server>) -> Result<(), Error> {
    let ours = told(&server.believed.borrow());
    let now = Timestamp::now().as_second();
    let object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": NAME, "namespace": NAMESPACE },
        "data": combined(&Value::Null, &ours, now),
    });
    ensure(server, "configmaps", object, |existing, _| {
        let Some(existing) = existing else { return Some(Action::Create) };
        let data = combined(&existing["data"], &ours, now);
        (existing["data"] != data).then(|| {
            let mut new = existing.clone();
            new["data"] = data;
            Action::Replace(new)
        })
    })
    .await
}

/// What this server believes.
fn told(believed: &Believed) -> Map<String, Value> {
    let mut data = Map::new();
    let mut say = |key: &str, value: String| data.insert(key.to_string(), value.into());
    if let Some(ca) = &believed.clients {
        say("client-ca-file", ca.clone());
    }
    if let Some(header) = &believed.proxies {
        say("requestheader-client-ca-file", header.client_ca_pem.clone());
        say("requestheader-allowed-names", json!(header.allowed_names).to_string());
        say("requestheader-username-headers", json!(header.username_headers).to_string());
        if !header.uid_headers.is_empty() {
            say("requestheader-uid-headers", json!(header.uid_headers).to_string());
        }
        say("requestheader-group-headers", json!(header.group_headers).to_string());
        say("requestheader-extra-headers-prefix", json!(header.extra_headers_prefixes).to_string());
    }
    data
}

/// What was told and what is ours, each once.
fn combined(existing: &Value, ours: &Map<String, Value>, now: i64) -> Value {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or_default().to_string();
    let known = |key: &&str| BUNDLES.contains(key) || key.starts_with("requestheader-");
    let theirs = existing.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).filter(known);
    let mut data = Map::new();
    for key in theirs.chain(ours.keys().map(String::as_str)) {
        let (old, new) = (text(existing.get(key)), text(ours.get(key)));
        let value = if BUNDLES.contains(&key) { bundle(&[old, new], now) } else { names(&[old, new]) };
        if !value.is_empty() {
            data.insert(key.into(), value.into());
        }
    }
    Value::Object(data)
}

fn names(lists: &[String]) -> String {
    let mut all: Vec<String> = Vec::new();
    for name in lists.iter().flat_map(|list| serde_json::from_str::<Vec<String>>(list).unwrap_or_default()) {
        if !all.contains(&name) {
            all.push(name);
        }
    }
    json!(all).to_string()
}

fn bundle(bundles: &[String], now: i64) -> String {
    let mut all: Vec<CertificateDer<'static>> = Vec::new();
    for certificate in bundles.iter().flat_map(|pem| CertificateDer::pem_slice_iter(pem.as_bytes())) {
        // What cannot be read helps nobody.
        let Ok(certificate) = certificate else { continue };
        if lives(&certificate, now) && !all.contains(&certificate) {
            all.push(certificate);
        }
    }
    all.iter().map(|certificate| pem(certificate)).collect()
}

fn lives(certificate: &[u8], now: i64) -> bool {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    parsed.is_ok_and(|(_, parsed)| parsed.validity().not_after.timestamp() > now - SLACK_SECONDS)
}

fn pem(certificate: &[u8]) -> String {
    let digits = STANDARD.encode(certificate);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in digits.as_bytes().chunks(LINE) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use oarlock_pki::Authority;

    fn authority(name: &str) -> String {
        let dir = tempfile::tempdir().expect("a folder");
        let path = |name: &str| dir.path().join(name);
        let made = Authority::load_or_create(&path("ca.crt"), &path("ca.key"), name).expect("an authority");
        made.cert_pem().to_string()
    }

    fn certificates(value: &Value) -> usize {
        value.as_str().unwrap_or_default().matches("BEGIN CERTIFICATE").count()
    }

    #[test]
    fn what_others_believe_stays_and_nothing_is_told_twice() {
        let (one, two, now) = (authority("one"), authority("two"), Timestamp::now().as_second());
        let ours = |ca: &str, name: &str| {
            let data =
                json!({ "client-ca-file": ca, "requestheader-allowed-names": json!([name]).to_string() });
            data.as_object().expect("a map").clone()
        };
        let first = combined(&Value::Null, &ours(&one, "a"), now);
        assert_eq!(certificates(&first["client-ca-file"]), 1);
        assert_eq!(combined(&first, &ours(&one, "a"), now), first, "the same again is no change");
        let both = combined(&first, &ours(&format!("{two}{one}"), "b"), now);
        assert_eq!(certificates(&both["client-ca-file"]), 2);
        assert_eq!(both["requestheader-allowed-names"], r#"["a","b"]"#);
        let broken = json!({ "client-ca-file": "nothing", "requestheader-allowed-names": "{", "other": "x" });
        assert_eq!(combined(&broken, &ours(&one, "a"), now), first, "what cannot be read is made good");
        let late = now + 200 * 365 * 24 * 3600;
        assert_eq!(combined(&first, &ours(&one, "a"), late).get("client-ca-file"), None, "it has expired");
    }
}
