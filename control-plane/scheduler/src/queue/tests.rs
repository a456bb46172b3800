use std::time::Duration;

use oarlock_client::testing::FakeApi;
use serde_json::json;

use super::*;
use crate::framework::PluginSet;
use crate::testing::{PodBuilder, node, pod};

struct World {
    queue: SchedulingQueue,
    now: Now,
}

impl World {
    /// Within a runtime, which the client of the binder asks for.
    fn new() -> Self {
        let plugins = Arc::new(PluginSet::defaults(FakeApi::new().client()));
        let profiles = Profiles::from([("default-scheduler".into(), plugins)]);
        let now = Now { instant: Instant::now(), wall: Timestamp::UNIX_EPOCH };
        Self { queue: SchedulingQueue::new(Arc::new(profiles)), now }
    }

    fn set(&mut self, pod: PodBuilder) {
        self.queue.set(Arc::new(pod.info()), self.now);
    }

    /// The name of the next pod.
    fn pop(&mut self) -> Option<String> {
        self.queue.pop(self.now).map(|popped| popped.pod.name.to_string())
    }

    fn reject(&mut self, name: &str, plugin: &'static str) {
        assert!(self.queue.reject(&uid(name), &[plugin], self.now));
    }

    fn node_added(&mut self) {
        self.queue.changed(&ClusterChange::NodeAdded(node("n").facts().into()), self.now);
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.wall += time;
    }

    fn lengths(&self) -> [usize; 4] {
        let Lengths { active, backoff, unschedulable, gated } = self.queue.lengths();
        [active, backoff, unschedulable, gated]
    }
}

fn uid(name: &str) -> PodUid {
    PodUid(format!("uid-{name}").into())
}

const SECOND: Duration = Duration::from_secs(1);
const FIT: &str = "NodeResourcesFit";

#[tokio::test]
async fn priority_first_then_who_waited_longer() {
    let mut world = World::new();
    for (name, priority) in [("late", 0), ("low", -5), ("high", 10), ("later", 0)] {
        world.set(pod(name).spec("priority", json!(priority)));
        world.pass(SECOND);
    }
    let order: Vec<String> = std::iter::from_fn(|| world.pop()).collect();
    assert_eq!(order, ["high", "late", "later", "low"]);
}

#[tokio::test]
async fn a_rejected_pod_waits_for_a_change_that_helps() {
    let mut world = World::new();
    world.set(pod("a").asks("1", "1"));
    assert_eq!(world.pop().as_deref(), Some("a"));
    world.reject("a", FIT);
    assert_eq!((world.lengths(), world.pop()), ([0, 0, 1, 0], None));
    world.queue.changed(
        &ClusterChange::NodeUpdated {
            old: node("n").facts().into(),
            new: node("n").label("a", "b").facts().into(),
        },
        world.now,
    );
    assert_eq!(world.lengths(), [0, 0, 1, 0], "a label does not help");
    world.node_added();
    assert_eq!(world.lengths(), [0, 1, 0, 0], "it backs off a second");
    world.set(pod("b"));
    assert_eq!(world.pop().as_deref(), Some("b"), "others go first");
    assert_eq!(world.pop().as_deref(), Some("a"), "then it need not wait");
    world.reject("a", FIT);
    world.pass(2 * SECOND);
    world.node_added();
    assert_eq!(world.lengths(), [1, 0, 0, 0], "it waited longer than its back-off");
}

#[tokio::test]
async fn after_an_error_the_back_off_is_kept() {
    let mut world = World::new();
    world.set(pod("a"));
    let mut waits = vec![];
    for _ in 0..6 {
        assert_eq!(world.pop().as_deref(), Some("a"));
        assert!(world.queue.retry(&uid("a"), world.now));
        assert_eq!(world.pop(), None);
        let wait = world.queue.next_deadline().expect("it is due some time") - world.now.instant;
        waits.push(wait.as_secs());
        world.pass(wait);
    }
    assert_eq!(waits, [1, 2, 4, 8, 10, 10]);
}

#[tokio::test]
async fn what_changed_during_the_decision_counts() {
    let mut world = World::new();
    world.set(pod("a").asks("1", "1"));
    world.pop();
    world.node_added();
    world.reject("a", FIT);
    assert_eq!(world.lengths(), [0, 1, 0, 0]);
    // A change before the decision does not.
    world.pop();
    world.reject("a", FIT);
    assert_eq!(world.lengths(), [0, 0, 1, 0]);
}

#[tokio::test]
async fn a_failed_binding_beside_the_loop_spoils_no_decision() {
    let mut world = World::new();
    world.set(pod("binding"));
    world.pop();
    world.queue.decided(&uid("binding"));
    world.set(pod("a").asks("1", "1"));
    world.pop();
    world.node_added();
    assert!(world.queue.retry(&uid("binding"), world.now));
    world.reject("a", FIT);
    assert_eq!(world.lengths(), [0, 2, 0, 0]);
}

#[tokio::test]
async fn five_minutes_are_enough() {
    let mut world = World::new();
    world.set(pod("a"));
    world.pop();
    world.reject("a", FIT);
    assert_eq!(world.queue.next_deadline(), Some(world.now.instant + 300 * SECOND));
    world.pass(299 * SECOND);
    assert_eq!(world.pop(), None);
    world.pass(SECOND);
    assert_eq!(world.pop().as_deref(), Some("a"));
    assert_eq!(world.queue.next_deadline(), None, "nothing is left to wait for");
}

#[tokio::test]
async fn gates_hold_a_pod_until_they_are_gone() {
    let mut world = World::new();
    world.set(pod("a").spec("schedulingGates", json!([{"name": "g"}])));
    assert_eq!((world.lengths(), world.pop()), ([0, 0, 0, 1], None));
    assert!(world.queue.next_untold().is_some() && world.queue.next_untold().is_none());
    world.set(pod("a"));
    assert_eq!((world.lengths(), world.pop().as_deref()), ([1, 0, 0, 0], Some("a")));
}

#[tokio::test]
async fn updates_that_say_nothing_new_move_nothing() {
    let mut world = World::new();
    world.set(pod("a"));
    world.pop();
    world.reject("a", "TaintToleration");
    world.set(pod("a").condition("False", "Unschedulable", "m"));
    assert_eq!(world.lengths(), [0, 0, 1, 0]);
    world.set(pod("a").tolerates("", "Exists", "", ""));
    assert_eq!(world.lengths(), [0, 1, 0, 0]);
}

#[tokio::test]
async fn a_pod_that_is_gone_is_gone_from_everywhere() {
    for place in 0..4 {
        let mut world = World::new();
        world.set(
            pod("a").spec("schedulingGates", if place == 0 { json!([{"name": "g"}]) } else { json!([]) }),
        );
        if place >= 2 {
            world.pop();
        }
        if place == 3 {
            world.reject("a", FIT);
        }
        world.queue.remove(&uid("a"));
        assert_eq!((world.lengths(), world.queue.next_deadline()), ([0; 4], None), "from place {place}");
        assert!(!world.queue.reject(&uid("a"), &[FIT], world.now), "nobody wants it any more");
    }
}
