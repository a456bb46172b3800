//! Brings the objects of an addon into the cluster: creates what is missing, and replaces what an older binary wrote.

use anyhow::{Context, Result};
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind, TypeMeta};
use oarlock_api::Table;
use serde_json::{Value, json};

/// What an object was written from; it is written again only when that differs, so that a person's changes stay.
const WRITTEN_FROM: &str = "oarlock.dev/manifest-hash";

/// Applies YAML documents in their order.
pub(crate) async fn apply(client: &kube::Client, manifest: &str) -> Result<()> {
    for document in manifest.split("\n---\n") {
        let object =
            oarlock_api::codec::yaml::parse(document.as_bytes()).map_err(|e| anyhow::anyhow!("{e}"))?;
        one(client, object).await?;
    }
    Ok(())
}

async fn one(client: &kube::Client, mut object: Value) -> Result<()> {
    let name = object["metadata"]["name"].as_str().context("an object without a name")?.to_string();
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_string();
    let hash = fingerprint(&object.to_string());
    object["metadata"]["annotations"][WRITTEN_FROM] = json!(hash);
    let api = api_of(client, &object, &namespace)?;
    let told = || format!("write the addon object {} {name}", object["kind"]);
    match api.get_opt(&name).await.with_context(told)? {
        None => {
            let new: DynamicObject = serde_json::from_value(object.clone())?;
            api.create(&PostParams::default(), &new).await.with_context(told)?;
        }
        Some(found) => {
            let written = found.metadata.annotations.as_ref().and_then(|a| a.get(WRITTEN_FROM));
            if written != Some(&hash) {
                api.patch(&name, &PatchParams::default(), &Patch::Merge(&object)).await.with_context(told)?;
            }
        }
    }
    Ok(())
}

fn api_of(client: &kube::Client, object: &Value, namespace: &str) -> Result<Api<DynamicObject>> {
    let (api_version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
    let gvk = oarlock_api::GroupVersionKind::from_api_version(
        api_version.context("an object without apiVersion")?,
        kind.context("an object without kind")?,
    );
    let resource =
        Table::builtin().resource_of_kind(&gvk).with_context(|| format!("{gvk} is no resource"))?;
    let types = TypeMeta { api_version: gvk.api_version(), kind: gvk.kind.to_string() };
    let gvk = GroupVersionKind::try_from(&types)?;
    let api = ApiResource::from_gvk_with_plural(&gvk, resource.plural);
    Ok(if resource.namespaced {
        Api::namespaced_with(client.clone(), namespace, &api)
    } else {
        Api::all_with(client.clone(), &api)
    })
}

/// FNV-1a: tells versions of our own manifests apart, nothing more.
fn fingerprint(text: &str) -> String {
    let hash =
        text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_of_our_addons_are_valid_objects() {
        let manifest =
            oarlock_dns::manifest("oarlock.local/oarlock:1", "cluster.local", [10, 96, 0, 10].into());
        let mut kinds = Vec::new();
        for document in manifest.split("\n---\n") {
            let object = oarlock_api::codec::yaml::parse(document.as_bytes()).expect("YAML");
            let gvk = oarlock_api::GroupVersionKind::from_api_version(
                object["apiVersion"].as_str().expect("an apiVersion"),
                object["kind"].as_str().expect("a kind"),
            );
            let table = Table::builtin();
            let ty = table.type_for(&gvk).expect("a known kind");
            let decoded =
                oarlock_api::codec::json::decode_value(table, ty, &object).expect("the right types");
            assert!(decoded.strict.is_empty(), "{gvk}: {:?}", decoded.strict);
            kinds.push(gvk.kind.to_string());
        }
        assert_eq!(kinds, ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Service", "Deployment"]);
    }
}
