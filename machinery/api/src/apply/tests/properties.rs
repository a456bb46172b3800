//! What holds for every object, schema and configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::Bed;
use crate::Schema;
use crate::apply::{self, Element, FieldSet};
use crate::structural::{Additional, JsonType, Structural};
use crate::table::ListType;

fn of(kind: JsonType) -> Structural {
    Structural { kind: Some(kind), ..Structural::default() }
}

/// Numbers, a map, a set, a list of items by name with a map in each, an atomic list.
fn schema() -> Schema {
    let map = Structural {
        additional: Additional::Schema(Box::new(of(JsonType::Integer))),
        ..of(JsonType::Object)
    };
    let object = |fields: &[(&str, Structural)]| Structural {
        properties: fields.iter().map(|(n, s)| (n.to_string(), s.clone())).collect(),
        ..of(JsonType::Object)
    };
    let list = |item: Structural, kind, keys: &[&str]| Structural {
        items: Some(Box::new(item)),
        list_type: Some(kind),
        list_map_keys: keys.iter().map(ToString::to_string).collect(),
        ..of(JsonType::Array)
    };
    let item = object(&[("name", of(JsonType::String)), ("n", of(JsonType::Integer)), ("map", map.clone())]);
    let spec = object(&[
        ("n", of(JsonType::Integer)),
        ("map", map),
        ("set", list(of(JsonType::String), ListType::Set, &[])),
        ("items", list(item, ListType::Map, &["name"])),
        ("atomic", list(of(JsonType::Integer), ListType::Atomic, &[])),
    ]);
    Schema::Structural(Arc::new(object(&[("spec", spec)])))
}

fn bed() -> Bed {
    Bed::with(schema(), "example.com/v1", "Thing")
}

fn any_map() -> impl Strategy<Value = Value> {
    prop::collection::btree_map("[a-c]", 0..3i64, 1..3)
        .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k, v.into())).collect()))
}

fn any_spec() -> impl Strategy<Value = Value> {
    let item = (prop::option::of(0..3i64), prop::option::of(any_map())).prop_map(|(n, map)| {
        let mut item = json!({});
        n.into_iter().for_each(|n| item["n"] = n.into());
        map.into_iter().for_each(|map| item["map"] = map);
        item
    });
    let items = prop::collection::btree_map("[a-d]", item, 1..4).prop_map(|items| {
        let named = items.into_iter().map(|(name, mut item)| {
            item["name"] = name.into();
            item
        });
        named.collect::<Vec<Value>>()
    });
    let items = items.prop_flat_map(|items| Just(items).prop_shuffle());
    let set = prop::collection::btree_set("[a-d]", 1..4)
        .prop_map(|s| s.into_iter().collect::<Vec<_>>())
        .prop_shuffle();
    (
        prop::option::of(0..3i64),
        prop::option::of(any_map()),
        prop::option::of(set),
        prop::option::of(items),
        prop::option::of(prop::collection::vec(0..3i64, 1..3)),
    )
        .prop_map(|(n, map, set, items, atomic)| {
            let mut spec = Map::new();
            let mut put = |name: &str, value: Option<Value>| {
                value.into_iter().for_each(|value| {
                    spec.insert(name.to_string(), value);
                });
            };
            put("n", n.map(Value::from));
            put("map", map);
            put("set", set.map(Value::from));
            put("items", items.map(Value::from));
            put("atomic", atomic.map(Value::from));
            json!({"spec": spec})
        })
}

fn any_deployment() -> impl Strategy<Value = Value> {
    let port = (80..83i64, prop::option::of("[a-c]")).prop_map(|(port, name)| {
        let mut port = json!({"containerPort": port});
        name.into_iter().for_each(|name| port["name"] = name.into());
        port
    });
    let container = ("[a-c]", prop::option::of("[x-z]"), prop::collection::vec(port, 0..3));
    let labels = prop::collection::btree_map("[a-c]", "[x-z]", 0..3);
    (0..3i64, labels.clone(), labels, prop::collection::vec(container, 0..3)).prop_map(|(replicas, own, inner, list)| {
        let mut containers: BTreeMap<String, Value> = BTreeMap::new();
        for (name, image, ports) in list {
            let mut container = json!({"name": name});
            image.into_iter().for_each(|image| container["image"] = image.into());
            let mut seen = std::collections::BTreeSet::new();
            let ports: Vec<Value> = ports.into_iter().filter(|p| seen.insert(p["containerPort"].to_string())).collect();
            if !ports.is_empty() {
                container["ports"] = ports.into();
            }
            containers.insert(name, container);
        }
        let containers: Vec<Value> = containers.into_values().collect();
        json!({"metadata": {"labels": own},
            "spec": {"replicas": replicas, "template": {"metadata": {"labels": inner}, "spec": {"containers": containers}}}})
    })
}

