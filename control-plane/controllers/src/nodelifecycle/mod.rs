//! node-lifecycle: notices nodes that have fallen silent, and marks them, their taints and their pods.
//!
//! A node speaks through its Lease and its status. Each word moves its deadline; when a deadline passes, the node's
//! conditions become Unknown. [`plan`] holds what follows from conditions: taints, and how fast a zone may be evicted
//! from. Nothing polls: a node is looked at when it changes and when its deadline comes.

mod plan;
#[cfg(test)]
mod tests;
mod writes;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, NodeCondition, Pod};
use kube::Client;
use oarlock_base::Tasks;
use oarlock_client::{
    Change, EventRecorder, EventType, Informer, ObjectKey, Outcome, Selection, Store, WorkQueue, conditions,
    object_ref,
};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::common::context::work;
use crate::common::{Context, Controller};
use crate::config::NodeLifecycleConfig;
use plan::{Eviction, Zone};

const WORKERS: usize = 8;

/// When a node was last heard of, by our clock, and by what word.
struct Word {
    heard: Instant,
    renewed: Option<Timestamp>,
    conditions: Option<Vec<NodeCondition>>,
    uid: Option<String>,
}

pub(crate) struct NodeLifecycleController {
    client: Client,
    events: EventRecorder,
    settings: NodeLifecycleConfig,
    nodes: Store<Node>,
    pods: Store<Pod>,
    leases: Store<Lease>,
    queue: WorkQueue<ObjectKey>,
    words: Mutex<HashMap<Arc<str>, Word>>,
    /// Per zone, when the next node may be tainted for eviction.
    next_eviction: Mutex<HashMap<String, Instant>>,
}

impl NodeLifecycleController {
    pub(crate) fn register(context: &Context) -> Box<dyn Controller> {
        let client = context.client("node-controller");
        let nodes = context.nodes();
        let leases: Informer<Lease> = context.informers.select(Selection::all().namespace("kube-node-lease"));
        let controller = Arc::new(Self {
            events: context.recorder(&client, "node-controller"),
            client,
            settings: context.config.node_lifecycle,
            nodes: nodes.store(),
            pods: context.pods().store(),
            leases: leases.store(),
            queue: WorkQueue::new("node_lifecycle_controller"),
            words: Mutex::default(),
            next_eviction: Mutex::default(),
        });
        let handler = controller.clone();
        nodes.subscribe(move |change| handler.node_changed(change));
        let handler = controller.clone();
        leases.subscribe(move |change| handler.lease_changed(change));
        Box::new(Handle(controller))
    }

    fn node_changed(&self, change: &Change<Node>) {
        let node = change.object();
        let key = ObjectKey::of(&**node);
        let name = &key.name;
        match change {
            Change::Added(_) => {
                let message = format!("Node {name} event: Registered Node {name} in Controller");
                self.events.event(&object_ref(&**node), EventType::Normal, "RegisteredNode", message);
            }
            Change::Deleted(_) => {
                self.words.lock().remove(name);
                let message = format!("Node {name} event: Removing Node {name} from Controller");
                self.events.event(&object_ref(&**node), EventType::Normal, "RemovingNode", message);
            }
            Change::Updated { old, new } if plan::ready_status(old) != plan::ready_status(new) => {
                if plan::ready_status(old) == "True" {
                    let message = format!("Node {name} status is now: NodeNotReady");
                    self.events.event(&object_ref(&**new), EventType::Normal, "NodeNotReady", message);
                }
                self.look_at_failed();
            }
            Change::Updated { .. } => {}
        }
        self.queue.add(key);
    }

    /// How fast nodes may be evicted from depends on how many fail: when that changes, each failed one is looked at.
    fn look_at_failed(&self) {
        for node in self.nodes.list() {
            if plan::lost_readiness(&node) {
                self.queue.add(ObjectKey::of(&*node));
            }
        }
    }

    /// A renewed lease only moves the deadline; a node that was silent is looked at.
    fn lease_changed(&self, change: &Change<Lease>) {
        let lease = change.object();
        let key = ObjectKey::new("", lease.metadata.name.as_deref().unwrap_or_default());
        let Some(node) = self.nodes.get_key(&key) else { return };
        self.hear(&key.name, &node);
        if plan::ready_status(&node) == "Unknown" {
            self.queue.add(key);
        }
    }

