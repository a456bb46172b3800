//! Which checks there are, under the names and in the order of upstream, and what each looks at here.

use std::borrow::Cow;
use std::time::Duration;

/// Where checks are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Healthz,
    Livez,
    Readyz,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 3] = [Self::Healthz, Self::Livez, Self::Readyz];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
        }
    }
}

/// What decides which checks there are.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Parts {
    /// `--enable-priority-and-fairness`
    pub(crate) fair: bool,
    /// A configuration of encryption that the user wrote is read again when it changes.
    pub(crate) reloads_encryption: bool,
    /// KMS plugins are in use.
    pub(crate) plugins: bool,
    pub(crate) store_patience: (Duration, Duration),
    pub(crate) livez_grace: Duration,
}

/// One check.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) name: Cow<'static, str>,
    at: At,
    pub(super) probe: Probe,
}

impl Check {
    /// What is done once, after the start.
    pub(super) fn is_hook(&self) -> bool {
        self.name.starts_with("poststarthook/")
    }

    pub(super) fn is_at(&self, endpoint: Endpoint) -> bool {
        match self.at {
            At::Everywhere => true,
            At::Ready => endpoint == Endpoint::Readyz,
            At::NotLive => endpoint != Endpoint::Livez,
            At::NotReady => endpoint != Endpoint::Readyz,
        }
    }
}

/// The endpoints that a check is part of.
#[derive(Debug, Clone, Copy)]
enum At {
    Everywhere,
    Ready,
    NotLive,
    NotReady,
}

/// What a check looks at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Probe {
    /// Whether there is an answer: what was done before the server took any request needs no other.
    Answering,
    /// The store can be read.
    Store,
    /// The same, with the patience of readiness.
    StoreReady,
    /// Changes of the store arrive in the cache.
    Following,
    /// What every cluster has is there.
    SystemObjects,
    /// The same of flow control.
    FlowObjects,
    /// KMS plugins answer as they should.
    Plugins,
    /// The server is not about to stop.
    Stopping,
}

/// Upstream's hooks that run after its start, by what stands for them here.
const HOOKS: [(&str, Probe); 32] = [
    ("start-apiserver-admission-initializer", Probe::Answering),
    ("generic-apiserver-start-informers", Probe::Following),
    ("priority-and-fairness-config-consumer", Probe::Answering),
    ("priority-and-fairness-filter", Probe::Answering),
    ("max-in-flight-filter", Probe::Answering),
    ("storage-object-count-tracker-hook", Probe::Answering),
    ("start-apiextensions-informers", Probe::Following),
    ("start-apiextensions-controllers", Probe::Answering),
    ("crd-informer-synced", Probe::Following),
    ("start-system-namespaces-controller", Probe::SystemObjects),
    ("peer-endpoint-reconciler-controller", Probe::Answering),
    ("start-cluster-authentication-info-controller", Probe::SystemObjects),
    ("start-kube-apiserver-identity-lease-controller", Probe::Answering),
    ("start-kube-apiserver-identity-lease-garbage-collector", Probe::Answering),
    ("storage-readiness", Probe::Following),
    ("start-legacy-token-tracking-controller", Probe::Answering),
    ("start-service-ip-repair-controllers", Probe::Answering),
    ("rbac/bootstrap-roles", Probe::SystemObjects),
    ("scheduling/bootstrap-system-priority-classes", Probe::SystemObjects),
    ("priority-and-fairness-config-producer", Probe::FlowObjects),
    ("bootstrap-controller", Probe::SystemObjects),
    ("start-kubernetes-service-cidr-controller", Probe::SystemObjects),
    ("aggregator-reload-proxy-client-cert", Probe::Answering),
    ("start-kube-aggregator-informers", Probe::Following),
    ("apiservice-status-local-available-controller", Probe::SystemObjects),
    ("apiservice-status-remote-available-controller", Probe::Answering),
    ("apiservice-registration-controller", Probe::Answering),
    ("apiservice-wait-for-first-sync", Probe::Following),
    ("apiservice-discovery-controller", Probe::Answering),
    ("kube-apiserver-autoregistration", Probe::SystemObjects),
    ("apiservice-openapi-controller", Probe::Answering),
    ("apiservice-openapiv3-controller", Probe::Answering),
];

