//! The contract through the decorator, and what encryption adds: rotation, wildcards, what cannot be opened.

use oarlock_api::GroupResource;
use oarlock_store::{Compare, Event, MemoryStore};

use super::*;
use crate::{EncryptionConfiguration, Layout};

fn key(name: &str) -> String {
    let secret = match name {
        "old" => "b2xkIG9sZCBvbGQgb2xkIG9sZCBvbGQgb2xkIG9sZCA=",
        _ => "bmV3IG5ldyBuZXcgbmV3IG5ldyBuZXcgbmV3IG5ldyA=",
    };
    format!("{{name: {name}, secret: '{secret}'}}")
}

fn parse(resources: &str) -> EncryptionConfiguration {
    let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n";
    EncryptionConfiguration::parse(
        std::path::Path::new("c.yaml"),
        format!("{head}resources: {resources}").as_bytes(),
    )
    .expect("valid")
}

fn one(resources: &str, providers: &str) -> EncryptionConfiguration {
    parse(&format!("[{{resources: [{resources}], providers: [{providers}]}}]"))
}

fn layout() -> Layout {
    Layout::new([
        (GroupResource::new("", "secrets"), "/registry/secrets/"),
        (GroupResource::new("", "configmaps"), "/registry/configmaps/"),
        (GroupResource::new("", "services"), "/registry/services/specs/"),
        (GroupResource::new("apps", "deployments"), "/registry/deployments/"),
        (
            GroupResource::new("apiregistration.k8s.io", "apiservices"),
            "/registry/apiregistration.k8s.io/apiservices/",
        ),
    ])
}

struct Fixture {
    below: Arc<dyn Store>,
    encryption: Arc<Encryption>,
    store: EncryptedStore,
}

fn over(configuration: &EncryptionConfiguration) -> Fixture {
    let below: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let encryption = Encryption::new(configuration, layout()).expect("valid");
    let store = EncryptedStore::new(below.clone(), encryption.clone());
    Fixture { below, encryption, store }
}

async fn put(store: &dyn Store, key: &str, value: &str) {
    let op =
        Op::Put { key: Bytes::copy_from_slice(key.as_bytes()), value: value.to_owned().into(), lease: None };
    store.transact(Txn { guards: Vec::new(), ops: vec![op] }).await.expect("put");
}

async fn raw(f: &Fixture, key: &str) -> Bytes {
    f.below.get(key.as_bytes(), None).await.expect("get").0.expect("it is there").value
}

const A: &str = "/registry/secrets/default/a";

/// The contract's own keys are below no resource: here they are Secrets. All but `/k`, with which the contract measures
/// the size limit: it counts what is stored.
struct EverythingIsSecret(EncryptedStore);

fn below_secrets(key: &[u8]) -> Bytes {
    if key == b"/k" { Bytes::from_static(b"/k") } else { [b"/registry/secrets", key].concat().into() }
}

fn back(kv: &mut KeyValue) {
    if kv.key != "/k" {
        kv.key = kv.key.slice(b"/registry/secrets".len()..);
    }
}

#[async_trait]
impl Store for EverythingIsSecret {
    async fn revision(&self) -> Result<Revision> {
        self.0.revision().await
    }

    async fn get(&self, key: &[u8], at: Option<Revision>) -> Result<(Option<KeyValue>, Revision)> {
        let (mut kv, revision) = self.0.get(&below_secrets(key), at).await?;
        kv.iter_mut().for_each(back);
        Ok((kv, revision))
    }

    async fn list(&self, prefix: &[u8], mut options: ListOptions) -> Result<Listing> {
        options.after = options.after.map(|after| below_secrets(&after));
        let mut listing = self.0.list(&below_secrets(prefix), options).await?;
        listing.items.iter_mut().for_each(back);
        Ok(listing)
    }

    async fn transact(&self, mut txn: Txn) -> Result<TxnReply> {
        for Compare { key, .. } in &mut txn.guards {
            *key = below_secrets(key);
        }
        for op in &mut txn.ops {
            let (Op::Put { key, .. } | Op::Delete { key }) = op;
            *key = below_secrets(key);
        }
        let mut reply = self.0.transact(txn).await?;
        if let TxnReply::Failed { current, .. } = &mut reply {
            current.iter_mut().flatten().for_each(back);
        }
        Ok(reply)
    }

