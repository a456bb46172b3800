//! Amounts of resources as integers, and what a pod asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, PodSpec, ResourceRequirements};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Told;
use oarlock_api::quantity::Quantity;

/// Upstream's stand-ins for scoring, where a container asks for nothing: 100m and 200Mi.
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// CPU in thousandths, the rest in bytes or pieces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    pub milli_cpu: i64,
    pub memory: i64,
    pub ephemeral_storage: i64,
    /// Extended resources and huge pages, sorted by name; short, mostly empty.
    pub scalars: Vec<(Arc<str>, i64)>,
}

/// CPU and memory with upstream's stand-ins for what was not asked for: what scoring counts with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NonZero {
    pub milli_cpu: i64,
    pub memory: i64,
}

type List = BTreeMap<String, Told>;

fn amount(name: &str, told: &Told) -> i64 {
    // The API server has validated it; what it let through and we cannot read counts as nothing.
    let Ok(quantity) = Quantity::parse(&told.0) else { return 0 };
    if name == "cpu" { quantity.milli_value() } else { quantity.value() }
}

impl Resources {
    /// From `allocatable` or `requests`. `pods` is not a resource that is summed: see [`super::NodeFacts`].
    pub fn from_list(list: &List) -> Self {
        let mut resources = Self::default();
        for (name, told) in list {
            if name != "pods" {
                resources.set(name, amount(name, told));
            }
        }
        resources
    }

    fn set(&mut self, name: &str, value: i64) {
        match name {
            "cpu" => self.milli_cpu = value,
            "memory" => self.memory = value,
            "ephemeral-storage" => self.ephemeral_storage = value,
            _ => *self.scalar_mut(name) = value,
        }
    }

    fn scalar_mut(&mut self, name: &str) -> &mut i64 {
        let at = match self.scalars.binary_search_by(|(known, _)| (**known).cmp(name)) {
            Ok(at) => at,
            Err(at) => {
                self.scalars.insert(at, (name.into(), 0));
                at
            }
        };
        &mut self.scalars[at].1
    }

    /// The amount of an extended resource.
    pub fn scalar(&self, name: &str) -> i64 {
        self.scalars.binary_search_by(|(known, _)| (**known).cmp(name)).map_or(0, |at| self.scalars[at].1)
    }

    fn merge(&mut self, other: &Self, join: fn(i64, i64) -> i64) {
        self.milli_cpu = join(self.milli_cpu, other.milli_cpu);
        self.memory = join(self.memory, other.memory);
        self.ephemeral_storage = join(self.ephemeral_storage, other.ephemeral_storage);
        for (name, value) in &other.scalars {
            let mine = self.scalar_mut(name);
            *mine = join(*mine, *value);
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.merge(other, i64::saturating_add);
    }

    pub fn sub(&mut self, other: &Self) {
        self.merge(other, i64::saturating_sub);
    }

    fn raise_to(&mut self, other: &Self) {
        self.merge(other, i64::max);
    }

    /// Whether nothing at all is asked for.
    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0 && self.memory == 0 && self.ephemeral_storage == 0 && self.scalars.is_empty()
    }

    /// Whether any amount of what `wanted` names is greater here than in `before`.
    pub fn any_increased(&self, before: &Self, wanted: &Self) -> bool {
        (wanted.milli_cpu > 0 && self.milli_cpu > before.milli_cpu)
            || (wanted.memory > 0 && self.memory > before.memory)
            || (wanted.ephemeral_storage > 0 && self.ephemeral_storage > before.ephemeral_storage)
            || wanted.scalars.iter().any(|(name, _)| self.scalar(name) > before.scalar(name))
    }
}

fn requests(resources: Option<&ResourceRequirements>) -> Option<&List> {
    resources.and_then(|resources| resources.requests.as_ref())
}

fn container_requests(container: &Container) -> Resources {
    requests(container.resources.as_ref()).map(Resources::from_list).unwrap_or_default()
}

