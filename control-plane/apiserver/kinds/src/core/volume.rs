//! PersistentVolumes and their claims.

mod claim;
mod persistent;

pub(crate) use claim::{spec as claim_spec, warnings as claim_warnings};
pub(crate) use persistent::spec as volume_spec;

use serde_json::json;

use crate::kind::Kind;

pub(crate) static CLAIM: Kind = Kind {
    prepare_create: |_, object| {
        object["status"] = json!({ "phase": "Pending" });
        claim::prepare(object, None);
    },
    prepare_update: |context, new, old| {
        if context.subresource.is_empty() {
            claim::prepare(new, Some(old));
        }
    },
    validate: claim::validate,
    changes: claim::changes,
    warn: claim::warn,
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
            let asked = &new["status"]["lastPhaseTransitionTime"];
            if asked.is_null() || *asked == old["status"]["lastPhaseTransitionTime"] {
                new["status"]["lastPhaseTransitionTime"] = oarlock_api::meta::print_time(context.now).into();
            }
        }
    },
    validate: persistent::validate,
    changes: persistent::changes,
    warn: persistent::warn,
    cells: Some(super::cells::volume),
    ..Kind::PLAIN
};
