//! The plugin at the other end of a Unix socket.

use std::path::PathBuf;

use async_trait::async_trait;
use prost::Message;
use tokio::net::UnixStream;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

use super::wire::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, EncryptedObject, StatusRequest,
    StatusResponse,
};

/// `v2.KeyManagementService`. Errors are texts for messages; they hold no key.
#[async_trait]
pub(crate) trait Plugin: Send + Sync {
    async fn status(&self) -> Result<StatusResponse, String>;

    async fn encrypt(&self, uid: &str, plain: &[u8]) -> Result<EncryptResponse, String>;

    /// The seed or key of a stored value.
    async fn decrypt(&self, uid: &str, object: &EncryptedObject) -> Result<Vec<u8>, String>;
}

/// A plugin over gRPC. Clones share the connection, which is made at the first call.
pub(crate) struct Grpc(Channel);

impl Grpc {
    /// `unix:///run/kms.sock`. Must be called in a runtime.
    pub(crate) fn connect(endpoint: &str) -> Self {
        let path = PathBuf::from(endpoint.strip_prefix("unix://").unwrap_or(endpoint));
        let connector = tower::service_fn(move |_: tonic::transport::Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(hyper_util::rt::TokioIo::new) }
        });
        Self(Endpoint::from_static("http://localhost").connect_with_connector_lazy(connector))
    }

    async fn call<Req, Res>(&self, path: &'static str, request: Req) -> Result<Res, String>
    where
        Req: Message + 'static,
        Res: Message + Default + 'static,
    {
        let mut grpc = tonic::client::Grpc::new(self.0.clone());
        let ready = grpc.ready().await;
        ready.map_err(|error| format!("rpc error: code = Unavailable desc = {error}"))?;
        let codec: ProstCodec<Req, Res> = ProstCodec::default();
        let done = grpc.unary(tonic::Request::new(request), PathAndQuery::from_static(path), codec).await;
        done.map(tonic::Response::into_inner)
            .map_err(|status| format!("rpc error: code = {:?} desc = {}", status.code(), status.message()))
    }
}

#[async_trait]
impl Plugin for Grpc {
    async fn status(&self) -> Result<StatusResponse, String> {
        self.call("/v2.KeyManagementService/Status", StatusRequest {}).await
    }

    async fn encrypt(&self, uid: &str, plain: &[u8]) -> Result<EncryptResponse, String> {
        let request = EncryptRequest { plaintext: plain.to_vec(), uid: uid.into() };
        self.call("/v2.KeyManagementService/Encrypt", request).await
    }

    async fn decrypt(&self, uid: &str, object: &EncryptedObject) -> Result<Vec<u8>, String> {
        let request = DecryptRequest {
            ciphertext: object.encrypted_dek_source.clone(),
            uid: uid.into(),
            key_id: object.key_id.clone(),
            annotations: object.annotations.clone(),
        };
        let reply: DecryptResponse = self.call("/v2.KeyManagementService/Decrypt", request).await?;
        Ok(reply.plaintext)
    }
}
