//! What a mutation may not break: the record of who owns which field.

use oarlock_api::{apply, meta};
use serde_json::Value;

fn entries(object: &Value) -> &[Value] {
    object["metadata"]["managedFields"].as_array().map_or(&[], Vec::as_slice)
}

/// Puts the owners from before back where those after cannot be read, and says so to the client.
/// (`managedFieldsValidatingAdmissionController`)
pub(crate) fn keep_readable(before: &Value, after: &mut Value) -> Option<String> {
    if entries(before) == entries(after) {
        return None;
    }
    let fault = apply::decode(entries(after)).err()?.to_string();
    let owners = meta::metadata_mut(after);
    match before["metadata"].get("managedFields") {
        Some(known) => owners.insert("managedFields".into(), known.clone()),
        None => owners.remove("managedFields"),
    };
    Some(format!(
        ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating \
         admission controller; please fix your requests: {fault}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn owners_that_cannot_be_read_come_back() {
        let entry = |manager: &str, version: &str| json!([{ "manager": manager, "operation": "Update", "apiVersion": version, "fieldsType": "FieldsV1", "fieldsV1": {} }]);
        let before = json!({ "metadata": { "managedFields": entry("a", "v1") } });
        let mut good = json!({ "metadata": { "managedFields": entry("b", "v1") } });
        assert_eq!(keep_readable(&before, &mut good), None);
        assert_eq!(good["metadata"]["managedFields"][0]["manager"], "b");
        let mut bad = json!({ "metadata": { "managedFields": [{ "operation": "What" }] } });
        assert!(
            keep_readable(&before, &mut bad)
                .is_some_and(|text| text.contains("invalid state after admission"))
        );
        assert_eq!(bad, before);
    }
}
