//! APIServices.

use serde_json::json;

use crate::kind::Kind;

pub(super) static API_SERVICE: Kind = Kind {
    name: crate::names::anything,
    // One that this server answers itself is available from the start.
    prepare_create: |context, service| {
        if service["spec"]["service"].is_null() {
            service["status"] = json!({ "conditions": [{
                "type": "Available", "status": "True", "reason": "Local",
                "message": "Local APIServices are always available",
                "lastTransitionTime": oarlock_api::meta::print_time(context.now),
            }]});
        }
    },
    cells: Some(super::cells::api_service),
    ..Kind::CONDITIONAL
};