/// Hooks of priority and fairness, and the one that stands in its place.
const FAIR: [&str; 2] = ["priority-and-fairness-config-consumer", "priority-and-fairness-filter"];
const UNFAIR: &str = "max-in-flight-filter";
/// It comes after this hook.
const AUTOREGISTRATION: &str = "kube-apiserver-autoregistration";

pub(super) fn of(parts: &Parts) -> Vec<Check> {
    let check = |name: &'static str, at, probe| Check { name: name.into(), at, probe };
    let mut all = vec![
        check("ping", At::Everywhere, Probe::Answering),
        check("log", At::Everywhere, Probe::Answering),
        check("loopback-serving-certificate", At::NotReady, Probe::Answering),
        check("etcd", At::Everywhere, Probe::Store),
        check("etcd-readiness", At::Ready, Probe::StoreReady),
    ];
    if parts.reloads_encryption || parts.plugins {
        all.push(check("kms-providers", At::NotLive, Probe::Plugins));
    }
    all.push(check("informer-sync", At::Ready, Probe::Following));
    if parts.reloads_encryption {
        all.push(hook("start-encryption-provider-config-automatic-reload", Probe::Answering));
    }
    for (name, probe) in HOOKS {
        if (FAIR.contains(&name) && !parts.fair) || (name == UNFAIR && parts.fair) {
            continue;
        }
        all.push(hook(name, probe));
        if name == AUTOREGISTRATION {
            all.push(check("autoregister-completion", At::Everywhere, Probe::SystemObjects));
        }
    }
    all.push(check("shutdown", At::Ready, Probe::Stopping));
    all
}

fn hook(name: &str, probe: Probe) -> Check {
    Check { name: format!("poststarthook/{name}").into(), at: At::Everywhere, probe }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(parts: Parts, endpoint: Endpoint) -> Vec<String> {
        of(&parts).iter().filter(|check| check.is_at(endpoint)).map(|check| check.name.to_string()).collect()
    }

    #[test]
    fn each_endpoint_has_its_own() {
        let parts = Parts { fair: true, reloads_encryption: false, plugins: true, ..Parts::default() };
        let check = |endpoint, has: &[&str], has_not: &[&str]| {
            let names = names(parts, endpoint);
            for name in has {
                assert!(names.iter().any(|n| n == name), "{endpoint:?} has {name}: {names:?}");
            }
            for name in has_not {
                assert!(!names.iter().any(|n| n == name), "{endpoint:?} has no {name}");
            }
        };
        let hook = "poststarthook/rbac/bootstrap-roles";
        let ready = ["etcd-readiness", "informer-sync", "shutdown"];
        check(Endpoint::Healthz, &["ping", "log", "etcd", hook, "kms-providers"], &ready);
        check(Endpoint::Livez, &["ping", "log", "etcd", hook], &[&ready[..], &["kms-providers"]].concat());
        check(Endpoint::Readyz, &[&["ping", "etcd", hook, "kms-providers"], &ready[..]].concat(), &[]);
    }

    #[test]
    fn what_is_not_in_use_is_not_checked() {
        let has = |parts, name: &str| names(parts, Endpoint::Readyz).iter().any(|known| known == name);
        let fair = Parts { fair: true, ..Parts::default() };
        let reloads = Parts { reloads_encryption: true, ..Parts::default() };
        let cases = [
            (fair, "poststarthook/priority-and-fairness-filter", true),
            (fair, "poststarthook/max-in-flight-filter", false),
            (fair, "kms-providers", false),
            (Parts::default(), "poststarthook/priority-and-fairness-filter", false),
            (Parts::default(), "poststarthook/priority-and-fairness-config-producer", true),
            (Parts::default(), "poststarthook/max-in-flight-filter", true),
            (reloads, "kms-providers", true),
            (reloads, "poststarthook/start-encryption-provider-config-automatic-reload", true),
        ];
        for (parts, name, want) in cases {
            assert_eq!(has(parts, name), want, "{parts:?} {name}");
        }
    }
}
