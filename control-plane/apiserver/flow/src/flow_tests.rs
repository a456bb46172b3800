//! The whole under paused time: what is served, what waits, what is refused, how seats are lent.

use async_trait::async_trait;
use futures::FutureExt as _;
use oarlock_api::{GroupResource, Status, User};
use oarlock_apiserver_access::ObjectEvent;
use oarlock_base::Tasks;
use serde_json::{Value, json};

use super::*;
use crate::RejectReason;

#[derive(Default)]
struct Fake {
    objects: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    schemas: Vec<Arc<Value>>,
    levels: Vec<Arc<Value>>,
    generation: u64,
}

impl Fake {
    fn set(&self, schemas: Vec<Value>, levels: Vec<Value>) {
        let mut objects = self.objects.lock();
        objects.schemas = schemas.into_iter().map(Arc::new).collect();
        objects.levels = levels.into_iter().map(Arc::new).collect();
        objects.generation += 1;
    }
}

#[async_trait]
impl Objects for Fake {
    fn get(&self, _: &GroupResource, _: &str, _: &str) -> Option<Arc<Value>> {
        None
    }

    async fn get_fresh(&self, _: &GroupResource, _: &str, _: &str) -> Result<Option<Arc<Value>>, Status> {
        Ok(None)
    }

    fn list(&self, resource: &GroupResource, _: &str) -> Vec<Arc<Value>> {
        let objects = self.objects.lock();
        if *resource == *FLOW_SCHEMAS { objects.schemas.clone() } else { objects.levels.clone() }
    }

    fn generation(&self, _: &GroupResource) -> u64 {
        self.objects.lock().generation
    }

    fn subscribe(&self, _: &GroupResource) -> tokio::sync::mpsc::Receiver<ObjectEvent> {
        tokio::sync::mpsc::channel(1).1
    }
}

struct World {
    objects: Arc<Fake>,
    flow: Arc<Flow>,
    root: Shutdown,
    tasks: Tasks,
}

fn world(seats: u32) -> World {
    let root = Shutdown::new();
    let tasks = Tasks::new("test", &root);
    let objects = Arc::new(Fake::default());
    let options = Options { seats, ..Options::default() };
    let flow = Flow::new(objects.clone(), options, tasks.spawner());
    World { objects, flow, root, tasks }
}

fn user(name: &str, groups: &[&str]) -> User {
    let groups = groups.iter().map(ToString::to_string).collect();
    User { name: name.into(), groups, ..User::default() }
}

fn digest<'a>(user: &'a User, verb: &'a str, resource: &'a str, namespace: &'a str) -> Digest<'a> {
    Digest { user, resource_request: true, verb, group: "", resource, subresource: "", namespace, path: "" }
}

fn schema(name: &str, level: &str, precedence: u32, by: Option<&str>) -> Value {
    json!({
        "metadata": { "name": name, "uid": format!("uid-{name}") },
        "spec": {
            "priorityLevelConfiguration": { "name": level }, "matchingPrecedence": precedence,
            "distinguisherMethod": by.map(|by| json!({ "type": by })),
            "rules": [{
                "subjects": [{ "kind": "User", "user": { "name": name } }],
                "resourceRules": [{ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true }],
            }],
        },
    })
}

fn level(name: &str, shares: u32, lendable: u32, queuing: Value) -> Value {
    let response = if queuing.is_null() {
        json!({ "type": "Reject" })
    } else {
        json!({ "type": "Queue", "queuing": queuing })
    };
    json!({
        "metadata": { "name": name, "uid": format!("uid-{name}") },
        "spec": { "type": "Limited", "limited": {
            "nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response,
        } },
    })
}

