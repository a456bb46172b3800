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

#[cfg(test)]
mod tests {
    use super::*;
    use oarlock_api::Table;
    use serde_json::json;

    #[test]
    fn every_kind_fills_its_columns() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        for api in Table::builtin().resources().iter().filter(|api| api.has_verb("watch")) {
            let cells = strategy_for(&api.group_resource()).table_cells(&json!({}), now);
            if api.table_columns.is_empty() {
                continue;
            }
            let cells = cells.unwrap_or_else(|| panic!("{}/{} has no cells", api.group, api.plural));
            assert_eq!(cells.len(), api.table_columns.len(), "{}/{}", api.group, api.plural);
        }
    }

    #[test]
    fn ages_stand_in_their_column() {
        let now = "2026-01-01T00:05:00Z".parse().expect("a time");
        let object = json!({"metadata": {"name": "x", "creationTimestamp": "2026-01-01T00:00:00Z"}});
        for api in Table::builtin().resources().iter().filter(|api| api.has_verb("watch")) {
            let cells = strategy_for(&api.group_resource()).table_cells(&object, now).unwrap_or_default();
            for (column, cell) in api.table_columns.iter().zip(cells) {
                match column.name {
                    "Age" => assert_eq!(cell, "5m", "{}/{}", api.group, api.plural),
                    "Name" => assert_eq!(cell, "x", "{}/{}", api.group, api.plural),
                    _ => {}
                }
            }
        }
    }
}
