//! What managed fields cost: following who owns what through a create, an update and an apply, on one core, without a server.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result};
use oarlock_api::apply::{OneVersion, Request, Reset, apply, track};
use oarlock_api::{Schema, Table};
use serde_json::{Value, json};

const ROUNDS: u32 = 100;
const CALLS: u32 = 100;

/// Prints the least of many short rounds for each of them: other work on the machine only ever adds.
pub(crate) fn run() -> Result<()> {
    let schema = Schema::Typed(Table::builtin().type_of("", "v1", "ConfigMap").context("find ConfigMaps")?);
    let request = |manager| Request {
        schema: &schema,
        api_version: "v1",
        kind: "ConfigMap",
        manager,
        subresource: "",
        reset: &Reset::Nothing,
        versions: &OneVersion,
        now: jiff::Timestamp::UNIX_EPOCH,
    };
    let new = config_map("1");
    let mut live = new.clone();
    track(&request("bench"), None, &mut live);
    let mut changed = live.clone();
    changed["data"]["v"] = "2".into();

    measure("clone of a tracked object", || drop(black_box(changed.clone())));
    for (name, before, after) in [
        ("create", None, &new),
        ("update by the same manager", Some(&live), &changed),
        ("update without a change", Some(&live), &live),
    ] {
        measure(name, || {
            let mut object = after.clone();
            track(&request("bench"), before, &mut object);
            drop(black_box(object));
        });
    }
    measure("apply again", || drop(black_box(apply(&request("a"), Some(&live), &new, true))));
    Ok(())
}

/// A ConfigMap of 1 KiB.
fn config_map(v: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "labels": {"app": "bench"}},
        "data": {"payload": "x".repeat(1024), "v": v},
    })
}

fn measure(name: &str, mut call: impl FnMut()) {
    let round = |_| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
    };
    let best = (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min);
    println!("{name}: {best:.2} µs");
}