/// An object as a table of paths and values, lists by key: where an order does not matter.
fn flat(value: &Value) -> BTreeMap<String, Value> {
    fn walk(path: String, value: &Value, out: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(k, v)| walk(format!("{path}.{k}"), v, out)),
            Value::Array(items) if !path.ends_with("atomic") => {
                items.iter().for_each(|item| match item.get("name") {
                    Some(name) => walk(format!("{path}[{name}]"), item, out),
                    None => drop(out.insert(format!("{path}[={item}]"), Value::Null)),
                })
            }
            value => drop(out.insert(path, value.clone())),
        }
    }
    let mut out = BTreeMap::new();
    walk(String::new(), value, &mut out);
    out
}

fn any_element() -> impl Strategy<Value = Element<'static>> {
    let value = prop_oneof![
        "[a-z<>&\"\\\\\\n]{0,3}".prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        (0..4i64).prop_map(|n| json!(n as f64 + 0.5)),
    ];
    prop_oneof![
        4 => "\\PC{0,4}".prop_map(|name| Element::Field(name.into())),
        2 => prop::collection::btree_map("[a-z]{1,2}", value.clone(), 1..3).prop_map(|keys| Element::Key(
            keys.into_iter().map(|(k, v)| (k.into(), std::borrow::Cow::Owned(v))).collect()
        )),
        2 => value.prop_map(|v| Element::Value(std::borrow::Cow::Owned(v))),
        1 => (0..9i64).prop_map(Element::Index),
    ]
}

fn any_set() -> impl Strategy<Value = FieldSet<'static>> {
    prop::collection::vec(prop::collection::vec(any_element(), 1..4), 0..8).prop_map(|paths| {
        let mut set = FieldSet::new();
        paths.into_iter().for_each(|path| set.insert(path));
        set
    })
}

fn small_set() -> impl Strategy<Value = FieldSet<'static>> {
    let element = "[a-c]".prop_map(|name| Element::Field(name.into()));
    prop::collection::vec(prop::collection::vec(element, 1..4), 0..8).prop_map(|paths| {
        let mut set = FieldSet::new();
        paths.into_iter().for_each(|path| set.insert(path));
        set
    })
}

fn paths(set: &FieldSet<'_>) -> std::collections::BTreeSet<String> {
    set.paths().into_iter().collect()
}