#[tokio::test]
async fn requests_of_a_fresh_cluster_are_classified_as_upstream_classifies_them() {
    let w = world(600);
    let check = |name: &str, groups: &[&str], verb: &str, resource: &str, namespace: &str, want: &str| {
        let user = user(name, groups);
        let classified = w.flow.classify(&digest(&user, verb, resource, namespace));
        assert_eq!(
            format!("{} {}", classified.flow_schema(), classified.priority_level()),
            want,
            "{name} {verb}"
        );
    };
    let all = "system:authenticated";
    check("admin", &["system:masters", all], "get", "pods", "a", "exempt exempt");
    check("system:node:n", &["system:nodes", all], "list", "pods", "", "system-nodes system");
    check("system:node:n", &["system:nodes", all], "update", "nodes", "", "system-node-high node-high");
    check("system:kube-scheduler", &[all], "get", "pods", "a", "kube-scheduler workload-high");
    let accounts = "system:serviceaccounts";
    check("system:serviceaccount:a:b", &[accounts, all], "get", "pods", "a", "service-accounts workload-low");
    check("ann", &[all], "get", "pods", "a", "global-default global-default");
    check(
        "system:anonymous",
        &["system:unauthenticated"],
        "get",
        "pods",
        "a",
        "global-default global-default",
    );
    check("nobody", &[], "get", "pods", "a", "catch-all catch-all");
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_seat_waits_is_refused_or_gives_up() {
    let w = world(2);
    let queuing = json!({ "queues": 1, "handSize": 1, "queueLengthLimit": 1 });
    let levels = vec![level("one", 100, 0, queuing), level("catch-all", 1, 0, Value::Null)];
    w.objects.set(vec![schema("ann", "one", 10, Some("ByUser"))], levels);
    let ann = user("ann", &["g"]);
    let request = digest(&ann, "get", "pods", "a");
    let classified = w.flow.classify(&request);
    assert_eq!((classified.flow_schema_uid(), classified.priority_level_uid()), ("uid-ann", "uid-one"));
    let first = classified.admit(&request, Work::ONE).await.expect("a seat");
    let _second = classified.admit(&request, Work::ONE).await.expect("a seat");
    let mut third = Box::pin(classified.admit(&request, Work::ONE));
    assert!(third.as_mut().now_or_never().is_none(), "it waits");
    let refused = classified.admit(&request, Work::ONE).await.expect_err("the queue is full");
    assert_eq!(refused.reason, RejectReason::QueueFull);
    let status = Status::from(refused);
    assert_eq!((status.code, status.message.as_str()), (429, "Too many requests, please try again later."));
    assert_eq!(status.details.as_ref().map(|d| d.retry_after_seconds), Some(1));
    drop(first);
    let third = third.await.expect("the seat that came free");

    let fourth = classified.admit(&request, Work::ONE);
    let before = Instant::now();
    let late = fourth.await.expect_err("nobody leaves");
    assert_eq!((late.reason, before.elapsed()), (RejectReason::TimeOut, Duration::from_secs(15)));
    drop(third);
    let again = classified.admit(&request, Work::ONE).await.expect("who timed out holds nothing");

    let mut gone = Box::pin(classified.admit(&request, Work::ONE));
    assert!(gone.as_mut().now_or_never().is_none(), "it waits");
    drop(gone);
    drop(again);
    let _last = classified.admit(&request, Work::ONE).await.expect("who went away holds nothing");
    assert_eq!(w.flow.metrics().totals("one"), [5, 1, 1, 1]);
}

#[tokio::test]
async fn a_level_without_queues_refuses_and_an_exempt_one_never_does() {
    let w = world(1);
    let levels = vec![level("one", 100, 0, Value::Null)];
    w.objects.set(vec![schema("ann", "one", 10, None)], levels);
    let ann = user("ann", &["g"]);
    let request = digest(&ann, "get", "pods", "a");
    let _held = w.flow.classify(&request).admit(&request, Work::ONE).await.expect("a seat");
    let refused = w.flow.classify(&request).admit(&request, Work::ONE).await.expect_err("no seat");
    assert_eq!(refused.reason, RejectReason::ConcurrencyLimit);
    let admin = user("admin", &["system:masters"]);
    let request = digest(&admin, "get", "pods", "a");
    let exempt = w.flow.classify(&request);
    assert_eq!(exempt.priority_level(), "exempt", "mandatory objects are there even if nobody made them");
    let mut permits = Vec::new();
    for _ in 0..100 {
        permits.push(exempt.admit(&request, Work::ONE).await.expect("never refused"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_level_borrows_from_an_idle_one_and_gives_back() {
    let mut w = world(20);
    let queuing = json!({ "queues": 8, "handSize": 2, "queueLengthLimit": 100 });
    let levels = vec![
        level("busy", 50, 0, queuing.clone()),
        level("idle", 50, 80, queuing),
        level("catch-all", 0, 0, Value::Null),
    ];
    w.objects.set(vec![schema("ann", "busy", 10, None), schema("bob", "idle", 10, None)], levels);
    let flow = w.flow.clone();
    w.tasks.spawn("flow", move |stop| async move {
        flow.run(stop).await;
        Ok::<_, std::convert::Infallible>(())
    });
    let ann = user("ann", &["g"]);
    let request = digest(&ann, "get", "pods", "a");
    let classified = w.flow.classify(&request);
    let limit = |name: &str| w.flow.current().levels[name].level.limit();
    assert_eq!((limit("busy"), limit("idle")), (10, 10));
    let before = Instant::now();
    let permits: Vec<_> =
        futures::future::join_all((0..14).map(|_| classified.admit(&request, Work::ONE))).await;
    assert_eq!(before.elapsed(), Duration::ZERO, "who lends need not be waited for");
    assert!(permits.iter().all(Result::is_ok), "four wait for borrowed seats");
    assert_eq!((limit("busy"), limit("idle")), (18, 3), "what nobody needs is lent");
    drop(permits);
    let bob = user("bob", &["g"]);
    let request = digest(&bob, "get", "pods", "a");
    let classified = w.flow.classify(&request);
    let permits: Vec<_> =
        futures::future::join_all((0..6).map(|_| classified.admit(&request, Work::ONE))).await;
    assert!(permits.iter().all(Result::is_ok), "its own seats come back");
    assert!(limit("idle") >= 6);
    w.root.trigger();
    w.tasks.join().await.expect("it ends well");
}

#[tokio::test(start_paused = true)]
async fn a_level_that_changes_goes_on_with_its_requests() {
    let w = world(10);
    let queuing = json!({ "queues": 4, "handSize": 1, "queueLengthLimit": 10 });
    let set = |shares: u32| {
        let levels = vec![level("one", shares, 0, queuing.clone()), level("catch-all", 10, 0, Value::Null)];
        w.objects.set(vec![schema("ann", "one", 10, None)], levels);
    };
    set(1);
    let ann = user("ann", &["g"]);
    let request = digest(&ann, "get", "pods", "a");
    let classified = w.flow.classify(&request);
    let _held = classified.admit(&request, Work::ONE).await.expect("the one seat");
    let mut waiting = Box::pin(classified.admit(&request, Work::ONE));
    assert!(waiting.as_mut().now_or_never().is_none(), "it waits");
    assert!(w.flow.dump_requests(std::time::SystemTime::UNIX_EPOCH).contains("one, "));
    assert!(w.flow.dump_queues().lines().count() >= 2);
    set(10);
    w.flow.classify(&request);
    waiting.await.expect("the new seats are used at once");
    assert!(w.flow.dump_priority_levels().contains("catch-all,"));
}

/// An arrival is the first to see that seats are free again, and takes one: who waited before it gets his, too.
#[tokio::test(start_paused = true)]
async fn an_arrival_wakes_those_before_it() {
    let w = world(2);
    let queuing = json!({ "queues": 4, "handSize": 2, "queueLengthLimit": 10 });
    w.objects.set(vec![schema("ann", "one", 10, None)], vec![level("one", 1000, 0, queuing)]);
    let ann = user("ann", &["g"]);
    let request = digest(&ann, "create", "pods", "a");
    let classified = w.flow.classify(&request);
    // No task watches the clock.
    w.flow.current().levels["one"].level.ticking.store(true, Ordering::Relaxed);
    let work = Work { initial_seats: 1, final_seats: 2, additional_latency: Duration::from_millis(5) };
    drop(classified.admit(&request, work).await.expect("two seats"));
    let mut waiting = Box::pin(classified.admit(&request, Work::ONE));
    assert!(waiting.as_mut().now_or_never().is_none(), "the seats linger");
    tokio::time::advance(Duration::from_millis(10)).await;
    let _later = classified.admit(&request, Work::ONE).await.expect("a seat");
    let _before = waiting.now_or_never().expect("woken").expect("a seat");
}

/// Many tasks on several threads: the core's counts return to nothing, whoever was cancelled when.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_left_after_a_storm() {
    let mut w = world(4);
    let queuing = json!({ "queues": 4, "handSize": 2, "queueLengthLimit": 50 });
    w.objects.set(vec![schema("ann", "one", 10, Some("ByNamespace"))], vec![level("one", 1000, 0, queuing)]);
    for task in 0..8_u64 {
        let flow = w.flow.clone();
        w.tasks.spawn("client", move |_| async move {
            let ann = user("ann", &["g"]);
            for turn in 0..300_u64 {
                let namespace = format!("n{}", (task + turn) % 5);
                let request = digest(&ann, "get", "pods", &namespace);
                let linger = Duration::from_micros(turn % 3 * 100);
                let work = Work { initial_seats: 1, final_seats: 2, additional_latency: linger };
                let classified = flow.classify(&request);
                let patience = Duration::from_micros(turn % 7 * 50);
                if let Ok(Ok(permit)) = tokio::time::timeout(patience, classified.admit(&request, work)).await
                {
                    tokio::task::yield_now().await;
                    drop(permit);
                }
            }
            Ok::<_, std::convert::Infallible>(())
        });
    }
    w.tasks.join().await.expect("all end well");
    let current = w.flow.current();
    let crate::level::Kind::Limited(queues) = &current.levels["one"].level.kind else { panic!("limited") };
    let mut queues = queues.lock();
    queues.tick(u64::MAX, &mut Vec::new());
    assert_eq!((queues.seats(), queues.executing(), queues.waiting()), (0, 0, 0));
}
