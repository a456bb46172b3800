//! How long tracking takes; run it with `--release -- --ignored --nocapture speed`.

use std::time::Instant;

use serde_json::json;

use super::Bed;

/// The best of many short rounds: other work on the machine only ever adds.
fn measure(name: &str, mut f: impl FnMut()) {
    let rounds = 100;
    let one = |f: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..rounds).for_each(|_| f());
        start.elapsed().as_secs_f64() * 1e6 / f64::from(rounds)
    };
    let best = (0..100).map(|_| one(&mut f)).fold(f64::INFINITY, f64::min);
    println!("{name}: {best:.2} µs");
}

#[test]
#[ignore = "a measurement"]
fn speed() {
    let mut bed = Bed::config_map();
    let body = |v: &str| json!({"data": {"payload": "x".repeat(1024), "v": v}, "metadata": {"labels": {"app": "bench"}}});
    let new = bed.normal(bed.object(body("1")));
    measure("clone of a config map", || drop(std::hint::black_box(new.clone())));
    measure("create", || {
        let mut object = new.clone();
        crate::apply::track(&bed.request("bench", ""), None, &mut object);
        std::hint::black_box(object);
    });
    bed.put("bench", body("1"));
    let live = bed.live.clone().expect("it was written");
    let mut changed = live.clone();
    changed["data"]["v"] = "2".into();
    measure("clone of a tracked config map", || drop(std::hint::black_box(changed.clone())));
    measure("update by the same manager", || {
        let mut object = changed.clone();
        crate::apply::track(&bed.request("bench", ""), Some(&live), &mut object);
        std::hint::black_box(object);
    });
    measure("update without a change", || {
        let mut object = live.clone();
        crate::apply::track(&bed.request("bench", ""), Some(&live), &mut object);
        std::hint::black_box(object);
    });
    let config = bed.object(body("1"));
    measure("apply again", || {
        std::hint::black_box(
            crate::apply::apply(&bed.request("a", ""), Some(&live), &config, true).expect("forced"),
        );
    });
}
