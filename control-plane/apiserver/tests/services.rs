//! What Services are given: addresses and node ports that several servers on one store share.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use common::{TestServer, eventually, start, start_on};
use futures::future::join_all;
use http::Method;
use oarlock_store::{
    KeyValue, LeaseId, ListOptions, Listing, MemoryStore, Op, Result, Revision, Store, Txn, TxnReply,
    WatchStream,
};
use serde_json::{Value, json};

const SERVICES: &str = "/api/v1/namespaces/default/services";
const ADDRESSES: &str = "/apis/networking.k8s.io/v1/ipaddresses";
const RANGES: &str = "/apis/networking.k8s.io/v1/servicecidrs";
const PORTS_KEY: &[u8] = b"/registry/ranges/servicenodeports";

fn service(name: &str, spec: Value) -> Value {
    let mut service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    for (field, value) in spec.as_object().into_iter().flatten() {
        service["spec"][field] = value.clone();
    }
    service
}

fn node_port(name: &str, port: u16) -> Value {
    service(name, json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}))
}

async fn create(server: &TestServer, service: Value) -> (u16, Value) {
    server.ask(Method::POST, SERVICES, service).await
}

async fn remove(server: &TestServer, name: &str) {
    let (code, said) = server.ask(Method::DELETE, &format!("{SERVICES}/{name}"), Value::Null).await;
    assert_eq!(code, 200, "{said}");
}

#[track_caller]
fn unique(mut values: Vec<String>) {
    let count = values.len();
    values.sort();
    values.dedup();
    assert_eq!(values.len(), count, "something was given twice");
}

#[tokio::test]
async fn two_servers_give_nothing_twice() {
    let store = Arc::new(MemoryStore::new());
    let (one, two) = (start_on(store.clone()).await, start_on(store).await);
    let both = [&one, &two];
    let created = join_all(
        (0..40).map(|n| create(both[n % 2], service(&format!("any-{n}"), json!({"type": "NodePort"})))),
    )
    .await;
    assert!(created.iter().all(|(code, _)| *code == 201), "{created:?}");
    unique(created.iter().map(|(_, s)| s["spec"]["clusterIP"].to_string()).collect());
    unique(created.iter().map(|(_, s)| s["spec"]["ports"][0]["nodePort"].to_string()).collect());

    let check = async |make: &(dyn Fn(usize) -> Value + Sync), refusal: &str| {
        let raced = join_all((0..8).map(|n| create(both[n % 2], make(n)))).await;
        assert_eq!(raced.iter().filter(|(code, _)| *code == 201).count(), 1, "{raced:?}");
        for (_, said) in raced.iter().filter(|(code, _)| *code != 201) {
            assert_eq!((said["code"].clone(), said["reason"].clone()), (json!(422), json!("Invalid")));
            assert!(said["message"].as_str().is_some_and(|m| m.ends_with(refusal)), "{said}");
        }
    };
    check(
        &|n| service(&format!("ip-{n}"), json!({"clusterIP": "10.96.0.10"})),
        r#"spec.clusterIPs: Invalid value: ["10.96.0.10"]: failed to allocate IP 10.96.0.10: provided IP is already allocated"#,
    )
    .await;
    check(
        &|n| node_port(&format!("port-{n}"), 30007),
        "spec.ports[0].nodePort: Invalid value: 30007: provided port is already allocated",
    )
    .await;
    one.stop().await;
    two.stop().await;
}