/// A container's requests with the stand-ins put in.
fn container_nonzero(container: &Container) -> Resources {
    let asked = requests(container.resources.as_ref());
    let has = |name: &str| asked.is_some_and(|asked| asked.contains_key(name));
    let mut resources = container_requests(container);
    if !has("cpu") {
        resources.milli_cpu = DEFAULT_MILLI_CPU;
    }
    if !has("memory") {
        resources.memory = DEFAULT_MEMORY;
    }
    resources
}

/// The containers' sum, or the greatest need while they initialise, whichever is more. Sidecars (init containers that
/// restart always, KEP-753) run on, beside every later container.
fn whole_pod(spec: &PodSpec, of: fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    for container in &spec.containers {
        running.add(&of(container));
    }
    let mut sidecars = Resources::default();
    let mut starting = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let own = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running.add(&own);
            sidecars.add(&own);
            starting.raise_to(&sidecars);
        } else {
            let mut now = own;
            now.add(&sidecars);
            starting.raise_to(&now);
        }
    }
    running.raise_to(&starting);
    running
}

/// Pod-level requests (KEP-2837) stand for the containers' sum, for the resources they can name.
fn put_pod_level(total: &mut Resources, spec: &PodSpec) {
    for (name, told) in requests(spec.resources.as_ref()).into_iter().flatten() {
        if matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-") {
            total.set(name, amount(name, told));
        }
    }
}

/// What a pod takes from its node: exactly, and as scoring counts it.
pub(super) fn pod_requests(spec: &PodSpec) -> (Resources, NonZero) {
    let mut exact = whole_pod(spec, container_requests);
    let mut counted = whole_pod(spec, container_nonzero);
    let overhead = spec.overhead.as_ref().map(Resources::from_list);
    for total in [&mut exact, &mut counted] {
        put_pod_level(total, spec);
        if let Some(overhead) = &overhead {
            total.add(overhead);
        }
    }
    exact.scalars.retain(|(_, value)| *value != 0);
    (exact, NonZero { milli_cpu: counted.milli_cpu, memory: counted.memory })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(what: &str, spec: Value, want: (i64, i64), want_counted: (i64, i64)) {
        let spec: PodSpec = serde_json::from_value(spec).expect("a pod spec");
        let (exact, counted) = pod_requests(&spec);
        assert_eq!((exact.milli_cpu, exact.memory), want, "{what}");
        assert_eq!((counted.milli_cpu, counted.memory), want_counted, "{what}, counted");
    }

    fn asks(cpu: &str, memory: &str) -> Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn a_pod_asks_for_the_greater_of_running_and_starting() {
        let mut sidecar = asks("50m", "5");
        sidecar["restartPolicy"] = json!("Always");
        let sum = json!({"containers": [asks("100m", "1Ki"), asks("0.2", "1Ki")]});
        check("containers are summed", sum, (300, 2048), (300, 2048));
        let init =
            json!({"containers": [asks("100m", "10")], "initContainers": [asks("1", "1"), asks("2", "4")]});
        check("the greatest init container", init, (2000, 10), (2000, 10));
        let late = json!({"containers": [asks("100m", "10")], "initContainers": [asks("1", "1"), sidecar]});
        check("a sidecar after it", late, (1000, 15), (1000, 15));
        let early = json!({"containers": [asks("100m", "10")], "initContainers": [sidecar, asks("1", "1")]});
        check("a sidecar before it", early, (1050, 15), (1050, 15));
        check("nothing asked", json!({"containers": [{"name": "c"}]}), (0, 0), (100, DEFAULT_MEMORY));
        let level = json!({"containers": [asks("1", "10")], "resources": {"requests": {"cpu": "3"}},
            "overhead": {"cpu": "10m", "memory": "1"}});
        check("pod level and overhead", level, (3010, 11), (3010, 11));
    }

    #[test]
    fn extended_resources_are_scalars() {
        let spec = json!({"containers": [{"name": "c", "resources": {"requests": {"example.com/gpu": "2", "ephemeral-storage": "1Gi"}}}]});
        let (exact, _) = pod_requests(&serde_json::from_value(spec).expect("a pod spec"));
        assert_eq!(
            (exact.scalar("example.com/gpu"), exact.scalar("x"), exact.ephemeral_storage),
            (2, 0, 1 << 30)
        );
    }
}
