//! Random objects of every kind survive every codec, and no bytes from strangers cause a panic.

mod generator;

use std::collections::BTreeMap;

use generator::{Choices, object};
use oarlock_api::codec::{self, json, protobuf, yaml};
use oarlock_api::{Table, TypeId};
use proptest::prelude::*;
use serde_json::Value;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the encoder prints UTF-8")
}

/// Shows where two texts part.
#[track_caller]
fn same(left: &[u8], right: &[u8], what: &str) {
    if left != right {
        let at = left.iter().zip(right).take_while(|(l, r)| l == r).count();
        let near = |text: &[u8]| {
            String::from_utf8_lossy(&text[at.saturating_sub(80)..text.len().min(at + 40)]).into_owned()
        };
        panic!("{what} differs at {at}:\n  {}\n  {}", near(left), near(right));
    }
}

/// JSON → tree → JSON and JSON → protobuf → JSON, for one object.
fn survives(table: &Table, ty: TypeId, value: &Value) {
    let name = table.ty(ty).name;
    let printed = json::encode(table, ty, value);
    let decoded =
        json::decode(table, ty, &printed).unwrap_or_else(|e| panic!("{name}: {e}: {}", text(&printed)));
    assert_eq!(decoded.strict, Vec::<String>::new(), "{name}");
    same(&json::encode(table, ty, &decoded.value), &printed, &format!("{name}: JSON"));

    let message = protobuf::encode(table, ty, &decoded.value);
    let back =
        protobuf::decode(table, ty, &message).unwrap_or_else(|e| panic!("{name}: {e}: {}", text(&printed)));
    same(&json::encode(table, ty, &back), &printed, &format!("{name}: protobuf"));
    assert_eq!(back, decoded.value, "{name}: the tree of protobuf and of JSON");
    assert_eq!(protobuf::encode(table, ty, &back), message, "{name}: protobuf again");

    let kept = json::decode_tree(table, ty, decoded.value.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(kept, codec::Decoded { value: decoded.value.clone(), strict: Vec::new() }, "{name}: kept");

    let mut pruned = decoded.value.clone();
    codec::prune(table, ty, &mut pruned);
    same(&json::encode(table, ty, &pruned), &printed, &format!("{name}: prune"));
    let checked = codec::check(table, ty, &decoded.value).unwrap_or_else(|e| panic!("{name}: {e}"));
    assert_eq!(checked.value, decoded.value, "{name}: check");
}

/// Types that exist on the wire.
fn wire_types(table: &Table) -> Vec<TypeId> {
    let kinds = table.kinds().filter(|(gvk, _)| &*gvk.kind != "Table").map(|(_, id)| id);
    let mut all: Vec<TypeId> = kinds.collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The strategy: which choices an object is made of.
fn choices() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), 0..3000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_kind_survives_json_and_protobuf(bytes in choices(), density in 20_u8..200) {
        let table = Table::builtin();
        for ty in wire_types(table) {
            let value = object(table, ty, &mut Choices::new(&bytes), density, 8);
            survives(table, ty, &value);
        }
    }

    #[test]
    fn bent_messages_do_no_harm(bytes in choices(), at in any::<usize>(), with in any::<u8>(), cut in any::<usize>()) {
        let table = Table::builtin();
        for ty in wire_types(table) {
            let value = object(table, ty, &mut Choices::new(&bytes), 60, 5);
            let mut message = protobuf::encode(table, ty, &value);
            if message.is_empty() {
                continue;
            }
            let len = message.len();
            message[at % len] = with;
            message.truncate(cut % (len + 1));
            if let Ok(value) = protobuf::decode(table, ty, &message) {
                json::encode(table, ty, &value);
            }
        }
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let table = Table::builtin();
        let pod = table.type_of("", "v1", "Pod").expect("pods exist");
        let _unchecked = (protobuf::decode(table, pod, &bytes), json::decode(table, pod, &bytes));
        let _unchecked = (protobuf::unwrap(&bytes), yaml::parse(&bytes), json::type_meta(&bytes));
    }

    #[test]
    fn pods_and_deployments_are_what_k8s_openapi_reads(bytes in choices(), density in 20_u8..200) {
        use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job, core::v1::{ConfigMap, Node, Pod, Secret, Service}};
        typed::<Pod>("", "Pod", &bytes, density);
        typed::<Node>("", "Node", &bytes, density);
        typed::<Service>("", "Service", &bytes, density);
        typed::<ConfigMap>("", "ConfigMap", &bytes, density);
        typed::<Secret>("", "Secret", &bytes, density);
        typed::<Deployment>("apps", "Deployment", &bytes, density);
        typed::<Job>("batch", "Job", &bytes, density);
    }
}

fn decoded_tree(printed: &[u8]) -> Value {
    serde_json::from_slice(printed).expect("the encoder prints JSON")
}

/// Drops what is empty: the typed structs print absent required fields in ways of their own.
fn bare(value: &mut Value) {
    let empty = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || text == "0",
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    };
    match value {
        Value::Array(list) => list.iter_mut().for_each(bare),
        Value::Object(map) => {
            map.values_mut().for_each(bare);
            map.retain(|_, value| !empty(value));
        }
        _ => {}
    }
}

