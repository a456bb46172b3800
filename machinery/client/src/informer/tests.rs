use super::*;
use crate::testing::FakeApi;
use k8s_openapi::api::core::v1::ConfigMap;
use oarlock_base::Tasks;
use serde_json::json;

struct World {
    api: FakeApi,
    informers: Informers,
    tasks: Tasks,
}

impl World {
    fn new() -> Self {
        let api = FakeApi::new();
        let tasks = Tasks::new("test", &Shutdown::new());
        let informers = Informers::new(api.client(), tasks.spawner());
        Self { api, informers, tasks }
    }

    fn put(&self, name: &str, value: &str) {
        self.api.put(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": "a", "name": name, "managedFields": [{"manager": "x"}]},
            "data": {"value": value},
        }));
    }

    async fn end(self) {
        self.tasks.shutdown().trigger();
        self.tasks.join().await.expect("nothing failed");
    }
}

/// Collects what a handler hears, in words.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<String>>>, Arc<tokio::sync::Notify>);

impl Heard {
    fn listen(&self, informer: &Informer<ConfigMap>) {
        let heard = self.clone();
        informer.subscribe(move |change| {
            let value = |map: &ConfigMap| {
                map.data.as_ref().and_then(|data| data.get("value").cloned()).unwrap_or_default()
            };
            let name = change.object().metadata.name.clone().unwrap_or_default();
            heard.0.lock().push(match change {
                Change::Added(new) => format!("+{name}={}", value(new)),
                Change::Updated { old, new } => format!("{name}:{}>{}", value(old), value(new)),
                Change::Deleted(old) => format!("-{name}={}", value(old)),
            });
            heard.1.notify_one();
        });
    }

    async fn next(&self, count: usize) -> Vec<String> {
        while self.0.lock().len() < count {
            self.1.notified().await;
        }
        std::mem::take(&mut *self.0.lock())
    }
}

#[tokio::test]
async fn handlers_hear_the_list_and_then_every_change() {
    let world = World::new();
    world.put("x", "1");
    let (informer, heard) = (world.informers.of::<ConfigMap>(), Heard::default());
    heard.listen(&informer);
    world.informers.start();
    world.informers.synced().await;
    assert_eq!(heard.next(1).await, ["+x=1"]);
    assert_eq!(informer.store().get("a", "x").expect("is stored").metadata.managed_fields, None);
    world.put("x", "2");
    world.put("y", "1");
    world.api.remove("configmaps", "a", "x");
    assert_eq!(heard.next(3).await, ["x:1>2", "+y=1", "-x=2"]);
    let late = Heard::default();
    late.listen(&informer);
    assert_eq!(late.next(1).await, ["+y=1"]);
    world.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_happened_during_a_lost_watch_is_found_by_the_next_list() {
    let world = World::new();
    world.put("gone", "1");
    world.put("changed", "1");
    world.put("same", "1");
    let (informer, heard) = (world.informers.of::<ConfigMap>(), Heard::default());
    heard.listen(&informer);
    world.informers.start();
    heard.next(3).await;
    // The relist must not come between the changes.
    world.api.fail_next("GET", "configmaps", 503, "ServiceUnavailable");
    world.api.remove("configmaps", "a", "gone");
    world.put("changed", "2");
    world.put("new", "1");
    world.api.expire_watches();
    let mut seen = heard.next(3).await;
    seen.sort();
    assert_eq!(seen, ["+new=1", "-gone=1", "changed:1>2"]);
    world.end().await;
}

#[tokio::test]
async fn a_broken_watch_resumes_where_it_was() {
    let world = World::new();
    let (informer, heard) = (world.informers.of::<ConfigMap>(), Heard::default());
    heard.listen(&informer);
    world.informers.start();
    informer.synced().await;
    world.put("x", "1");
    heard.next(1).await;
    world.api.break_watches();
    world.put("y", "1");
    assert_eq!(heard.next(1).await, ["+y=1"]);
    let lists = world.api.requests().iter().filter(|request| !request.query.contains("watch")).count();
    assert_eq!(lists, 1);
    world.end().await;
}

#[tokio::test]
async fn one_informer_serves_all_who_ask_alike() {
    let world = World::new();
    let (first, second) = (world.informers.of::<ConfigMap>(), world.informers.of::<ConfigMap>());
    assert!(first.same_as(&second));
    let selected = world.informers.select::<ConfigMap>(Selection::all().fields("metadata.name=x"));
    assert!(!first.same_as(&selected));
    world.put("x", "1");
    world.put("y", "1");
    world.informers.start();
    world.informers.start();
    world.informers.synced().await;
    assert_eq!((first.store().len(), selected.store().len()), (2, 1));
    world.end().await;
}

#[tokio::test]
async fn metadata_alone_can_be_watched() {
    use kube::core::{DynamicObject, GroupVersionKind, PartialObjectMeta};
    let world = World::new();
    world.put("x", "1");
    let resource = kube::api::ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("", "v1", "ConfigMap"),
        "configmaps",
    );
    let informer = world.informers.dynamic::<PartialObjectMeta<DynamicObject>>(resource, Selection::all());
    world.informers.start();
    informer.synced().await;
    assert!(informer.store().get("a", "x").is_some());
    world.informers.drop_informer(&informer);
    world.end().await;
}
