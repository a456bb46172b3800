//! What admission writes of its own: the use of a ResourceQuota, around admission and validation.

use std::sync::Arc;

use async_trait::async_trait;
use oarlock_api::{GroupResource, Status};
use oarlock_apiserver_access::admission::QuotaUpdater;
use oarlock_store::{Compare, Op, Revision, Store, Txn, TxnReply};
use serde_json::Value;

use super::{Catalogue, key_of, set_revision, store_failed};

pub(crate) struct QuotaWriter {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) resources: Arc<Catalogue>,
}

#[async_trait]
impl QuotaUpdater for QuotaWriter {
    async fn update_status(&self, quota: Value) -> Result<Arc<Value>, Status> {
        let resource = GroupResource::new("", "resourcequotas");
        let text = |field: &str| quota["metadata"][field].as_str().unwrap_or_default().to_string();
        let (namespace, name) = (text("namespace"), text("name"));
        let cached = self.resources.cached(&resource).ok_or_else(|| Status::not_found(&resource, &name))?;
        let storage = &cached.storage;
        let key: bytes::Bytes = key_of(&storage.prefix, &namespace, &name).into();
        let (kv, _) = self.store.get(&key, None).await.map_err(store_failed)?;
        let kv = kv.ok_or_else(|| Status::not_found(&resource, &name))?;
        let asked = text("resourceVersion").parse().map(Revision);
        if asked != Ok(kv.mod_revision) {
            return Err(Status::modified(&resource, &name));
        }
        let mut stored =
            crate::decode::stored(storage, &kv.value, kv.mod_revision.0).map_err(Status::internal)?;
        stored["status"] = quota["status"].clone();
        let value = crate::encode::stored(storage, &stored);
        let guards = vec![Compare { key: key.clone(), mod_revision: kv.mod_revision }];
        let ops = vec![Op::Put { key, value, lease: None }];
        match self.store.transact(Txn { guards, ops }).await.map_err(store_failed)? {
            TxnReply::Done { revision } => {
                set_revision(&mut stored, revision.0);
                Ok(Arc::new(stored))
            }
            TxnReply::Failed { .. } => Err(Status::modified(&resource, &name)),
        }
    }
}