/// Our JSON is read by the typed struct, and what that prints is the same object to us.
fn typed<T: serde::de::DeserializeOwned + serde::Serialize>(
    group: &str,
    kind: &str,
    bytes: &[u8],
    density: u8,
) {
    let table = Table::builtin();
    let ty = table.type_of(group, "v1", kind).expect("the kind exists");
    let mut value = object(table, ty, &mut Choices::new(bytes), density, 8);
    value["apiVersion"] = if group.is_empty() { "v1".into() } else { format!("{group}/v1").into() };
    value["kind"] = kind.into();
    let printed = json::encode(table, ty, &value);
    let read: T =
        serde_json::from_slice(&printed).unwrap_or_else(|e| panic!("{kind}: {e}: {}", text(&printed)));
    let again = serde_json::to_vec(&read).expect("a struct prints");
    let back = json::decode(table, ty, &again).unwrap_or_else(|e| panic!("{kind}: {e}: {}", text(&again)));
    let (mut ours, mut theirs) = (decoded_tree(&printed), back.value);
    bare(&mut ours);
    bare(&mut theirs);
    same(ours.to_string().as_bytes(), theirs.to_string().as_bytes(), kind);
}

#[test]
fn the_generator_reaches_every_field() {
    let table = Table::builtin();
    let mut set = BTreeMap::<&str, usize>::new();
    // Not random: a fixed mix that sets nearly everything.
    let bytes: Vec<u8> = (0..60_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for ty in wire_types(table) {
        let value = object(table, ty, &mut Choices::new(&bytes), 140, 4);
        survives(table, ty, &value);
        *set.entry(table.ty(ty).name).or_default() += value.as_object().map_or(0, |o| o.len());
    }
    assert!(
        set.len() > 150 && set.values().sum::<usize>() > 250,
        "{} {}",
        set.len(),
        set.values().sum::<usize>()
    );
}

#[test]
fn an_object_keeps_its_envelope() {
    let table = Table::builtin();
    let pod = serde_json::json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}});
    let bytes = protobuf::encode_object(table, &pod).expect("pods exist");
    assert!(bytes.starts_with(b"k8s\0\x0a\x09\x0a\x02v1\x12\x03Pod\x12"), "{bytes:?}");
    let (ty, back) = protobuf::decode_object(table, &bytes).expect("it was just written");
    assert_eq!(table.ty(ty).short_name(), "Pod");
    assert_eq!(json::encode(table, ty, &back), json::encode(table, ty, &pod));
    let frame = protobuf::watch_frame("ADDED", &bytes);
    assert_eq!(frame[..4], u32::try_from(frame.len() - 4).expect("small").to_be_bytes());
    assert!(frame[4..].starts_with(b"\x0a\x05ADDED\x12"));
}

#[test]
fn what_is_unset_is_written_as_upstream_writes_it() {
    let table = Table::builtin();
    for (group, kind, text, expect) in [
        // metadata {name 1, generateName 2, namespace 3, selfLink 4, uid 5, resourceVersion 6, generation 7,
        // creationTimestamp 8}: all but pointers, set or not; then an unset pointer left out.
        (
            "coordination.k8s.io",
            "Lease",
            r#"{"spec":{"renewTime":"1970-01-01T00:00:01.000002Z"}}"#,
            "0a100a0012001a0022002a00320038004200 1207 2205080110d00f",
        ),
        (
            "policy",
            "PodDisruptionBudget",
            r#"{"status":{"disruptedPods":{"a":null}}}"#,
            "0a100a0012001a0022002a00320038004200 1200 1a110800 12050a01611200 1800200028003000",
        ),
    ] {
        let ty = table.type_of(group, "v1", kind).expect("the kind exists");
        let value = json::decode(table, ty, text.as_bytes()).expect("it is valid").value;
        let hex: String =
            protobuf::encode(table, ty, &value).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expect.replace(' ', ""), "{kind}");
    }
}

#[test]
fn deep_messages_are_refused() {
    let table = Table::builtin();
    let ty = table
        .type_named("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
        .expect("schemas exist");
    let tag = u64::from(table.ty(ty).field("not").expect("schemas may be negated").tag) << 3 | 2;
    assert!((0x80..0x4000).contains(&tag), "the tag takes two bytes");
    // `not` in `not`, many times.
    let mut message: Vec<u8> = Vec::new();
    for _ in 0..1_000 {
        let mut outer = vec![tag as u8 | 0x80, (tag >> 7) as u8];
        let mut len = message.len();
        while len >= 0x80 {
            outer.push(len as u8 | 0x80);
            len >>= 7;
        }
        outer.push(len as u8);
        outer.extend_from_slice(&message);
        message = outer;
    }
    assert!(protobuf::decode(table, ty, &message).is_err());
}

#[test]
fn yaml_reads_as_the_same_object() {
    let table = Table::builtin();
    let ty = table.type_of("", "v1", "ConfigMap").expect("config maps exist");
    let doc = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  labels: {}\ndata:\n  a: \"1\"\n  b: |\n    two\n    lines\n";
    let decoded = yaml::decode(table, ty, doc.as_bytes()).expect("it is valid");
    let expect = r#"{"kind":"ConfigMap","apiVersion":"v1","data":{"a":"1","b":"two\nlines\n"},"metadata":{"name":"a"}}"#;
    assert_eq!(text(&json::encode(table, ty, &decoded.value)), expect);
    let again = yaml::decode(table, ty, &yaml::encode(table, ty, &decoded.value)).expect("we printed it");
    assert_eq!(again.value, decoded.value);
    for (yes, expect) in [("yes", true), ("on", true), ("no", false), ("true", true)] {
        assert_eq!(yaml::parse(format!("a: {yes}").as_bytes()).expect("valid")["a"], expect, "{yes}");
    }
    assert_eq!(yaml::parse(b"a: \"yes\"").expect("valid")["a"], "yes");
}
