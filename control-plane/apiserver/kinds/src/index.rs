//! Which kind has which strategy.

use oarlock_api::GroupResource;

use crate::kind::Kind;
use crate::strategy::Strategy;
use crate::{apps, batch, cluster, core, networking, rbac, storage};

static PLAIN: Kind = Kind::PLAIN;

/// The strategy of a resource; a plain one where the kind adds nothing.
pub fn strategy_for(resource: &GroupResource) -> &'static dyn Strategy {
    kind_of(&resource.group, &resource.resource)
}

fn kind_of(group: &str, resource: &str) -> &'static Kind {
    match group {
        "" => core::kind(resource),
        "events.k8s.io" if resource == "events" => Some(&core::event::EVENT),
        "apps" => apps::kind(resource),
        "batch" => batch::kind(resource),
        "networking.k8s.io" | "discovery.k8s.io" => networking::kind(resource),
        "rbac.authorization.k8s.io" => rbac::kind(resource),
        "storage.k8s.io" | "storagemigration.k8s.io" => storage::kind(resource),
        _ => cluster::kind(resource),
    }
    .unwrap_or(&PLAIN)
}
