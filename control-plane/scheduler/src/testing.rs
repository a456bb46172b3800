//! Builders for tests: a pod and a node with few words.

use serde_json::{Value, json};

use crate::model::{NodeFacts, NodeInfo, PodInfo};

/// A pod as JSON, in namespace `shop`.
#[derive(Clone)]
pub(crate) struct PodBuilder(pub(crate) Value);

pub(crate) fn pod(name: &str) -> PodBuilder {
    PodBuilder(json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": "shop", "name": name, "uid": format!("uid-{name}")},
        "spec": {"schedulerName": "default-scheduler", "containers": [{"name": "c"}]},
    }))
}

impl PodBuilder {
    pub(crate) fn asks(mut self, cpu: &str, memory: &str) -> Self {
        self.0["spec"]["containers"][0]["resources"]["requests"] = json!({"cpu": cpu, "memory": memory});
        self
    }

    /// Sets a field of the spec.
    pub(crate) fn spec(mut self, field: &str, value: Value) -> Self {
        self.0["spec"][field] = value;
        self
    }

    pub(crate) fn host_port(mut self, port: i32, ip: &str, protocol: &str) -> Self {
        self.0["spec"]["containers"][0]["ports"] =
            json!([{"containerPort": 1, "hostPort": port, "hostIP": ip, "protocol": protocol}]);
        self
    }

    pub(crate) fn tolerates(self, key: &str, operator: &str, value: &str, effect: &str) -> Self {
        self.spec(
            "tolerations",
            json!([{"key": key, "operator": operator, "value": value, "effect": effect}]),
        )
    }

    /// Required node affinity with these terms.
    pub(crate) fn requires(self, terms: Value) -> Self {
        let affinity =
            json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
        self.spec("affinity", json!({"nodeAffinity": affinity}))
    }

    pub(crate) fn prefers(self, weight: i64, expression: Value) -> Self {
        let term = json!([{"weight": weight, "preference": {"matchExpressions": [expression]}}]);
        let affinity = json!({"preferredDuringSchedulingIgnoredDuringExecution": term});
        self.spec("affinity", json!({"nodeAffinity": affinity}))
    }

    pub(crate) fn on(self, node: &str) -> Self {
        self.spec("nodeName", json!(node))
    }

    pub(crate) fn condition(mut self, status: &str, reason: &str, message: &str) -> Self {
        self.0["status"]["conditions"] =
            json!([{"type": "PodScheduled", "status": status, "reason": reason, "message": message}]);
        self
    }

    pub(crate) fn json(&self) -> Value {
        self.0.clone()
    }

    pub(crate) fn info(&self) -> PodInfo {
        PodInfo::parse(&serde_json::from_value(self.0.clone()).expect("a pod"))
    }
}

/// A node as JSON: 4 CPUs, 8Gi, 10 pods.
#[derive(Clone)]
pub(crate) struct NodeBuilder(Value);

pub(crate) fn node(name: &str) -> NodeBuilder {
    NodeBuilder(json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
    }))
}

impl NodeBuilder {
    pub(crate) fn has(mut self, resource: &str, amount: &str) -> Self {
        self.0["status"]["allocatable"][resource] = json!(amount);
        self
    }

    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }

    pub(crate) fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        let taint = json!({"key": key, "value": value, "effect": effect});
        match self.0["spec"]["taints"].as_array_mut() {
            Some(taints) => taints.push(taint),
            None => self.0["spec"]["taints"] = json!([taint]),
        }
        self
    }

    pub(crate) fn cordoned(mut self) -> Self {
        self.0["spec"]["unschedulable"] = json!(true);
        self
    }

    pub(crate) fn json(&self) -> Value {
        self.0.clone()
    }

    pub(crate) fn facts(&self) -> NodeFacts {
        NodeFacts::parse(&serde_json::from_value(self.0.clone()).expect("a node"))
    }

    /// With these pods on it.
    pub(crate) fn info(&self, pods: &[PodBuilder]) -> NodeInfo {
        let mut info = NodeInfo { facts: self.facts().into(), ..NodeInfo::default() };
        for pod in pods {
            info.add_pod(&pod.info());
        }
        info
    }
}
