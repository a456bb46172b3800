//! Whole objects through validation: what upstream accepts, and what it says of the rest.

mod cluster;
mod devices;
mod every;
mod jobs;
mod networking;
mod pods;
mod podspecs;
mod rest;
mod rows;
mod services;
mod spoilt;
mod statuses;
mod storage;
mod subresources;
mod warnings;

use std::sync::OnceLock;

use jiff::Timestamp;
use oarlock_api::{GroupVersionKind, Table, User};
use serde_json::{Value, json};

use crate::{Context, strategy_for};

fn alice() -> &'static User {
    static ALICE: OnceLock<User> = OnceLock::new();
    ALICE.get_or_init(|| User { name: "alice".into(), ..User::default() })
}

fn context(subresource: &'static str) -> Context<'static> {
    Context {
        now: Timestamp::UNIX_EPOCH,
        user: alice(),
        namespace: "default",
        subresource,
        api_version: "v1",
    }
}

/// The object as the registry hands it to validation.
fn defaulted(mut object: Value) -> Value {
    let gvk = oarlock_api::meta::gvk(&object);
    oarlock_api::defaults::apply_defaults(&gvk, &mut object);
    object
}

fn resource_of(object: &Value) -> oarlock_api::GroupResource {
    let gvk: GroupVersionKind = oarlock_api::meta::gvk(object);
    Table::builtin().resource_of_kind(&gvk).expect("a resource").group_resource()
}

fn created(object: Value) -> (Value, Vec<String>) {
    let mut object = defaulted(object);
    let strategy = strategy_for(&resource_of(&object));
    strategy.prepare_for_create(&context(""), &mut object);
    let errors = strategy.validate_create(&context(""), &object);
    (object, crate::check::told(&errors))
}

fn check(name: &str, object: Value, want: &[&str]) {
    let (_, got) = created(object);
    assert_eq!(got.len(), want.len(), "{name}: {got:#?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got.starts_with(want), "{name}: {got}\n  does not start with {want}");
    }
}

fn check_update(name: &str, old: Value, change: impl FnOnce(&mut Value), want: &[&str]) {
    let (old, faults) = created(old);
    assert!(faults.is_empty(), "{name}: {faults:?}");
    let mut new = old.clone();
    change(&mut new);
    let strategy = strategy_for(&resource_of(&old));
    strategy.prepare_for_update(&context(""), &mut new, &old);
    let got = crate::check::told(&strategy.validate_update(&context(""), &new, &old));
    assert_eq!(got.len(), want.len(), "{name}: {got:#?}");
    for (got, want) in got.iter().zip(want) {
        assert!(got.starts_with(want), "{name}: {got}\n  does not start with {want}");
    }
}

fn named(api_version: &str, kind: &str, rest: Value) -> Value {
    let mut object =
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "x", "namespace": "default"}});
    for (field, value) in rest.as_object().into_iter().flatten() {
        object[field] = value.clone();
    }
    object
}

fn pod(spec: Value) -> Value {
    named("v1", "Pod", json!({"spec": spec}))
}

fn container(rest: Value) -> Value {
    let mut container = json!({"name": "a", "image": "i"});
    for (field, value) in rest.as_object().into_iter().flatten() {
        container[field] = value.clone();
    }
    json!({"containers": [container]})
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [{"name": "a", "image": "i"}]}})
}

fn workload(kind: &str, rest: Value) -> Value {
    let mut object = named(
        "apps/v1",
        kind,
        json!({
            "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": template()},
        }),
    );
    for (field, value) in rest.as_object().into_iter().flatten() {
        object["spec"][field] = value.clone();
    }
    object
}

#[test]
fn bootstrap_objects_are_valid() {
    for (name, list) in oarlock_api::table::bootstrap_objects() {
        for object in list.as_array().into_iter().flatten().filter(|o| o["kind"].is_string()) {
            let (_, faults) = created(object.clone());
            assert!(faults.is_empty(), "{name} {}: {faults:?}", object["metadata"]["name"]);
        }
    }
}
