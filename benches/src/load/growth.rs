//! Whether costs grow faster than what there is: many objects, and many watchers.

use anyhow::Result;
use hyper::Method;

use super::plan::{Verb, Wanted, configmaps};
use super::report::Round;
use super::run::Bench;
use crate::processes;

/// Objects at the end of each stage.
const STAGES: [u32; 3] = [1_000, 10_000, 100_000];
/// Requests of one kind that are measured at each stage.
const SAMPLE: u32 = 1_000;
pub(super) const WATCHERS: [u16; 3] = [10, 100, 1_000];
/// Changes that watchers see.
const CHANGES: u32 = 100;
const PAGE: u32 = 500;

pub(super) async fn run(bench: &Bench) -> Result<Vec<Round>> {
    let mut out = Vec::new();
    let mut from = 0;
    for objects in STAGES {
        out.extend(stage(bench, from, objects).await?);
        from = objects;
    }
    for watchers in WATCHERS {
        let name = format!("patch, {watchers} watch");
        let patch = move |namespace: &str, at| changed(namespace, at, watchers);
        out.push(bench.watched(&name, watchers, CHANGES, patch).await?);
    }
    Ok(out)
}

async fn stage(bench: &Bench, from: u32, objects: u32) -> Result<Vec<Round>> {
    let create = |namespace: &str, at| Verb::Create.wanted(namespace, at);
    let mut created = bench.round(&format!("create to {objects}"), from..objects, create).await?;
    created.memory = processes::memory_of(&bench.pids)?;
    let mut out = vec![created];
    let spread = objects / SAMPLE;
    for verb in [Verb::Get, Verb::Patch] {
        let wanted = move |namespace: &str, at: u32| verb.wanted(namespace, at * spread);
        out.push(bench.round(&format!("{} of {objects}", verb.name()), 0..SAMPLE, wanted).await?);
    }
    processes::forget_peak(&bench.pids);
    let all = |namespace: &str, _| Verb::List.wanted(namespace, 0);
    let mut listed = bench.round(&format!("list of {objects}"), 0..4, all).await?;
    listed.memory = processes::memory_of(&bench.pids)?;
    out.push(listed);
    processes::forget_peak(&bench.pids);
    let page = |namespace: &str, _| Wanted::get(format!("{}?limit={PAGE}", configmaps(namespace)));
    let mut paged = bench.round(&format!("page of {objects}"), 0..100, page).await?;
    paged.memory = processes::memory_of(&bench.pids)?;
    out.push(paged);
    Ok(out)
}

/// A patch that changes something each time.
fn changed(namespace: &str, at: u32, watchers: u16) -> Wanted {
    let body = serde_json::json!({"data": {"state": format!("for {watchers}")}});
    Wanted {
        method: Method::PATCH,
        path: format!("{}/load-{at}", configmaps(namespace)),
        kind: "application/merge-patch+json",
        body: body.to_string().into(),
    }
}
