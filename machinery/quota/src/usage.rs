//! What an object uses, as quotas count it.

use std::collections::BTreeSet;

use jiff::Timestamp;
use oarlock_api::GroupResource;
use oarlock_api::quantity::{Format, Quantity};
use oarlock_api::value::{annotation, items, text};
use serde_json::Value;

use crate::amounts::{Amounts, add, amounts, raise};
use crate::pods::{self, PodScopes};
use crate::scope::Selector;

/// How a resource is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tracked {
    Pods,
    Services,
    Claims,
    DeviceClaims,
    /// By their number only.
    Objects,
}

/// What is known of an object for quotas. Two that are equal are counted alike by every quota.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub usage: Amounts,
    scopes: Scopes,
    /// From then on only the object itself counts, not what it computes with.
    ends_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq)]
enum Scopes {
    None,
    Pod(PodScopes),
    /// The volume attributes classes that a claim refers to.
    Claim(BTreeSet<String>),
}

impl Facts {
    fn new(usage: Amounts, scopes: Scopes) -> Self {
        Self { usage, scopes, ends_at: None }
    }

    /// As it is at that time.
    pub fn at(mut self, now: Timestamp) -> Self {
        if self.has_ended(now) {
            self.usage.retain(|name, _| name.starts_with(COUNT));
        }
        self
    }

    /// Adds what it uses at that time.
    pub fn add_to(&self, sum: &mut Amounts, now: Timestamp) {
        let ended = self.has_ended(now);
        for (name, quantity) in self.usage.iter().filter(|(name, _)| !ended || name.starts_with(COUNT)) {
            match sum.get_mut(name) {
                Some(so_far) => *so_far += *quantity,
                None => drop(sum.insert(name.clone(), *quantity)),
            }
        }
    }

    /// When it will count for less without a change, if that is still to come.
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.ends_at.filter(|_| !self.has_ended(now))
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|at| now > at)
    }

    pub fn is_in(&self, selector: &Selector) -> bool {
        match &self.scopes {
            Scopes::None => false,
            Scopes::Pod(pod) => pod.is_in(selector),
            Scopes::Claim(classes) => {
                let classes: Vec<&str> = classes.iter().map(String::as_str).collect();
                selector.scope == "VolumeAttributesClass" && selector.selects(&classes)
            }
        }
    }
}

