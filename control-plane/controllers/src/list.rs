//! The controllers by upstream's names, and which of them are to run (`--controllers`).

use k8s_openapi::api::apps::v1::ReplicaSet;
use thiserror::Error;

use crate::clusterroleaggregation::ClusterRoleAggregation;
use crate::common::{Context, Controller};
use crate::deployment::DeploymentController;
use crate::disruption::DisruptionController;
use crate::endpoint::EndpointsController;
use crate::endpointslice::EndpointSliceController;
use crate::garbagecollector::GarbageCollector;
use crate::namespace::NamespaceController;
use crate::nodeipam::NodeIpamController;
use crate::nodelifecycle::NodeLifecycleController;
use crate::podgc::PodGcController;
use crate::pvcprotection::PvcProtectionController;
use crate::pvprotection::PvProtectionController;
use crate::replicaset::ReplicaSetController;
use crate::replicationcontroller::ReplicationManager;
use crate::resourcequota::ResourceQuotaController;
use crate::rootcacertpublisher::RootCaController;
use crate::serviceaccount::ServiceAccountController;
use crate::tainteviction::TaintEvictionController;
use crate::vacprotection::VacProtectionController;

type Register = fn(&Context) -> Option<Box<dyn Controller>>;

/// Name, the short name of old (empty if there was none), and how it is made.
const CONTROLLERS: [(&str, &str, Register); 19] = [
    ("namespace-controller", "namespace", |c| Some(NamespaceController::register(c))),
    ("serviceaccount-controller", "serviceaccount", |c| Some(ServiceAccountController::register(c))),
    ("root-ca-certificate-publisher-controller", "root-ca-cert-publisher", |c| {
        Some(RootCaController::register(c))
    }),
    ("deployment-controller", "deployment", |c| Some(DeploymentController::register(c))),
    ("replicaset-controller", "replicaset", |c| Some(ReplicaSetController::<ReplicaSet>::register(c))),
    ("replicationcontroller-controller", "replicationcontroller", |c| Some(ReplicationManager::register(c))),
    ("endpointslice-controller", "endpointslice", |c| Some(EndpointSliceController::register(c))),
    ("endpoints-controller", "endpoint", |c| Some(EndpointsController::register(c))),
    ("resourcequota-controller", "resourcequota", |c| Some(ResourceQuotaController::register(c))),
    ("garbage-collector-controller", "garbagecollector", |c| Some(GarbageCollector::register(c))),
    ("node-lifecycle-controller", "nodelifecycle", |c| Some(NodeLifecycleController::register(c))),
    ("taint-eviction-controller", "", |c| Some(TaintEvictionController::register(c))),
    ("pod-garbage-collector-controller", "podgc", |c| Some(PodGcController::register(c))),
    ("clusterrole-aggregation-controller", "clusterrole-aggregation", |c| {
        Some(ClusterRoleAggregation::register(c))
    }),
    ("disruption-controller", "disruption", |c| Some(DisruptionController::register(c))),
    ("persistentvolumeclaim-protection-controller", "pvc-protection", |c| {
        Some(PvcProtectionController::register(c))
    }),
    ("persistentvolume-protection-controller", "pv-protection", |c| {
        Some(PvProtectionController::register(c))
    }),
    ("volumeattributesclass-protection-controller", "", |c| Some(VacProtectionController::register(c))),
    ("node-ipam-controller", "nodeipam", NodeIpamController::register),
];

/// The message is upstream's.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("'{0}' is not in the list of known controllers")]
pub struct UnknownController(String);

/// Which controllers run. The default is all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(Vec<String>);

impl Default for Selection {
    fn default() -> Self {
        Self(vec!["*".into()])
    }
}

impl Selection {
    /// As `--controllers` has it: `*` is all, `name` is on, `-name` is off; of two that speak of one controller the first
    /// counts. Short names are taken for the full ones.
    pub fn parse<S: AsRef<str>>(list: &[S]) -> Result<Self, UnknownController> {
        list.iter().map(|entry| full_name(entry.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    fn has(&self, name: &str) -> bool {
        let told = self.0.iter().find(|entry| entry.trim_start_matches('-') == name);
        told.map_or_else(|| self.0.iter().any(|entry| entry == "*"), |entry| entry == name)
    }
}

fn full_name(entry: &str) -> Result<String, UnknownController> {
    if entry == "*" {
        return Ok(entry.into());
    }
    let (sign, name) = entry.strip_prefix('-').map_or(("", entry), |name| ("-", name));
    let same = |known: &&(&str, &str, Register)| known.0 == name || (!name.is_empty() && known.1 == name);
    let known = CONTROLLERS.iter().find(same).ok_or_else(|| UnknownController(name.into()))?;
    Ok(format!("{sign}{}", known.0))
}

/// Registers the controllers that are to run.
pub(crate) fn register(context: &Context) -> Vec<Box<dyn Controller>> {
    let wanted = CONTROLLERS.iter().filter(|(name, _, _)| context.config.controllers.has(name));
    wanted.filter_map(|(_, _, register)| register(context)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_selects() {
        for (list, on, off) in [
            (vec!["*"], vec!["deployment-controller", "disruption-controller"], vec![]),
            (vec!["*", "-disruption"], vec!["deployment-controller"], vec!["disruption-controller"]),
            (vec!["resourcequota"], vec!["resourcequota-controller"], vec!["deployment-controller"]),
            (
                vec!["-podgc", "podgc", "*"],
                vec!["node-ipam-controller"],
                vec!["pod-garbage-collector-controller"],
            ),
        ] {
            let selection = Selection::parse(&list).expect("known names");
            assert!(on.iter().all(|name| selection.has(name)), "{list:?}");
            assert!(!off.iter().any(|name| selection.has(name)), "{list:?}");
        }
        for (unknown, told) in [("nothing", "nothing"), ("-", ""), ("--podgc", "-podgc")] {
            let error = Selection::parse(&[unknown]).expect_err("unknown").to_string();
            assert_eq!(error, format!("'{told}' is not in the list of known controllers"));
        }
    }
}
