//! A plugin that seals by writing before, known answers, rotation, and the real protocol over a socket.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use oarlock_api::GroupResource;
use oarlock_store::{ListOptions, MemoryStore, Op, Revision, Store, Txn};
use tokio::net::UnixListener;

use super::wire::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse,
};
use super::*;
use crate::{EncryptedStore, Encryption, EncryptionConfiguration, Layout};

const A: &str = "/registry/secrets/default/a";

struct Fake {
    key_id: Mutex<String>,
    healthz: Mutex<String>,
    calls: [AtomicUsize; 3],
}

impl Fake {
    fn new() -> Arc<Self> {
        let (key_id, healthz) = (Mutex::new("key-1".into()), Mutex::new("ok".into()));
        Arc::new(Self { key_id, healthz, calls: Default::default() })
    }

    fn calls(&self) -> [usize; 3] {
        [0, 1, 2].map(|call: usize| self.calls[call].load(Ordering::Relaxed))
    }

    fn count(&self, call: usize) {
        self.calls[call].fetch_add(1, Ordering::Relaxed);
    }
}

#[async_trait]
impl Plugin for Fake {
    async fn status(&self) -> Result<StatusResponse, String> {
        self.count(0);
        let (key_id, healthz) = (self.key_id.lock().clone(), self.healthz.lock().clone());
        Ok(StatusResponse { version: "v2".into(), healthz, key_id })
    }

    async fn encrypt(&self, _: &str, plain: &[u8]) -> Result<EncryptResponse, String> {
        self.count(1);
        let ciphertext = [b"sealed:", plain].concat();
        Ok(EncryptResponse { ciphertext, key_id: self.key_id.lock().clone(), ..EncryptResponse::default() })
    }

    async fn decrypt(&self, _: &str, object: &EncryptedObject) -> Result<Vec<u8>, String> {
        self.count(2);
        let source = &object.encrypted_dek_source;
        source.strip_prefix(b"sealed:").map(<[u8]>::to_vec).ok_or_else(|| "not mine".to_string())
    }
}

fn configuration(endpoint: &str) -> EncryptionConfiguration {
    let text = format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{{resources: [secrets], providers: \
         [{{kms: {{apiVersion: v2, name: plug, endpoint: '{endpoint}'}}}}, {{identity: {{}}}}]}}]"
    );
    EncryptionConfiguration::parse(std::path::Path::new("c.yaml"), text.as_bytes()).expect("valid")
}

fn layout() -> Layout {
    Layout::new([(GroupResource::new("", "secrets"), "/registry/secrets/")])
}

/// A store over `below` that talks to `plugin`.
fn over(below: &MemoryStore, plugin: &Arc<Fake>) -> EncryptedStore {
    let plugin = plugin.clone();
    let plugins = Box::new(move |_: &KmsConfiguration| plugin.clone() as Arc<dyn Plugin>);
    let encryption = Encryption::with(&configuration("unix:///nowhere"), layout(), plugins).expect("valid");
    EncryptedStore::new(Arc::new(below.clone()), encryption)
}

fn set(key: &str, value: &[u8]) -> Txn {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value));
    Txn { guards: Vec::new(), ops: vec![Op::Put { key, value, lease: None }] }
}

async fn value(store: &dyn Store) -> Result<Bytes, String> {
    let got = store.get(A.as_bytes(), None).await;
    let why =
        |error: oarlock_store::StoreError| std::error::Error::source(&error).expect("the cause").to_string();
    got.map(|(kv, _)| kv.expect("it is there").value).map_err(why)
}

#[tokio::test]
async fn known_answers() {
    let lines = include_str!("../testdata/kms.txt").lines().filter(|line| !line.starts_with('#'));
    let mut seen = 0;
    for line in lines {
        let parts: Vec<&str> = line.split(' ').collect();
        let bytes = |part: usize| hex::decode(parts[part]).expect("hexadecimal");
        let below = MemoryStore::new();
        let store = over(&below, &Fake::new());
        below.transact(set(A, &bytes(3))).await.expect("put");
        assert_eq!(value(&store).await.expect("it opens"), bytes(2), "{}", parts[0]);
        assert_eq!(
            store.is_stale(A.as_bytes()).await.expect("stale"),
            parts[0] == "key",
            "an old kind of source"
        );
        seen += 1;
    }
    assert_eq!(seen, 2);
}