/// What exists only to be asked, and what comes and goes too often to be counted.
const IGNORED: [(&str, &str); 9] = [
    ("", "bindings"),
    ("", "componentstatuses"),
    ("", "events"),
    ("events.k8s.io", "events"),
    ("authentication.k8s.io", "tokenreviews"),
    ("authorization.k8s.io", "subjectaccessreviews"),
    ("authorization.k8s.io", "localsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
];
const COUNT: &str = "count/";
/// Resources that are counted under their bare names, too.
const COUNTED_BARE: [&str; 4] = ["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];

fn one() -> Quantity {
    number(1)
}

fn number(n: i64) -> Quantity {
    Quantity::new(n, Format::DecimalSi)
}

/// `count/deployments.apps`.
fn object_count(resource: &GroupResource) -> String {
    format!("{COUNT}{resource}")
}

/// Whether objects of the resource are never counted.
pub fn is_ignored(resource: &GroupResource) -> bool {
    IGNORED.contains(&(&*resource.group, &*resource.resource))
}

impl Tracked {
    pub fn of(resource: &GroupResource) -> Self {
        match (&*resource.group, &*resource.resource) {
            ("", "pods") => Self::Pods,
            ("", "services") => Self::Services,
            ("", "persistentvolumeclaims") => Self::Claims,
            ("resource.k8s.io", "resourceclaims") => Self::DeviceClaims,
            _ => Self::Objects,
        }
    }

    /// Whether a limit of this name is about this resource.
    pub fn counts(self, resource: &GroupResource, name: &str) -> bool {
        if name.strip_prefix(COUNT).is_some_and(|counted| counted == resource.to_string()) {
            return true;
        }
        match self {
            Self::Pods => pods::counts(name),
            Self::Services => matches!(name, "services" | "services.nodeports" | "services.loadbalancers"),
            Self::Claims => {
                matches!(name, "persistentvolumeclaims" | "requests.storage")
                    || name.ends_with(".storageclass.storage.k8s.io/requests.storage")
                    || name.ends_with(".storageclass.storage.k8s.io/persistentvolumeclaims")
            }
            Self::DeviceClaims => name.ends_with(DEVICES),
            Self::Objects => {
                resource.group.is_empty() && *resource.resource == *name && COUNTED_BARE.contains(&name)
            }
        }
    }

    /// What the object uses, and the scopes that it is in.
    pub fn measure(self, resource: &GroupResource, object: &Value) -> Facts {
        let count = object_count(resource);
        match self {
            Self::Pods => Facts {
                usage: pods::usage(object, count),
                scopes: Scopes::Pod(PodScopes::of(object)),
                ends_at: pods::ends_at(object),
            },
            Self::Services => Facts::new(service(object, count), Scopes::None),
            Self::Claims => {
                Facts::new(claim(object, count), Scopes::Claim(volume_attributes_classes(object)))
            }
            Self::DeviceClaims => Facts::new(device_claim(object, count), Scopes::None),
            Self::Objects => {
                let mut usage = Amounts::from([(count, one())]);
                if resource.group.is_empty() && COUNTED_BARE.contains(&&*resource.resource) {
                    usage.insert(resource.resource.to_string(), one());
                }
                Facts::new(usage, Scopes::None)
            }
        }
    }
}

fn service(service: &Value, count: String) -> Amounts {
    let spec = &service["spec"];
    let ports = items(spec, &["ports"]);
    let balancer = text(spec, &["type"]) == "LoadBalancer";
    let node_ports = match text(spec, &["type"]) {
        "NodePort" => ports.len(),
        // Only those that were asked for by number.
        "LoadBalancer" if spec["allocateLoadBalancerNodePorts"] == false => {
            ports.iter().filter(|port| port["nodePort"].as_i64().is_some_and(|port| port != 0)).count()
        }
        "LoadBalancer" => ports.len(),
        _ => 0,
    };
    Amounts::from([
        (count, one()),
        ("services".into(), one()),
        ("services.nodeports".into(), number(i64::try_from(node_ports).unwrap_or(i64::MAX))),
        ("services.loadbalancers".into(), number(i64::from(balancer))),
    ])
}

fn claim(claim: &Value, count: String) -> Amounts {
    let class = annotation(claim, "volume.beta.kubernetes.io/storage-class")
        .unwrap_or_else(|| text(claim, &["spec", "storageClassName"]));
    let mut usage = Amounts::from([(count, one()), ("persistentvolumeclaims".into(), one())]);
    let of_class = |what: &str| format!("{class}.storageclass.storage.k8s.io/{what}");
    if !class.is_empty() {
        usage.insert(of_class("persistentvolumeclaims"), one());
    }
    // What was granted to a claim counts until it is given back.
    let mut sizes = amounts(&claim["spec"]["resources"]["requests"]);
    raise(&mut sizes, &amounts(&claim["status"]["allocatedResources"]));
    if let Some(size) = sizes.get("storage") {
        let size = size.round_up(0);
        usage.insert("requests.storage".into(), size);
        if !class.is_empty() {
            usage.insert(of_class("requests.storage"), size);
        }
    }
    usage
}

fn volume_attributes_classes(claim: &Value) -> BTreeSet<String> {
    [
        text(claim, &["spec", "volumeAttributesClassName"]),
        text(claim, &["status", "currentVolumeAttributesClassName"]),
        text(claim, &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"]),
    ]
    .into_iter()
    .filter(|class| !class.is_empty())
    .map(str::to_string)
    .collect()
}

const DEVICES: &str = ".deviceclass.resource.k8s.io/devices";
/// The most devices that one request can be given: what `All` may come to.
const DEVICES_MAX: i64 = 32;

fn device_claim(claim: &Value, count: String) -> Amounts {
    let mut usage = Amounts::from([(count, one())]);
    let devices = |request: &Value| {
        let many = match text(request, &["allocationMode"]) {
            "All" => DEVICES_MAX,
            "" | "ExactCount" => request["count"].as_i64().unwrap_or(1),
            // A mode of a later version counts for nothing, as upstream.
            _ => 0,
        };
        (format!("{}{DEVICES}", text(request, &["deviceClassName"])), number(many))
    };
    for request in items(claim, &["spec", "devices", "requests"]) {
        let alternatives = items(request, &["firstAvailable"]);
        // Of alternatives one is given: for each class the most is counted.
        let mut most = Amounts::new();
        if alternatives.is_empty() {
            // v1 has the request under a name, the betas in place.
            let exact = if request["exactly"].is_object() { &request["exactly"] } else { request };
            most.extend([devices(exact)]);
        }
        alternatives.iter().for_each(|one| raise(&mut most, &Amounts::from([devices(one)])));
        add(&mut usage, &most);
    }
    usage
}
