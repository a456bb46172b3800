//! The core group.

mod cells;
pub(crate) mod config;
pub(crate) mod controller;
pub(crate) mod endpoints;
pub(crate) mod event;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod pod;
pub(crate) mod policy;
pub(crate) mod service;
pub(crate) mod volume;

use crate::kind::Kind;

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "configmaps" => &config::CONFIG_MAP,
        "endpoints" => &endpoints::ENDPOINTS,
        "events" => &event::EVENT,
        "limitranges" => &policy::LIMIT_RANGE,
        "namespaces" => &namespace::NAMESPACE,
        "nodes" => &node::NODE,
        "persistentvolumeclaims" => &volume::CLAIM,
        "persistentvolumes" => &volume::VOLUME,
        "pods" => &pod::POD,
        "podtemplates" => &controller::POD_TEMPLATE,
        "replicationcontrollers" => &controller::REPLICATION_CONTROLLER,
        "resourcequotas" => &policy::RESOURCE_QUOTA,
        "secrets" => &config::SECRET,
        "serviceaccounts" => &config::SERVICE_ACCOUNT,
        "services" => &service::SERVICE,
        _ => return None,
    })
}
