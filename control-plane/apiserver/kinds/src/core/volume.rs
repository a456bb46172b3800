//! PersistentVolumes and their claims.

mod validate;

use serde_json::json;

use crate::kind::Kind;

pub(crate) static CLAIM: Kind = Kind {
    prepare_create: |_, claim| claim["status"] = json!({ "phase": "Pending" }),
    validate: validate::claim,
    changes: validate::claim_changes,
    cells: Some(super::cells::claim),
    ..Kind::PLAIN
};

pub(crate) static VOLUME: Kind = Kind {
    prepare_create: |context, volume| {
        let now = oarlock_api::meta::print_time(context.now);
        volume["status"] = json!({ "phase": "Pending", "lastPhaseTransitionTime": now });
    },
    prepare_update: |context, new, old| {
        if context.subresource == "status" && new["status"]["phase"] != old["status"]["phase"] {
            new["status"]["lastPhaseTransitionTime"] = oarlock_api::meta::print_time(context.now).into();
        }
    },
    validate: validate::volume,
    changes: validate::volume_changes,
    cells: Some(super::cells::volume),
    ..Kind::PLAIN
};