proptest! {
    #[test]
    fn a_set_survives_its_text_and_its_tree(set in any_set()) {
        let text = set.to_json();
        let read = FieldSet::from_json(text.as_bytes()).expect("what is written can be read");
        prop_assert_eq!(&read, &set, "{}", text);
        prop_assert_eq!(read.to_json(), text);
        let tree = set.to_value();
        prop_assert_eq!(FieldSet::from_value(&tree).expect("what is written can be read"), set);
    }

    #[test]
    fn sets_are_sets(a in small_set(), b in small_set()) {
        let (pa, pb) = (paths(&a), paths(&b));
        prop_assert_eq!(paths(&a.clone().union(b.clone())), pa.union(&pb).cloned().collect());
        prop_assert_eq!(paths(&a.intersection(&b)), pa.intersection(&pb).cloned().collect());
        prop_assert_eq!(a.intersects(&b), !pa.is_disjoint(&pb));
        let mut less = a.clone();
        less.subtract(&b);
        prop_assert_eq!(paths(&less), pa.difference(&pb).cloned().collect());
        let mut none = a.clone();
        none.subtract_below(&b);
        let below = |path: &String| pb.iter().any(|gone| path == gone || path.starts_with(&format!("{gone}.")));
        prop_assert_eq!(paths(&none), pa.iter().filter(|path| !below(path)).cloned().collect());
        prop_assert_eq!(a.len(), pa.len());
    }

    #[test]
    fn applying_is_idempotent(start in any_spec(), config in any_spec()) {
        let mut bed = bed();
        bed.put("u", start);
        bed.force("m", config.clone());
        let once = bed.live.clone();
        let again = bed.try_apply("m", config, false).expect("it owns what it says");
        prop_assert!(!again.changed);
        prop_assert_eq!(&bed.live, &once);
    }

    #[test]
    fn what_is_applied_is_there(start in any_spec(), config in any_spec()) {
        let mut bed = bed();
        bed.put("u", start.clone());
        bed.force("m", config.clone());
        let (live, before, said) = (flat(&bed.body()), flat(&start), flat(&config));
        for (path, value) in &said {
            prop_assert_eq!(live.get(path), Some(value), "{}", path);
        }
        for (path, value) in before.iter().filter(|(path, _)| !said.contains_key(*path)) {
            prop_assert_eq!(live.get(path), Some(value), "{}", path);
        }
        for path in live.keys() {
            prop_assert!(said.contains_key(path) || before.contains_key(path), "{}", path);
        }
    }

    #[test]
    fn what_one_manager_applies_last_is_all_there_is(first in any_spec(), second in any_spec()) {
        let mut bed = bed();
        bed.apply("m", first).apply("m", second.clone());
        prop_assert_eq!(flat(&bed.body()), flat(&second));
    }

    #[test]
    fn applying_and_extracting_gives_the_configuration(start in any_spec(), config in any_spec()) {
        let mut bed = bed();
        bed.put("u", start);
        bed.force("m", config.clone());
        let live = bed.live.as_ref().expect("it was written");
        let extracted = apply::extract(&bed.schema, live, "m", "").expect("entries are sound");
        if let Some(extracted) = extracted {
            prop_assert_eq!(flat(&json!({"spec": extracted["spec"]})), flat(&json!({"spec": config["spec"]})));
        } else {
            prop_assert_eq!(&config["spec"], &json!({}));
        }
    }

    #[test]
    fn two_managers_apart_may_come_in_any_order(a in any_spec(), b in any_spec()) {
        let (fa, fb) = (flat(&a), flat(&b));
        let at_odds = fa.iter().any(|(path, value)| fb.get(path).is_some_and(|other| other != value));
        let mut one = bed();
        one.apply("a", a.clone());
        let refused = one.try_apply("b", b.clone(), false).is_err();
        prop_assert_eq!(refused, at_odds);
        if !refused {
            let mut other = bed();
            other.apply("b", b).apply("a", a);
            prop_assert_eq!(flat(&one.body()), flat(&other.body()));
            let owners = |bed: &Bed| {
                let mut owners: Vec<String> = bed.owners().iter().map(|o| o.replace("--", "").replace("01", "").replace("02", "")).collect();
                owners.sort();
                owners
            };
            prop_assert_eq!(owners(&one), owners(&other));
        }
    }

    #[test]
    fn giving_up_leaves_what_others_have(a in any_spec(), b in any_spec()) {
        let mut bed = bed();
        bed.apply("a", a);
        bed.force("b", b.clone());
        bed.apply("a", json!({}));
        // What b has stays, and all that a alone had is gone.
        prop_assert_eq!(flat(&bed.body()), flat(&b));
        prop_assert!(bed.owners().iter().all(|owner| owner.starts_with("b ")));
    }

    #[test]
    fn every_change_has_one_owner(steps in prop::collection::vec((0..3usize, any_spec()), 1..6)) {
        let mut bed = bed();
        for (who, body) in steps {
            bed.put(["x", "y", "z"][who], body.clone());
            let live = bed.live.clone().expect("it was written");
            let owners = apply::decode(crate::meta::managed_fields(&live)).expect("entries are sound");
            let mut all = FieldSet::new();
            for owner in &owners {
                prop_assert!(!owner.fields.is_empty());
                prop_assert!(!all.intersects(&owner.fields), "{:?}", bed.owners());
                all = all.union(owner.fields.clone());
            }
            // Whatever is in the object was written by somebody.
            let owned = paths(&all);
            for path in flat(&body).keys() {
                prop_assert!(owned.contains(&path.replace("[\"", "[name=\"")), "{} not in {:?}", path, owned);
            }
        }
    }

    /// Containers, their ports and labels: sets in sets, with and without members between.
    #[test]
    fn the_short_way_gives_what_the_long_way_gives(steps in prop::collection::vec((0..3usize, any_deployment()), 2..6)) {
        let mut bed = Bed::deployment();
        for (at, (who, body)) in steps.into_iter().enumerate() {
            let who = ["x", "y", "z"][who];
            if at == 2 {
                bed.force("applier", body.clone());
                continue;
            }
            let before = bed.live.clone();
            bed.put(who, body);
            if let Some(before) = before {
                let after = bed.live.clone().expect("it was written");
                let mut plain = after.clone();
                crate::meta::remove(&mut plain, "managedFields");
                let mut old = before.clone();
                crate::meta::remove(&mut old, "managedFields");
                if plain != old {
                    let long = crate::apply::track::the_long_way(&bed.request(who, ""), &before, &plain);
                    prop_assert_eq!(Some(crate::meta::managed_fields(&after).to_vec()), long);
                }
            }
        }
    }

    #[test]
    fn strange_entries_never_panic(text in "[{}\\[\\]\":,.fkvi0-9a-z]{0,40}", mut entries in prop::collection::vec(any::<u8>(), 0..4)) {
        let _read = FieldSet::from_json(text.as_bytes()).is_ok();
        let _element = Element::parse(&text).is_ok();
        entries.retain(|b| *b < 128);
        let mut object = bed().object(json!({"metadata": {"managedFields": [{"manager": text, "operation": "Update",
            "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {text.clone(): {}}}]}}));
        let reset = apply::Reset::Nothing;
        let schema = schema();
        let mut request = bed();
        request.schema = schema;
        request.reset = reset;
        apply::track(&request.request("m", ""), None, &mut object);
    }
}
