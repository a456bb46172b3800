//! Custom resources, schemas that change, and several versions.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Bed;
use crate::Schema;
use crate::apply::{self, Request, VersionError, Versions, merge_unowned};
use crate::structural::{Additional, JsonType, Structural};
use crate::table::{ListType, MapType};

fn of(kind: JsonType) -> Structural {
    Structural { kind: Some(kind), ..Structural::default() }
}

fn object(properties: impl IntoIterator<Item = (&'static str, Structural)>) -> Structural {
    let properties = properties.into_iter().map(|(name, schema)| (name.to_string(), schema)).collect();
    Structural { properties, ..of(JsonType::Object) }
}

fn list(items: Structural, list_type: Option<ListType>, keys: &[&str]) -> Structural {
    Structural {
        items: Some(Box::new(items)),
        list_type,
        list_map_keys: keys.iter().map(ToString::to_string).collect(),
        ..of(JsonType::Array)
    }
}

fn map_of(value: Structural, map_type: Option<MapType>) -> Structural {
    Structural { additional: Additional::Schema(Box::new(value)), map_type, ..of(JsonType::Object) }
}

fn widget() -> Structural {
    let item = object([
        ("name", of(JsonType::String)),
        ("size", of(JsonType::Integer)),
        ("tag", of(JsonType::String)),
    ]);
    object([(
        "spec",
        object([
            ("size", of(JsonType::Integer)),
            ("set", list(of(JsonType::String), Some(ListType::Set), &[])),
            ("numbers", list(of(JsonType::Integer), Some(ListType::Set), &[])),
            ("items", list(item.clone(), Some(ListType::Map), &["name"])),
            ("plain", list(item, None, &[])),
            ("open", map_of(of(JsonType::String), None)),
            ("closed", map_of(of(JsonType::String), Some(MapType::Atomic))),
            ("any", Structural { preserve_unknown: true, ..of(JsonType::Object) }),
        ]),
    )])
}

fn bed(schema: Structural) -> Bed {
    Bed::with(Schema::Structural(Arc::new(schema)), "example.com/v1", "Widget")
}

fn spec(body: Value) -> Value {
    json!({"spec": body})
}

#[test]
fn schemas_say_how_things_merge() {
    let mut bed = bed(widget());
    bed.apply(
        "a",
        spec(json!({"set": ["a", "b"], "open": {"x": "1"}, "closed": {"x": "1"}, "plain": [{"name": "a"}]})),
    );
    bed.expect_owners(&[
        "a Apply 01 .spec.closed .spec.plain .spec.open.x .spec.set[=\"a\"] .spec.set[=\"b\"]",
    ]);
    bed.apply("b", spec(json!({"set": ["c", "a"], "open": {"y": "1"}, "any": {"deep": {"er": [1]}}})));
    bed.expect_body(spec(json!({"set": ["c", "a", "b"], "open": {"x": "1", "y": "1"}, "closed": {"x": "1"},
        "plain": [{"name": "a"}], "any": {"deep": {"er": [1]}}})));
    assert_eq!(
        bed.owners()[1],
        "b Apply 02 .spec.any.deep .spec.any.deep.er .spec.open.y .spec.set[=\"a\"] .spec.set[=\"c\"]"
    );
    assert_eq!(
        bed.refused("b", spec(json!({"closed": {"y": "1"}}))),
        "Apply failed with 1 conflict: conflict with \"a\": .spec.closed"
    );
    assert_eq!(
        bed.refused("b", spec(json!({"unknown": 1}))),
        "failed to create typed patch object (/x; example.com/v1, Kind=Widget): .spec.unknown: field not declared in schema"
    );
    assert_eq!(
        bed.refused("b", spec(json!({"set": ["a", "a"]}))),
        "failed to create typed patch object (/x; example.com/v1, Kind=Widget): .spec.set: duplicate entries for key [=\"a\"]"
    );
}

/// The cases of upstream's set_test and nested_test: what is applied no longer goes, with its order kept.
#[test]
fn sets_and_items_go_and_keep_their_order() {
    for (first, second, expected) in [
        (
            json!({"set": ["a", "c"]}),
            json!({"set": ["a", "aprime", "c", "cprime"]}),
            json!({"set": ["a", "aprime", "c", "cprime"]}),
        ),
        (json!({"set": ["a", "b", "c", "d"]}), json!({"set": ["a", "c"]}), json!({"set": ["a", "c"]})),
        (json!({"set": ["a", "b"]}), json!({"set": ["b", "a"]}), json!({"set": ["b", "a"]})),
        (json!({"numbers": [1, 2, 3]}), json!({"numbers": [3, 2]}), json!({"numbers": [3, 2]})),
        (
            json!({"items": [{"name": "a", "size": 1}, {"name": "b"}]}),
            json!({"items": [{"name": "a"}]}),
            json!({"items": [{"name": "a"}]}),
        ),
        (json!({"open": {"a": "1", "b": "2"}}), json!({"open": {"b": "2"}}), json!({"open": {"b": "2"}})),
        (
            json!({"any": {"a": {"b": 1, "c": 2}}}),
            json!({"any": {"a": {"c": 2}}}),
            json!({"any": {"a": {"c": 2}}}),
        ),
        (json!({"open": {"a": "1"}, "size": 1}), json!({"size": 1}), json!({"size": 1})),
    ] {
        let mut bed = bed(widget());
        bed.apply("m", spec(first.clone())).apply("m", spec(second.clone()));
        assert_eq!(bed.body(), spec(expected), "{first} then {second}");
    }
}

#[test]
fn both_appliers_keep_their_items() {
    let mut bed = bed(widget());
    bed.apply("one", spec(json!({"items": [{"name": "a", "size": 1}, {"name": "b", "size": 2}]})));
    bed.apply("two", spec(json!({"items": [{"name": "c", "size": 3}, {"name": "b", "tag": "t"}]})));
    bed.apply("one", spec(json!({"items": [{"name": "a", "size": 1}]})));
    bed.expect_body(spec(
        json!({"items": [{"name": "a", "size": 1}, {"name": "c", "size": 3}, {"name": "b", "tag": "t"}]}),
    ));
    bed.apply("two", spec(json!({"items": [{"name": "c", "size": 3}]})));
    bed.expect_body(spec(json!({"items": [{"name": "a", "size": 1}, {"name": "c", "size": 3}]})));
}

#[test]
fn duplicates_in_the_object_are_one_thing() {
    let mut bed = bed(widget());
    bed.put(
        "u",
        spec(json!({"set": ["a", "b", "a"], "items": [{"name": "x", "size": 1}, {"name": "x", "size": 2}]})),
    );
    bed.expect_owners(&[
        "u Update 01 .spec .spec.items .spec.set .spec.items[name=\"x\"] .spec.set[=\"a\"] .spec.set[=\"b\"]",
    ]);
    bed.apply("m", spec(json!({"set": ["c"]})));
    bed.expect_body(spec(
        json!({"set": ["a", "b", "a", "c"], "items": [{"name": "x", "size": 1}, {"name": "x", "size": 2}]}),
    ));
}

#[test]
fn what_became_atomic_is_owned_as_a_whole() {
    let mut bed = bed(widget());
    bed.apply("m", spec(json!({"open": {"x": "1"}, "items": [{"name": "a", "size": 1}]})));
    let mut schema = widget();
    let spec_schema = schema.properties.get_mut("spec").expect("it has one");
    spec_schema.properties.get_mut("open").expect("it has one").map_type = Some(MapType::Atomic);
    spec_schema.properties.get_mut("items").expect("it has one").list_type = None;
    bed.schema = Schema::Structural(Arc::new(schema));
    bed.apply("n", spec(json!({"size": 1})));
    bed.expect_owners(&["m Apply 01 .spec.items .spec.open", "n Apply 02 .spec.size"]);
}

#[test]
fn nothing_known_means_granular_maps_and_atomic_lists() {
    let mut bed = Bed::with(Schema::Deduced, "example.com/v1", "Thing");
    bed.apply("a", json!({"spec": {"a": {"b": 1}, "l": [1, 2]}}));
    bed.apply("b", json!({"spec": {"a": {"c": 1}}}));
    bed.expect_body(json!({"spec": {"a": {"b": 1, "c": 1}, "l": [1, 2]}}));
    assert_eq!(
        bed.refused("b", json!({"spec": {"l": [1]}})),
        "Apply failed with 1 conflict: conflict with \"a\": .spec.l"
    );
    bed.force("b", json!({"spec": {"a": 3}}));
    bed.expect_body(json!({"spec": {"a": 3, "l": [1, 2]}}));
}

/// `v2` calls `size` `width`; `v0` is gone.
struct Renamed;

impl Versions for Renamed {
    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, VersionError> {
        let (from, to) = match api_version {
            "example.com/v1" => ("width", "size"),
            "example.com/v2" => ("size", "width"),
            _ => return Err(VersionError::Missing),
        };
        let mut object = object.clone();
        object["apiVersion"] = api_version.into();
        if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
            && let Some(value) = spec.remove(from)
        {
            spec.insert(to.to_string(), value);
        }
        Ok(object)
    }

    fn schema(&self, api_version: &str) -> Option<Schema> {
        matches!(api_version, "example.com/v1" | "example.com/v2").then_some(Schema::Deduced)
    }
}

#[test]
fn managers_of_other_versions_are_seen_through_conversion() {
    let reset = apply::Reset::Nothing;
    let schema = Schema::Deduced;
    let request = |version: &'static str, manager: &'static str| Request {
        schema: &schema,
        api_version: version,
        kind: "Thing",
        manager,
        subresource: "",
        reset: &reset,
        versions: &Renamed,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let config = |version: &str, spec: Value| json!({"apiVersion": version, "kind": "Thing", "metadata": {"name": "x"}, "spec": spec});
    let v1 = apply::apply(
        &request("example.com/v1", "a"),
        None,
        &config("example.com/v1", json!({"size": 1})),
        false,
    )
    .expect("it is new")
    .object;
    let as_v2 = Renamed.convert(&v1, "example.com/v2").expect("it is served");
    let refused = apply::apply(
        &request("example.com/v2", "b"),
        Some(&as_v2),
        &config("example.com/v2", json!({"width": 2})),
        false,
    );
    assert_eq!(
        refused.expect_err("a has it").to_string(),
        "Apply failed with 1 conflict: conflict with \"a\": .spec.size"
    );
    // The same applier in another version stays one manager, and what it drops goes.
    let moved = apply::apply(
        &request("example.com/v2", "a"),
        Some(&as_v2),
        &config("example.com/v2", json!({"new": 1})),
        false,
    )
    .expect("it is its own")
    .object;
    assert_eq!(moved["spec"], json!({"new": 1}));
    assert_eq!(crate::meta::managed_fields(&moved).len(), 1);
    // A version that is not served any more is forgotten.
    let mut old = v1.clone();
    old["metadata"]["managedFields"][0]["apiVersion"] = "example.com/v0".into();
    let mut new = old.clone();
    new["spec"]["other"] = 1.into();
    apply::track(&request("example.com/v1", "u"), Some(&old), &mut new);
    let entries = crate::meta::managed_fields(&new);
    assert_eq!((entries.len(), &entries[0]["manager"]), (1, &json!("u")));
}

#[test]
fn policies_merge_without_owning() {
    let schema = Schema::Structural(Arc::new(widget()));
    let live = json!({"apiVersion": "example.com/v1", "kind": "Widget", "spec": {"items": [{"name": "a", "size": 1}]}});
    let merged = merge_unowned(&schema, &live, &spec(json!({"items": [{"name": "b"}], "size": 3})));
    assert_eq!(
        merged.expect("it fits")["spec"],
        json!({"items": [{"name": "a", "size": 1}, {"name": "b"}], "size": 3})
    );
    let atomic = merge_unowned(&schema, &live, &spec(json!({"plain": [{"name": "b"}]})));
    assert_eq!(
        atomic.expect_err("lists are atomic").to_string(),
        "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.plain"
    );
}

#[test]
fn atomic_things_of_policies_are_told_by_their_place() {
    let schema = Schema::Structural(Arc::new(widget()));
    let config = spec(json!({"closed": {"a": "b"}, "items": [{"name": "a"}], "plain": [{"name": "b"}]}));
    assert_eq!(
        merge_unowned(&schema, &json!({}), &config).expect_err("two are atomic").to_string(),
        "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.closed, .spec.plain"
    );
}
