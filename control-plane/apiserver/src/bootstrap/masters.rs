//! Which API servers share the store: upstream's master leases, one short-lived key for each server's address. Written
//! only to a store that several servers can share; upstream's servers read and write the same keys.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use oarlock_api::Table;
use oarlock_api::codec::protobuf;
use oarlock_store::{ListOptions, Op, Store, StoreError, Txn};
use serde_json::{Value, json};

use crate::registry::Storage;

const PREFIX: &str = "/registry/masterleases/";

/// A server that is silent for so long is gone.
const TTL: Duration = Duration::from_secs(15);

/// How often a server says that it lives.
pub(super) const PERIOD: Duration = Duration::from_secs(10);

fn key_of(address: IpAddr) -> Bytes {
    format!("{PREFIX}{address}").into()
}

/// Says for a while that a server is reached at `address`. `endpoints` says in which form Endpoints are kept.
pub(super) async fn announce(
    store: &dyn Store,
    endpoints: &Storage,
    address: IpAddr,
) -> Result<(), StoreError> {
    let key = key_of(address);
    let (existing, _) = store.get(&key, None).await?;
    let generation = existing
        .and_then(|kv| read(&kv.value))
        .map_or(0, |object| object["metadata"]["generation"].as_i64().unwrap_or(0));
    let object = json!({
        "kind": "Endpoints", "apiVersion": "v1",
        "metadata": { "generation": generation.saturating_add(1) },
        "subsets": [{ "addresses": [{ "ip": address.to_string() }] }],
    });
    let lease = store.grant(TTL).await?;
    let put = Op::Put { key, value: crate::encode::stored(endpoints, &object), lease: Some(lease) };
    store.transact(Txn { guards: Vec::new(), ops: vec![put] }).await.map(drop)
}

/// The server at `address` goes.
pub(super) async fn withdraw(store: &dyn Store, address: IpAddr) -> Result<(), StoreError> {
    let delete = Op::Delete { key: key_of(address) };
    store.transact(Txn { guards: Vec::new(), ops: vec![delete] }).await.map(drop)
}

/// Where the servers that live are reached.
pub(super) async fn addresses(store: &dyn Store) -> Result<BTreeSet<String>, StoreError> {
    let listing = store.list(PREFIX.as_bytes(), ListOptions::default()).await?;
    Ok(listing.items.iter().filter_map(|kv| address_in(&kv.value)).collect())
}

fn read(bytes: &[u8]) -> Option<Value> {
    if protobuf::is_envelope(bytes) {
        return protobuf::decode_object(Table::builtin(), bytes).ok().map(|(_, object)| object);
    }
    serde_json::from_slice(bytes).ok()
}

fn address_in(bytes: &[u8]) -> Option<String> {
    let object = read(bytes)?;
    let address = object["subsets"][0]["addresses"][0]["ip"].as_str()?;
    (!address.is_empty()).then(|| address.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read() {
        let object = json!({
            "kind": "Endpoints", "apiVersion": "v1", "metadata": {"generation": 3},
            "subsets": [{"addresses": [{"ip": "10.0.0.7"}]}],
        });
        let wire = protobuf::encode_object(Table::builtin(), &object).expect("Endpoints are built in");
        let check = |bytes: &[u8], want: Option<&str>| assert_eq!(address_in(bytes).as_deref(), want);
        check(&wire, Some("10.0.0.7"));
        check(object.to_string().as_bytes(), Some("10.0.0.7"));
        check(b"{\"subsets\":[]}", None);
        check(b"k8s\0\xff\xff", None);
        check(b"", None);
    }
}