#[tokio::test]
async fn an_address_has_its_object() {
    let server = start().await;
    let (_, kubernetes) = server.get(&format!("{ADDRESSES}/10.96.0.1")).await;
    let parent = json!({"resource": "services", "namespace": "default", "name": "kubernetes"});
    assert_eq!(kubernetes["spec"]["parentRef"], parent);
    let (_, made) = create(&server, service("a", json!({}))).await;
    let ip = made["spec"]["clusterIP"].as_str().expect("an address").to_string();
    let (code, address) = server.get(&format!("{ADDRESSES}/{ip}")).await;
    assert_eq!(code, 200);
    let labels = json!({
        "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    });
    assert_eq!(address["metadata"]["labels"], labels);
    assert_eq!(address["spec"]["parentRef"]["name"], "a");
    // One transaction wrote both.
    assert_eq!(address["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    // Nobody asked for it by name: it comes from above the band of those who do.
    let number: Vec<u32> = ip.split('.').map(|part| part.parse().expect("a number")).collect();
    assert!(number[2] * 256 + number[3] > 256, "{ip}");
    remove(&server, "a").await;
    assert_eq!(server.get(&format!("{ADDRESSES}/{ip}")).await.0, 404);
    let (code, again) = create(&server, service("b", json!({"clusterIP": ip}))).await;
    assert_eq!(code, 201, "{again}");
    let (_, gone) = server
        .ask_with(
            Method::PATCH,
            &format!("{SERVICES}/b"),
            &[("content-type", "application/merge-patch+json")],
            br#"{"spec": {"type": "ExternalName", "externalName": "example.com"}}"#.to_vec(),
        )
        .await;
    assert!(gone["spec"].get("clusterIP").is_none(), "{gone}");
    assert_eq!(server.get(&format!("{ADDRESSES}/{ip}")).await.0, 404);
    server.stop().await;
}

#[tokio::test]
async fn refusals_are_upstreams() {
    let server = start().await;
    let check = async |spec: Value, refusal: &str| {
        let (code, said) = create(&server, service("x", spec)).await;
        assert_eq!(code, 422, "{said}");
        assert_eq!(said["message"], format!("Service \"x\" is invalid: {refusal}"));
    };
    check(
        json!({"clusterIP": "10.9.0.1"}),
        r#"spec.clusterIPs: Invalid value: ["10.9.0.1"]: failed to allocate IP 10.9.0.1: the provided network does not match the current range"#,
    )
    .await;
    check(
        json!({"clusterIP": "10.96.0.0"}),
        r#"spec.clusterIPs: Invalid value: ["10.96.0.0"]: failed to allocate IP 10.96.0.0: the provided IP (10.96.0.0) is not in the valid range. The range of valid IPs is 10.96.0.0/16"#,
    )
    .await;
    check(
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}),
        "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. The range of valid ports is 30000-32767",
    )
    .await;
    server.stop().await;
}

#[tokio::test]
async fn a_dry_run_takes_nothing() {
    let server = start().await;
    let wish =
        json!({"type": "NodePort", "clusterIP": "10.96.0.20", "ports": [{"port": 80, "nodePort": 30020}]});
    for _ in 0..2 {
        let path = format!("{SERVICES}?dryRun=All");
        let (code, said) = server.ask(Method::POST, &path, service("x", wish.clone())).await;
        assert_eq!(code, 201, "{said}");
    }
    assert_eq!(server.get(&format!("{ADDRESSES}/10.96.0.20")).await.0, 404);
    assert_eq!(create(&server, service("x", wish)).await.0, 201);
    server.stop().await;
}

#[tokio::test]
async fn a_restart_knows_what_was_given() {
    let store = Arc::new(MemoryStore::new());
    let server = start_on(store.clone()).await;
    let wish =
        json!({"type": "NodePort", "clusterIP": "10.96.0.30", "ports": [{"port": 80, "nodePort": 30030}]});
    assert_eq!(create(&server, service("a", wish)).await.0, 201);
    server.stop().await;

    let server = start_on(store.clone()).await;
    assert_eq!(create(&server, service("b", json!({"clusterIP": "10.96.0.30"}))).await.0, 422);
    assert_eq!(create(&server, node_port("b", 30030)).await.0, 422);
    server.stop().await;

    // A store whose services were given everything by a server that kept no record.
    let lost = [b"/registry/ipaddresses/10.96.0.30".as_slice(), PORTS_KEY];
    let ops = lost.map(|key| Op::Delete { key: key.to_vec().into() }).to_vec();
    store.transact(Txn { guards: vec![], ops }).await.expect("deleted");
    let server = start_on(store.clone()).await;
    assert_eq!(create(&server, service("b", json!({"clusterIP": "10.96.0.30"}))).await.0, 422);
    assert_eq!(create(&server, node_port("b", 30030)).await.0, 422);
    eventually("the repair is told", async || {
        let (_, events) = server.get("/api/v1/namespaces/default/events").await;
        let mut reasons: Vec<String> =
            events["items"].as_array()?.iter().map(|e| e["reason"].to_string()).collect();
        reasons.sort();
        (reasons == ["\"ClusterIPNotAllocated\"", "\"PortNotAllocated\""]).then_some(())
    })
    .await;
    remove(&server, "a").await;
    assert_eq!(create(&server, service("b", json!({"clusterIP": "10.96.0.30"}))).await.0, 201);
    assert_eq!(create(&server, node_port("c", 30030)).await.0, 201);
    server.stop().await;
}

#[tokio::test]
async fn ports_of_upstreams_server_are_respected() {
    let store = Arc::new(MemoryStore::new());
    let server = start_on(store.clone()).await;
    let (kv, _) = store.get(PORTS_KEY, None).await.expect("read");
    assert!(kv.is_some(), "the object is there from the start");
    // Protobuf: RangeAllocation{range: "30000-32767", data: [1, 2]}, ports 30001 and 30008.
    let mut message = vec![0x0a, 0x00, 0x12, 11];
    message.extend_from_slice(b"30000-32767");
    message.extend_from_slice(&[0x1a, 2, 1, 2]);
    let value = oarlock_api::codec::protobuf::wrap("v1", "RangeAllocation", &message).into();
    let put = Op::Put { key: PORTS_KEY.into(), value, lease: None };
    store.transact(Txn { guards: vec![], ops: vec![put] }).await.expect("written");
    assert_eq!(create(&server, node_port("a", 30008)).await.0, 422);
    assert_eq!(create(&server, node_port("a", 30009)).await.0, 201);
    let (kv, _) = store.get(PORTS_KEY, None).await.expect("read");
    let object: Value = serde_json::from_slice(&kv.expect("there").value).expect("JSON");
    // Bytes 3, 2: the ports 30009, 30008 and 30001.
    assert_eq!((object["range"].clone(), object["data"].clone()), (json!("30000-32767"), json!("AwI=")));
    server.stop().await;
}

#[tokio::test]
async fn further_ranges_come_and_are_protected() {
    let server = start().await;
    eventually("the default range is kept", async || {
        let (_, range) = server.get(&format!("{RANGES}/kubernetes")).await;
        let finalizers = json!(["networking.k8s.io/service-cidr-finalizer"]);
        (range["metadata"]["finalizers"] == finalizers
            && range["status"]["conditions"][0]["status"] == "True")
            .then_some(())
    })
    .await;
    let range = json!({"metadata": {"name": "more"}, "spec": {"cidrs": ["192.168.7.0/28"]}});
    assert_eq!(server.ask(Method::POST, RANGES, range).await.0, 201);
    let inside = service("a", json!({"clusterIP": "192.168.7.5"}));
    eventually("the range is used", async || (create(&server, inside.clone()).await.0 == 201).then_some(()))
        .await;
    eventually("the range is kept", async || {
        let (_, range) = server.get(&format!("{RANGES}/more")).await;
        range["metadata"]["finalizers"].is_array().then_some(())
    })
    .await;
    assert_eq!(server.ask(Method::DELETE, &format!("{RANGES}/more"), Value::Null).await.0, 200);
    eventually("the range waits for its addresses", async || {
        let (_, range) = server.get(&format!("{RANGES}/more")).await;
        (range["status"]["conditions"][0]["reason"] == "Terminating").then_some(())
    })
    .await;
    let (code, said) = create(&server, service("b", json!({"clusterIP": "192.168.7.6"}))).await;
    assert_eq!(code, 422, "{said}");
    server.stop().await;
}

/// A store that says that others may use it too.
struct Shared(MemoryStore);

#[async_trait]
impl Store for Shared {
    async fn revision(&self) -> Result<Revision> {
        self.0.revision().await
    }
    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<(Option<KeyValue>, Revision)> {
        self.0.get(key, at).await
    }
    async fn list(&self, prefix: &[u8], options: ListOptions) -> Result<Listing> {
        self.0.list(prefix, options).await
    }
    async fn transact(&self, txn: Txn) -> Result<TxnReply> {
        self.0.transact(txn).await
    }
    async fn watch(&self, prefix: &[u8], after: Revision) -> Result<WatchStream> {
        self.0.watch(prefix, after).await
    }
    async fn grant(&self, ttl: Duration) -> Result<LeaseId> {
        self.0.grant(ttl).await
    }
    async fn revoke(&self, lease: LeaseId) -> Result<()> {
        self.0.revoke(lease).await
    }
    async fn compact(&self, through: Revision) -> Result<()> {
        self.0.compact(through).await
    }
    async fn snapshot(&self, to: &Path) -> Result<Revision> {
        self.0.snapshot(to).await
    }
    fn is_shared(&self) -> bool {
        true
    }
}

fn addresses(endpoints: &Value) -> Vec<&str> {
    let listed = endpoints["subsets"][0]["addresses"].as_array().into_iter().flatten();
    listed.filter_map(|address| address["ip"].as_str()).collect()
}

#[tokio::test]
async fn servers_of_a_shared_store_list_each_other() {
    let store = Arc::new(Shared(MemoryStore::new()));
    let other = json!({
        "kind": "Endpoints", "apiVersion": "v1", "metadata": {}, "subsets": [{"addresses": [{"ip": "192.0.2.9"}]}],
    });
    let key = b"/registry/masterleases/192.0.2.9".as_slice();
    let put = Op::Put { key: key.into(), value: other.to_string().into(), lease: None };
    store.transact(Txn { guards: vec![], ops: vec![put] }).await.expect("written");
    let server = start_on(store.clone()).await;
    let (kv, _) = store.get(b"/registry/masterleases/192.0.2.1", None).await.expect("read");
    assert!(kv.expect("this server's lease").lease.is_some());
    let (_, endpoints) = server.get("/api/v1/namespaces/default/endpoints/kubernetes").await;
    assert_eq!(addresses(&endpoints), ["192.0.2.1", "192.0.2.9"]);
    let (_, slice) =
        server.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes").await;
    assert_eq!(slice["endpoints"].as_array().map(Vec::len), Some(2), "{slice}");
    server.stop().await;
    let (kv, _) = store.get(b"/registry/masterleases/192.0.2.1", None).await.expect("read");
    assert!(kv.is_none(), "a server that stops takes its lease away");
    let key = b"/registry/services/endpoints/default/kubernetes";
    let (kv, _) = store.get(key, None).await.expect("read");
    let left: Value = serde_json::from_slice(&kv.expect("there").value).expect("JSON");
    assert_eq!(addresses(&left), ["192.0.2.9"]);
}

#[tokio::test]
async fn families_are_named_and_a_second_one_is_refused() {
    let server = start().await;
    let headless = service("headless", json!({"clusterIP": "None"}));
    let (_, made) = create(&server, headless).await;
    assert_eq!(made["spec"]["ipFamilies"], json!(["IPv4", "IPv6"]));
    assert_eq!(made["spec"]["ipFamilyPolicy"], "RequireDualStack");
    let (code, said) = create(&server, service("two", json!({"ipFamilyPolicy": "RequireDualStack"}))).await;
    let want = r#"Service "two" is invalid: spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services"#;
    assert_eq!((code, said["message"].as_str()), (422, Some(want)));
    server.stop().await;
}