    /// Takes note of what the node says now; gives the time since it last said something new.
    fn hear(&self, name: &Arc<str>, node: &Node) -> Duration {
        let lease = self.leases.get("kube-node-lease", name);
        let renewed = lease.and_then(|lease| lease.spec.as_ref()?.renew_time.as_ref().map(|time| time.0));
        let spoken = node.status.as_ref().and_then(|status| status.conditions.clone()).map(own_words);
        let mut words = self.words.lock();
        let word = words.entry(name.clone()).or_insert_with(|| Word {
            heard: Instant::now(),
            renewed,
            conditions: spoken.clone(),
            uid: node.metadata.uid.clone(),
        });
        let anew = word.uid != node.metadata.uid;
        // What this controller wrote itself (Unknown) is not a word of the node.
        let spoke = spoken != word.conditions && plan::ready_status(node) != "Unknown";
        if anew || spoke || word.renewed < renewed {
            *word =
                Word { heard: Instant::now(), renewed, conditions: spoken, uid: node.metadata.uid.clone() };
        }
        word.heard.elapsed()
    }

    async fn sync(self: Arc<Self>, key: ObjectKey) -> Result<Outcome, kube::Error> {
        let Some(node) = self.nodes.get_key(&key) else { return Ok(Outcome::Done) };
        let silent = self.hear(&key.name, &node);
        let never_spoke = plan::never_reported(&node);
        let grace = if never_spoke { self.settings.startup_grace_period } else { self.settings.grace_period };
        let node = if silent >= grace { self.mark_silent(&node).await? } else { node };
        if plan::lost_readiness(&node) {
            self.mark_pods(&node).await?;
        }
        let zone = self.zone(&plan::zone_of(&node));
        let eviction = self.eviction(&zone, &node);
        self.write_taints(&node, eviction == Eviction::Now).await?;
        Ok(match eviction {
            Eviction::Later(delay) => Outcome::RequeueAfter(delay),
            _ if silent < grace => Outcome::RequeueAfter(grace - silent),
            _ => Outcome::Done,
        })
    }

    /// The states of the nodes of one zone, and whether every zone is as bad as can be.
    fn zone(&self, name: &str) -> Zone {
        let nodes = self.nodes.list();
        let mut zones: HashMap<String, (usize, usize)> = HashMap::new();
        for node in &nodes {
            let counts = zones.entry(plan::zone_of(node)).or_default();
            if plan::ready_status(node) == "True" { counts.0 += 1 } else { counts.1 += 1 }
        }
        let all_down = zones.values().all(|(ready, _)| *ready == 0);
        let (ready, not_ready) = zones.get(name).copied().unwrap_or_default();
        Zone { name: name.into(), ready, not_ready, all_down }
    }

    /// Whether the node may be tainted for eviction now. Takes the zone's turn if so.
    fn eviction(&self, zone: &Zone, node: &Node) -> Eviction {
        if plan::ready_status(node) == "True" || plan::has_eviction_taint(node) {
            return if zone.all_down { Eviction::Never } else { Eviction::Now };
        }
        let Some(period) = plan::eviction_period(zone, &self.settings) else { return Eviction::Never };
        let mut turns = self.next_eviction.lock();
        let now = Instant::now();
        let turn = turns.get(&zone.name).copied().unwrap_or(now);
        if turn > now {
            return Eviction::Later(turn - now);
        }
        turns.insert(zone.name.clone(), now + period);
        Eviction::Now
    }
}

/// Of the conditions the Ready one is the kubelet's word, its heartbeat included; others may write the rest.
fn own_words(mut conditions: Vec<NodeCondition>) -> Vec<NodeCondition> {
    conditions.retain(|condition| condition.type_ == "Ready");
    conditions
}

struct Handle(Arc<NodeLifecycleController>);

impl Controller for Handle {
    fn start(self: Box<Self>, tasks: &mut Tasks) {
        let queue = self.0.queue.clone();
        work(tasks, self.0, &queue, WORKERS, NodeLifecycleController::sync);
    }
}

/// The Ready condition of a node.
fn ready(node: &Node) -> Option<&NodeCondition> {
    conditions::get(node.status.as_ref()?.conditions.as_deref()?, "Ready")
}