#[tokio::test(start_paused = true)]
async fn one_seed_serves_until_the_plugins_key_changes() {
    let (below, plugin) = (MemoryStore::new(), Fake::new());
    let store = over(&below, &plugin);
    for turn in 0..5 {
        store.transact(set(&format!("{A}{turn}"), b"plain")).await.expect("put");
    }
    store.transact(set(A, b"plain")).await.expect("put");
    let raw = below.get(A.as_bytes(), None).await.expect("get").0.expect("there").value;
    assert!(raw.starts_with(b"k8s:enc:kms:v2:plug:"));
    assert_eq!(value(&store).await.expect("it opens"), "plain");
    assert_eq!(plugin.calls(), [1, 1, 0], "its own seed is not asked for");
    assert!(!store.is_stale(A.as_bytes()).await.expect("stale"));

    *plugin.key_id.lock() = "key-2".into();
    tokio::time::advance(FRESH).await;
    assert!(store.is_stale(A.as_bytes()).await.expect("stale"), "the plugin has another key");
    store.transact(set(A, b"plain")).await.expect("put");
    assert!(!store.is_stale(A.as_bytes()).await.expect("stale"));
    assert_eq!(plugin.calls(), [2, 2, 0]);

    let other = over(&below, &plugin);
    let listing = other.list(b"/registry/secrets/", ListOptions::default()).await.expect("list");
    assert!(listing.items.iter().all(|kv| kv.value == "plain"), "another server reads what this one wrote");
    assert_eq!(plugin.calls()[2], 2, "each seed is asked for once");
    let mut events = other.watch(b"/registry/", Revision(0)).await.expect("watch");
    let batch = futures::StreamExt::next(&mut events).await.expect("goes on").expect("no error");
    assert_eq!(batch.events[0].now.value, "plain");
}

#[tokio::test(start_paused = true)]
async fn a_plugin_that_is_not_well_stops_writes_in_the_end() {
    let (below, plugin) = (MemoryStore::new(), Fake::new());
    let store = over(&below, &plugin);
    *plugin.healthz.lock() = "broken".into();
    let why =
        |error: oarlock_store::StoreError| std::error::Error::source(&error).expect("the cause").to_string();
    let refused = why(store.transact(set(A, b"plain")).await.expect_err("no seed"));
    assert_eq!(refused, "got unexpected nil transformer of KMSv2 provider plug");
    *plugin.healthz.lock() = "ok".into();
    store.transact(set(A, b"plain")).await.expect("put");
    *plugin.healthz.lock() = "broken".into();
    tokio::time::advance(FRESH * 2).await;
    store.transact(set(A, b"again")).await.expect("the last seed serves on for a while");
    tokio::time::advance(WRITABLE).await;
    store.transact(set(A, b"no more")).await.expect_err("too old");
    assert_eq!(value(&store).await.expect("reads go on"), "again");
}

#[tokio::test(start_paused = true)]
async fn health_is_asked_for_now_and_then() {
    let plugin = Fake::new();
    let asked = plugin.clone();
    let encryption = Encryption::with(
        &configuration("unix:///nowhere"),
        layout(),
        Box::new(move |_: &KmsConfiguration| plugin.clone() as Arc<dyn Plugin>),
    )
    .expect("valid");
    assert!(encryption.has_kms());
    let check = async |want: Result<(), &str>, times: usize| {
        assert_eq!(encryption.kms_providers().await, want.map_err(str::to_string));
        assert_eq!(asked.calls()[0], times);
    };
    let broken = Err(
        "kms-provider-0: kmsv2 Provider plug is not healthy, error: got unexpected healthz status: broken",
    );
    check(Ok(()), 1).await;
    *asked.healthz.lock() = "broken".into();
    check(Ok(()), 1).await;
    tokio::time::advance(WELL).await;
    check(broken, 2).await;
    *asked.healthz.lock() = "ok".into();
    check(broken, 2).await;
    tokio::time::advance(UNWELL).await;
    check(Ok(()), 3).await;
}

#[tokio::test]
async fn what_the_plugin_refuses_is_told() {
    let (below, plugin) = (MemoryStore::new(), Fake::new());
    let object = EncryptedObject {
        encrypted_data: vec![1; 80],
        key_id: "key-1".into(),
        encrypted_dek_source: b"foreign".to_vec(),
        encrypted_dek_source_type: 1,
        ..EncryptedObject::default()
    };
    let stored =
        |object: &EncryptedObject| [b"k8s:enc:kms:v2:plug:", object.encode_to_vec().as_slice()].concat();
    let store = over(&below, &plugin);
    let check = async |object: &EncryptedObject, want: &str| {
        below.transact(set(A, &stored(object))).await.expect("put");
        assert_eq!(value(&store).await.expect_err(want), want);
    };
    check(&object, "failed to decrypt DEK, error: not mine").await;
    let other = EncryptedObject { encrypted_dek_source_type: 7, ..object.clone() };
    check(&other, "unknown encryptedDEKSourceType: 7").await;
    let empty = EncryptedObject { encrypted_dek_source: Vec::new(), ..object.clone() };
    check(&empty, "failed to validate encrypted DEK source: encrypted DEK source is empty").await;
    let nameless = EncryptedObject { key_id: String::new(), ..object.clone() };
    check(&nameless, "failed to validate key id: keyID is empty").await;
    let short = EncryptedObject {
        encrypted_data: vec![1; 20],
        encrypted_dek_source: [&b"sealed:"[..], &[7; 32]].concat(),
        ..object
    };
    check(&short, "the stored data was shorter than the required size").await;
}

