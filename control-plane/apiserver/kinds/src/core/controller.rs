//! ReplicationControllers and PodTemplates.

use crate::kind::Kind;
use crate::value::int;

pub(crate) static REPLICATION_CONTROLLER: Kind = Kind {
    propagation: "Orphan",
    fields: |controller| vec![("status.replicas", int(&controller["status"]["replicas"]).to_string())],
    cells: Some(super::cells::replication_controller),
    ..Kind::COUNTED
};

pub(crate) static POD_TEMPLATE: Kind = Kind { cells: Some(super::cells::pod_template), ..Kind::COUNTED };
