//! What a kube-apiserver wrote is read here, by each provider.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use oarlock_api::GroupResource;
use serde_json::{Value, json};

use super::Plugin;
use super::wire::{EncryptResponse, EncryptedObject, StatusResponse};
use crate::{Encryption, EncryptionConfiguration, Layout};

/// The plugin that was behind that kube-apiserver.
struct Xor;

fn xor(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 0x5a).collect()
}

#[async_trait]
impl Plugin for Xor {
    async fn status(&self) -> Result<StatusResponse, String> {
        Ok(StatusResponse { version: "v2".into(), healthz: "ok".into(), key_id: "key-1".into() })
    }

    async fn encrypt(&self, _: &str, plain: &[u8]) -> Result<EncryptResponse, String> {
        let ciphertext = [b"Xkey-1|", &*xor(plain)].concat();
        Ok(EncryptResponse { ciphertext, key_id: "key-1".into(), ..Default::default() })
    }

    async fn decrypt(&self, _: &str, object: &EncryptedObject) -> Result<Vec<u8>, String> {
        let sealed = object.encrypted_dek_source.strip_prefix(b"Xkey-1|").ok_or("not mine")?;
        Ok(xor(sealed))
    }
}

struct Row {
    provider: String,
    resource: GroupResource,
    place: String,
    secret: String,
    plain: Bytes,
    stored: Bytes,
}

fn rows() -> Vec<Row> {
    let lines = include_str!("../testdata/upstream.txt").lines().filter(|line| !line.starts_with('#'));
    let bytes = |text: &str| Bytes::from(hex::decode(text).expect("hexadecimal"));
    lines
        .map(|line| {
            let parts: Vec<&str> = line.split(' ').collect();
            let (resource, group) = parts[1].split_once('.').unwrap_or((parts[1], ""));
            Row {
                provider: parts[0].into(),
                resource: GroupResource::new(group, resource),
                place: format!("/registry/{}", parts[2]),
                secret: parts[3].into(),
                plain: bytes(parts[4]),
                stored: bytes(parts[5]),
            }
        })
        .collect()
}

/// The rule under which a row was written.
fn rule(row: &Row) -> Value {
    let resource = match &*row.resource.group {
        "" => row.resource.resource.to_string(),
        group => format!("{}.{group}", row.resource.resource),
    };
    let provider = match &*row.provider {
        "kms" => json!({"kms": {"apiVersion": "v2", "name": "kk", "endpoint": "unix:///nowhere"}}),
        name => {
            let key = json!({"name": row.secret[..2], "secret": STANDARD.encode(&row.secret)});
            json!({ name: {"keys": [key]} })
        }
    };
    json!({"resources": [resource], "providers": [provider, {"identity": {}}]})
}

#[tokio::test]
async fn what_a_kube_apiserver_wrote_is_read() {
    let rows = rows();
    assert_eq!(rows.len(), 8, "three sizes of two AES modes, secretbox, KMS v2");
    let text = json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration",
        "resources": rows.iter().map(rule).collect::<Vec<_>>(),
    });
    let file = std::path::Path::new("c.yaml");
    let configuration = EncryptionConfiguration::parse(file, text.to_string().as_bytes()).expect("valid");
    let layout = Layout::new(rows.iter().map(|row| {
        let prefix = row.place.split("default/").next().expect("the first part");
        (row.resource.clone(), prefix.to_string())
    }));
    let encryption = Encryption::with(&configuration, layout, Box::new(|_| Arc::new(Xor))).expect("valid");
    for row in rows {
        let opened = encryption.open(row.place.as_bytes(), &row.stored).await;
        assert_eq!(opened, Ok((row.plain, false)), "{} of {}", row.provider, row.place);
    }
}