/// The plugin's side of one connection.
async fn serve(listener: UnixListener, plugin: Arc<Fake>) {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let (stream, _) = listener.accept().await.expect("accept");
    let service = tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let plugin = plugin.clone();
        async move {
            Ok::<_, std::convert::Infallible>(answer(&plugin, request.map(tonic::body::Body::new)).await)
        }
    });
    let service = hyper_util::service::TowerToHyperService::new(service);
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder.serve_connection(TokioIo::new(stream), service).await.expect("served");
}

async fn answer(
    plugin: &Arc<Fake>,
    request: http::Request<tonic::body::Body>,
) -> http::Response<tonic::body::Body> {
    use tonic::{Request, Response, server::Grpc};
    let plugin = plugin.clone();
    let internal = tonic::Status::internal;
    match request.uri().path() {
        "/v2.KeyManagementService/Status" => {
            let codec: ProstCodec<StatusResponse, StatusRequest> = ProstCodec::default();
            let method = tower::service_fn(move |_: Request<StatusRequest>| {
                let plugin = plugin.clone();
                async move { plugin.status().await.map(Response::new).map_err(internal) }
            });
            Grpc::new(codec).unary(method, request).await
        }
        "/v2.KeyManagementService/Encrypt" => {
            let codec: ProstCodec<EncryptResponse, EncryptRequest> = ProstCodec::default();
            let method = tower::service_fn(move |request: Request<EncryptRequest>| {
                let plugin = plugin.clone();
                async move {
                    let EncryptRequest { plaintext, uid } = request.into_inner();
                    plugin.encrypt(&uid, &plaintext).await.map(Response::new).map_err(internal)
                }
            });
            Grpc::new(codec).unary(method, request).await
        }
        _ => {
            let codec: ProstCodec<DecryptResponse, DecryptRequest> = ProstCodec::default();
            let method = tower::service_fn(move |request: Request<DecryptRequest>| {
                let plugin = plugin.clone();
                async move {
                    let asked = request.into_inner();
                    let object = EncryptedObject {
                        encrypted_dek_source: asked.ciphertext,
                        ..EncryptedObject::default()
                    };
                    let plaintext = plugin.decrypt(&asked.uid, &object).await.map_err(internal)?;
                    Ok(Response::new(DecryptResponse { plaintext }))
                }
            });
            Grpc::new(codec).unary(method, request).await
        }
    }
}

use tonic_prost::ProstCodec;

#[tokio::test]
async fn a_plugin_is_asked_over_its_socket() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("kms.sock");
    let endpoint = format!("unix://{}", path.display());
    let below = MemoryStore::new();
    let store = |endpoint: &str| {
        let encryption = Encryption::new(&configuration(endpoint), layout()).expect("valid");
        EncryptedStore::new(Arc::new(below.clone()), encryption)
    };
    let absent = store(&endpoint);
    absent.transact(set(A, b"plain")).await.expect_err("nobody listens");

    let plugin = Fake::new();
    let (writing, reading) = (store(&endpoint), store(&endpoint));
    let listener = UnixListener::bind(&path).expect("bind");
    let work = async {
        writing.transact(set(A, b"plain")).await.expect("put");
        drop(writing);
    };
    tokio::join!(serve(listener, plugin.clone()), work);
    std::fs::remove_file(&path).expect("remove");
    let listener = UnixListener::bind(&path).expect("bind");
    let work = async {
        assert_eq!(value(&reading).await.expect("it opens"), "plain");
        drop(reading);
    };
    tokio::join!(serve(listener, plugin.clone()), work);
    assert_eq!(plugin.calls(), [1, 1, 1]);
}

proptest::proptest! {
    #[test]
    fn hostile_objects_never_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let settings = configuration("unix:///nowhere").resources[0].providers[0].kms.clone().expect("it is KMS");
        let kms = Kms::new(&settings, Fake::new());
        let mut lookups = Lookups::default();
        kms.open(&bytes, A.as_bytes(), &mut lookups).expect_err("nobody sealed this");
    }
}
