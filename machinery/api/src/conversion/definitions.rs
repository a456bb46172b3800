//! CustomResourceDefinitions: upstream serves v1 and keeps v1beta1, in which what all versions share stands once, above
//! them. Read and written by the layer that stores, for v1beta1 is served by nobody.

use serde_json::{Map, Value, json};

use super::{object_at, rename};

const V1: &str = "apiextensions.k8s.io/v1";
const V1BETA1: &str = "apiextensions.k8s.io/v1beta1";

/// Name above the versions, name in each of them.
const SHARED: [(&str, &str); 4] = [
    ("subresources", "subresources"),
    ("validation", "schema"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// Whether this is a definition as upstream keeps it.
pub fn is_kept_definition(object: &Value) -> bool {
    object["apiVersion"] == V1BETA1 && object["kind"] == "CustomResourceDefinition"
}

/// A definition of v1beta1 as one of v1.
pub fn definition_from_kept(object: &mut Value) {
    object["apiVersion"] = V1.into();
    let Some(spec) = object.as_object_mut().and_then(|fields| object_at(fields, "spec")) else { return };
    let first = spec.remove("version");
    let versions = spec.entry("versions").or_insert_with(|| json!([]));
    if let (Some(versions), Some(first)) = (versions.as_array_mut(), first)
        && versions.is_empty()
    {
        versions.push(json!({"name": first, "served": true, "storage": true}));
    }
    for (above, within) in SHARED {
        let Some(shared) = spec.remove(above) else { continue };
        versions_of(spec).for_each(|version| drop(version.insert(within.into(), shared.clone())));
    }
    versions_of(spec).for_each(|version| rename_paths(version, "JSONPath", "jsonPath"));
    conversion_from_kept(spec);
    // A pointer in v1beta1, where it is true unless it is said.
    spec.entry("preserveUnknownFields").or_insert_with(|| true.into());
    if spec["preserveUnknownFields"] == false {
        spec.remove("preserveUnknownFields");
    }
}

/// A definition of v1 as one of v1beta1.
pub fn definition_to_kept(object: &mut Value) {
    object["apiVersion"] = V1BETA1.into();
    let Some(spec) = object.as_object_mut().and_then(|fields| object_at(fields, "spec")) else { return };
    versions_of(spec).for_each(|version| rename_paths(version, "jsonPath", "JSONPath"));
    for (above, within) in SHARED {
        let told = versions_of(spec).map(|version| version.get(within).cloned()).collect::<Vec<_>>();
        let Some(Some(first)) = told.first() else { continue };
        if told.iter().all(|other| other.as_ref() == Some(first)) {
            versions_of(spec).for_each(|version| drop(version.remove(within)));
            spec.insert(above.into(), first.clone());
        }
    }
    let first = versions_of(spec).next().and_then(|version| version.get("name").cloned());
    if let Some(first) = first {
        spec.insert("version".into(), first);
    }
    conversion_to_kept(spec);
    spec.entry("preserveUnknownFields").or_insert_with(|| false.into());
}

fn versions_of(spec: &mut Map<String, Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    let versions = spec.get_mut("versions").and_then(Value::as_array_mut);
    versions.map(Vec::as_mut_slice).unwrap_or_default().iter_mut().filter_map(Value::as_object_mut)
}

fn rename_paths(version: &mut Map<String, Value>, from: &str, to: &str) {
    let columns = version.get_mut("additionalPrinterColumns").and_then(Value::as_array_mut);
    for column in columns.into_iter().flatten().filter_map(Value::as_object_mut) {
        rename(column, from, to);
    }
}

fn conversion_from_kept(spec: &mut Map<String, Value>) {
    let Some(conversion) = object_at(spec, "conversion") else { return };
    let mut webhook = Map::new();
    for (above, within) in CONVERSION {
        if let Some(value) = conversion.remove(above) {
            webhook.insert(within.into(), value);
        }
    }
    if !webhook.is_empty() {
        conversion.insert("webhook".into(), webhook.into());
    }
}

fn conversion_to_kept(spec: &mut Map<String, Value>) {
    let Some(conversion) = object_at(spec, "conversion") else { return };
    let Some(Value::Object(mut webhook)) = conversion.remove("webhook") else { return };
    for (above, within) in CONVERSION {
        if let Some(value) = webhook.remove(within) {
            conversion.insert(above.into(), value);
        }
    }
}

/// Name beside the strategy, name in `webhook`.
const CONVERSION: [(&str, &str); 2] =
    [("webhookClientConfig", "clientConfig"), ("conversionReviewVersions", "conversionReviewVersions")];

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(api_version: &str, spec: Value) -> Value {
        json!({"apiVersion": api_version, "kind": "CustomResourceDefinition", "metadata": {"name": "a.b"}, "spec": spec})
    }

    fn check(kept: Value, served: Value) {
        let (kept, served) = (definition(V1BETA1, kept), definition(V1, served));
        let mut object = kept.clone();
        assert!(is_kept_definition(&object));
        definition_from_kept(&mut object);
        assert_eq!(object, served);
        definition_to_kept(&mut object);
        assert_eq!(object, kept);
    }

    #[test]
    fn what_all_versions_share_stands_above_them() {
        let (schema, status) = (json!({"openAPIV3Schema": {"type": "object"}}), json!({"status": {}}));
        let old = json!([{"name": "A", "type": "string", "JSONPath": ".a"}]);
        let new = json!([{"name": "A", "type": "string", "jsonPath": ".a"}]);
        check(
            json!({
                "group": "b", "version": "v2", "preserveUnknownFields": false, "validation": schema,
                "subresources": status, "conversion": {"strategy": "None"}, "versions": [
                    {"name": "v2", "served": true, "storage": true, "additionalPrinterColumns": old},
                    {"name": "v1", "served": true, "storage": false},
                ],
            }),
            json!({
                "group": "b", "conversion": {"strategy": "None"}, "versions": [
                    {"name": "v2", "served": true, "storage": true, "schema": schema, "subresources": status,
                        "additionalPrinterColumns": new},
                    {"name": "v1", "served": true, "storage": false, "schema": schema, "subresources": status},
                ],
            }),
        );
    }

    #[test]
    fn a_webhook_and_kept_fields_go_both_ways() {
        let (client, reviews) = (json!({"url": "https://h"}), json!(["v1"]));
        check(
            json!({
                "version": "v1", "preserveUnknownFields": true, "versions": [{"name": "v1"}],
                "conversion": {
                    "strategy": "Webhook", "webhookClientConfig": client, "conversionReviewVersions": reviews,
                },
            }),
            json!({
                "versions": [{"name": "v1"}], "preserveUnknownFields": true,
                "conversion": {
                    "strategy": "Webhook",
                    "webhook": {"clientConfig": client, "conversionReviewVersions": reviews},
                },
            }),
        );
    }

    #[test]
    fn a_definition_of_old_has_one_version_and_no_list() {
        let mut object = definition(V1BETA1, json!({"version": "v1", "validation": {"a": 1}}));
        definition_from_kept(&mut object);
        let versions = json!([{"name": "v1", "served": true, "storage": true, "schema": {"a": 1}}]);
        assert_eq!(object, definition(V1, json!({"versions": versions, "preserveUnknownFields": true})));
        for odd in
            [json!(null), json!({"spec": 1}), json!({"spec": {"versions": {"a": 1}, "conversion": []}})]
        {
            let mut object = odd.clone();
            if object.is_object() {
                definition_from_kept(&mut object);
                definition_to_kept(&mut object);
            }
        }
    }
}
