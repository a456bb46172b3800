//! CustomResourceDefinitions.

use serde_json::Value;

use crate::kind::Kind;
use crate::value::{is_true, items, object_mut, text};

pub(super) static DEFINITION: Kind = Kind {
    prepare_create: |_, definition| remember_storage_version(definition),
    prepare_update: |context, new, _| {
        if context.subresource.is_empty() {
            remember_storage_version(new);
        }
    },
    cells: Some(crate::print::name_and_creation),
    ..Kind::COUNTED_CONDITIONAL
};

/// Every version that objects may have been stored in.
fn remember_storage_version(definition: &mut Value) {
    let versions = items(&definition["spec"]["versions"]);
    let Some(current) =
        versions.iter().find(|v| is_true(&v["storage"])).map(|v| text(&v["name"]).to_string())
    else {
        return;
    };
    let status = object_mut(definition, "status");
    let stored = status.entry("storedVersions").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(list) = stored
        && !list.iter().any(|v| *v == current.as_str())
    {
        list.push(current.into());
    }
}
