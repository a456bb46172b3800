//! The apps group.

mod cells;
mod validate;

use crate::kind::Kind;
use crate::value::int;

pub(crate) fn kind(resource: &str) -> Option<&'static Kind> {
    Some(match resource {
        "controllerrevisions" => &CONTROLLER_REVISION,
        "daemonsets" => &DAEMON_SET,
        "deployments" => &DEPLOYMENT,
        "replicasets" => &REPLICA_SET,
        "statefulsets" => &STATEFUL_SET,
        _ => return None,
    })
}

static CONTROLLER_REVISION: Kind = Kind {
    validate: validate::revision,
    changes: validate::revision_changes,
    cells: Some(cells::controller_revision),
    ..Kind::PLAIN
};

static DAEMON_SET: Kind = Kind {
    validate: validate::daemon_set,
    changes: validate::selector_stays,
    cells: Some(cells::daemon_set),
    ..Kind::COUNTED
};

static DEPLOYMENT: Kind = Kind {
    // Annotations count: the controller copies them.
    generation_changes: Some(|new, old| {
        new["spec"] != old["spec"] || new["metadata"]["annotations"] != old["metadata"]["annotations"]
    }),
    validate: validate::deployment,
    changes: validate::selector_stays,
    cells: Some(cells::deployment),
    ..Kind::COUNTED
};

static REPLICA_SET: Kind = Kind {
    fields: |set| vec![("status.replicas", int(&set["status"]["replicas"]).to_string())],
    validate: validate::replica_set,
    changes: validate::selector_stays,
    cells: Some(cells::replica_set),
    ..Kind::COUNTED
};

static STATEFUL_SET: Kind = Kind {
    // Its pods' host names begin with it.
    name: crate::names::dns_label,
    validate: validate::stateful_set,
    changes: validate::stateful_set_changes,
    cells: Some(cells::stateful_set),
    ..Kind::COUNTED
};
