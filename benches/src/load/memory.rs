//! What a server's memory grows to with the objects of a middling cluster.

use anyhow::Result;
use serde_json::json;

use super::plan::{Verb, Wanted, pod};
use super::report::Round;
use super::run::Bench;
use crate::processes;

const CONFIGMAPS: u32 = 10_000;
const PODS: u32 = 5_000;

/// ConfigMaps of 1 KiB, then pods, and the memory after each.
pub(super) async fn run(bench: &Bench) -> Result<Vec<Round>> {
    let mut out = Vec::new();
    let create = |namespace: &str, at| Verb::Create.wanted(namespace, at);
    let mut round = bench.round("create 10000 ConfigMaps", 0..CONFIGMAPS, create).await?;
    round.memory = processes::memory_of(&bench.pids)?;
    out.push(round);
    // Pods want one; where a controller makes it, it may be there already.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let path = format!("/api/v1/namespaces/{}/serviceaccounts", bench.namespace);
    let _ = bench.wire.exchange(0, Wanted::post(path, &account)).await;
    let mut round = bench.round("and 5000 pods", 0..PODS, pod).await?;
    round.memory = processes::memory_of(&bench.pids)?;
    out.push(round);
    Ok(out)
}