    async fn watch(&self, prefix: &[u8], after: Revision) -> Result<WatchStream> {
        let batches = self.0.watch(&below_secrets(prefix), after).await?;
        Ok(batches
            .map(|batch| {
                batch.map(|mut batch| {
                    for Event { now, .. } in &mut batch.events {
                        back(now);
                    }
                    batch
                })
            })
            .boxed())
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

    async fn snapshot(&self, to: &std::path::Path) -> Result<Revision> {
        self.0.snapshot(to).await
    }
}

#[tokio::test]
async fn the_contract_holds_where_nothing_is_encrypted() {
    let configuration = one("secrets", "{identity: {}}");
    oarlock_store::contract::run(|| async { Arc::new(over(&configuration).store) as Arc<dyn Store> }).await;
}

#[tokio::test]
async fn the_contract_holds_over_ciphers() {
    for provider in ["aesgcm", "aescbc", "secretbox"] {
        let configuration = one("secrets", &format!("{{{provider}: {{keys: [{}]}}}}", key("new")));
        oarlock_store::contract::run(|| async {
            Arc::new(EverythingIsSecret(over(&configuration).store)) as Arc<dyn Store>
        })
        .await;
    }
}

#[tokio::test]
async fn only_what_a_rule_names_is_encrypted() {
    let check = async |rules: &str, key_in_store: &str, sealed: bool| {
        let f = over(&one(rules, &format!("{{aesgcm: {{keys: [{}]}}}}", key("new"))));
        put(&f.store, key_in_store, "plain").await;
        assert_eq!(is_encrypted(&raw(&f, key_in_store).await), sealed, "{rules} {key_in_store}");
        let (kv, _) = f.store.get(key_in_store.as_bytes(), None).await.expect("get");
        assert_eq!(kv.expect("it is there").value, "plain");
    };
    check("secrets", A, true).await;
    check("secrets", "/registry/configmaps/default/a", false).await;
    check("services", "/registry/services/specs/default/a", true).await;
    check("services", "/registry/services/endpoints/default/a", false).await;
    check("'*.'", "/registry/configmaps/default/a", true).await;
    check("'*.'", "/registry/deployments/default/a", false).await;
    check("'*.apps'", "/registry/deployments/default/a", true).await;
    check("'*.apps'", "/registry/example.com/things/default/a", false).await;
    check("things.example.com", "/registry/example.com/things/default/a", true).await;
    check("things.example.com", "/registry/example.com/others/default/a", false).await;
    check("'*.example.com'", "/registry/example.com/others/a", true).await;
    check("apiservices.apiregistration.k8s.io", "/registry/apiregistration.k8s.io/apiservices/a", true).await;
    check("'*.*'", "/registry/example.com/things/default/a", true).await;
    check("'*.*'", "/registry/services/specs/default/a", true).await;
    check("'*.*'", "/registry/ranges/serviceips", false).await;
    check("'*.*'", "/elsewhere/a", false).await;
}

#[tokio::test]
async fn the_most_exact_rule_counts_and_a_masked_one_is_refused() {
    let exact = format!(
        "[{{resources: [secrets], providers: [{{identity: {{}}}}]}}, {{resources: ['*.*'], providers: [{{secretbox: {{keys: \
         [{}]}}}}]}}]",
        key("new")
    );
    let f = over(&parse(&exact));
    put(&f.store, A, "plain").await;
    put(&f.store, "/registry/configmaps/default/a", "plain").await;
    assert_eq!(raw(&f, A).await, "plain");
    assert!(raw(&f, "/registry/configmaps/default/a").await.starts_with(b"k8s:enc:secretbox:v1:new:"));
    let masked = "[{resources: ['*.'], providers: [{identity: {}}]}, {resources: [secrets], providers: [{identity: {}}]}]";
    let refused = Encryption::new(&parse(masked), layout()).expect_err("masked");
    assert_eq!(
        refused.to_string(),
        r#"error while building transformers: resource "secrets" is masked by earlier rule "*.""#
    );
}

/// A key is added as a reader, then made the writer, then the old one goes; what was not written again is stale.
#[tokio::test]
async fn keys_are_rotated_without_a_pause() {
    let cbc = |keys: &[&str]| {
        let keys: Vec<String> = keys.iter().map(|name| key(name)).collect();
        one("secrets", &format!("{{aescbc: {{keys: [{}]}}}}, {{identity: {{}}}}", keys.join(", ")))
    };
    let f = over(&one("secrets", "{identity: {}}"));
    put(&f.store, A, "plain").await;
    let stale = async |want: bool, why: &str| {
        assert_eq!(f.store.is_stale(A.as_bytes()).await.expect("stale"), want, "{why}");
        let (kv, _) = f.store.get(A.as_bytes(), None).await.expect("get");
        assert_eq!(kv.expect("it is there").value, "plain", "{why}");
    };
    stale(false, "identity writes").await;
    f.encryption.replace(&cbc(&["old"])).expect("valid");
    stale(true, "it is plain still").await;
    put(&f.store, A, "plain").await;
    stale(false, "written again").await;
    f.encryption.replace(&cbc(&["old", "new"])).expect("valid");
    stale(false, "the second key only reads").await;
    f.encryption.replace(&cbc(&["new", "old"])).expect("valid");
    stale(true, "the second key wrote it").await;
    put(&f.store, A, "plain").await;
    assert!(raw(&f, A).await.starts_with(b"k8s:enc:aescbc:v1:new:"));
    f.encryption.replace(&cbc(&["new"])).expect("valid");
    stale(false, "the old key is not needed any more").await;
    let two = format!("{{secretbox: {{keys: [{}]}}}}, {{aescbc: {{keys: [{}]}}}}", key("old"), key("new"));
    f.encryption.replace(&one("secrets", &two)).expect("valid");
    stale(true, "another provider writes").await;
    assert!(!f.store.is_stale(b"/registry/configmaps/a/b").await.expect("stale"), "no rule");
}

#[tokio::test]
async fn what_cannot_be_opened_is_told_as_upstream_tells_it() {
    let check = async |providers: &str, stored: &str, want: &str| {
        let f = over(&one("secrets", providers));
        put(&*f.below, A, stored).await;
        let error = f.store.get(A.as_bytes(), None).await.expect_err(want);
        let source = std::error::Error::source(&error).expect("the cause");
        assert_eq!(source.to_string(), want);
        assert!(source.downcast_ref::<OpenError>().is_some());
        let guards = vec![Compare { key: A.into(), mod_revision: Revision(0) }];
        f.store.transact(Txn { guards, ops: Vec::new() }).await.expect_err("the current state is unreadable");
        let listing = f.store.list(b"/registry/", ListOptions::default()).await.expect("others are readable");
        assert_eq!(listing.items[0].value, stored, "as it is stored");
        let mut events = f.store.watch(b"/registry/", Revision(0)).await.expect("watch");
        let batch = events.next().await.expect("goes on").expect("no error");
        assert_eq!(batch.events[0].now.value, stored);
    };
    let aes = format!("{{aesgcm: {{keys: [{}]}}}}", key("new"));
    let long = "x".repeat(40);
    check("{identity: {}}", "k8s:enc:aesgcm:v1:new:x", "no matching prefix found").await;
    check(&aes, "plain", "no matching prefix found").await;
    check(&aes, "k8s:enc:aesgcm:v1:gone:x", "no matching key was found for the provided AES transformer")
        .await;
    check(&aes, "k8s:enc:aesgcm:v1:new:x", "the stored data was shorter than the required size").await;
    check(&aes, &format!("k8s:enc:aesgcm:v1:new:{long}"), "cipher: message authentication failed").await;
    check(
        &format!("{aes}, {{aesgcm: {{keys: [{}]}}}}", key("old")),
        &format!("k8s:enc:aesgcm:v1:new:{long}"),
        "[cipher: message authentication failed, no matching key was found for the provided AES transformer]",
    )
    .await;
    let secretbox = format!("{{secretbox: {{keys: [{}]}}}}", key("new"));
    let gone = "no matching key was found for the provided Secretbox transformer";
    check(&secretbox, "k8s:enc:secretbox:v1:gone:x", gone).await;
}

#[tokio::test]
async fn a_resource_without_rule_does_not_read_ciphers() {
    let f = over(&one("configmaps", "{identity: {}}"));
    put(&*f.below, A, "k8s:enc:aesgcm:v1:new:x").await;
    let error = f.store.get(A.as_bytes(), None).await.expect_err("sealed");
    let source = std::error::Error::source(&error).expect("the cause");
    assert_eq!(source.to_string(), "identity transformer tried to read encrypted data");
}

proptest::proptest! {
    /// Whatever stands in the store, reading it answers: with the value, or with why not.
    #[test]
    fn hostile_bytes_never_panic(
        prefix in 0..6_usize,
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
    ) {
        let prefixes = [
            "",
            "k8s:enc:",
            "k8s:enc:aesgcm:v1:new:",
            "k8s:enc:aescbc:v1:new:",
            "k8s:enc:secretbox:v1:new:",
            "k8s:enc:secretbox:v1:",
        ];
        let providers = ["aesgcm", "aescbc", "secretbox"].map(|p| format!("{{{p}: {{keys: [{}]}}}}", key("new")));
        let f = over(&one("secrets", &format!("{}, {{identity: {{}}}}", providers.join(", "))));
        let stored: Bytes = [prefixes[prefix].as_bytes(), &bytes].concat().into();
        let opened = futures::executor::block_on(f.encryption.open(A.as_bytes(), &stored));
        match opened {
            Ok((plain, stale)) if !is_encrypted(&stored) => proptest::prop_assert!(plain == stored && stale),
            // Padding that happens to fit is all that CBC can be asked for.
            Ok(_) => proptest::prop_assert_eq!(prefix, 3),
            Err(_) => proptest::prop_assert!(is_encrypted(&stored)),
        }
    }
}
