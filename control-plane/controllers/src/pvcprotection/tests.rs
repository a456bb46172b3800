use super::*;
use crate::testing::{PodBuilder, World, pod};
use k8s_openapi::api::core::v1::{EphemeralVolumeSource, PersistentVolumeClaimVolumeSource, Volume};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use oarlock_client::testing::FakeApi;
use serde_json::{Value, json};

fn claim(name: &str, owner: Option<&str>) -> PersistentVolumeClaim {
    let mut claim = PersistentVolumeClaim::default();
    claim.metadata.name = Some(name.into());
    claim.metadata.namespace = Some("default".into());
    claim.metadata.owner_references = owner.map(|uid| {
        vec![OwnerReference { uid: uid.into(), controller: Some(true), ..OwnerReference::default() }]
    });
    claim
}

fn with_volume(pod: PodBuilder, volume: Volume) -> PodBuilder {
    pod.with(|pod| pod.spec.get_or_insert_default().volumes.get_or_insert_default().push(volume))
}

fn named(pod: PodBuilder, claim: &str) -> PodBuilder {
    let source = PersistentVolumeClaimVolumeSource { claim_name: claim.into(), ..Default::default() };
    with_volume(pod, Volume { name: "v".into(), persistent_volume_claim: Some(source), ..Volume::default() })
}

fn ephemeral(pod: PodBuilder, volume: &str) -> PodBuilder {
    let source = EphemeralVolumeSource::default();
    with_volume(pod, Volume { name: volume.into(), ephemeral: Some(source), ..Volume::default() })
}

fn shut_down(pod: PodBuilder) -> PodBuilder {
    pod.deleting().with(|pod| pod.metadata.deletion_grace_period_seconds = Some(0))
}

#[test]
fn a_pod_on_a_node_uses_its_claims() {
    let plain = claim("data", None);
    let own = claim("web-tmp", Some("uid-web"));
    let check = |why: &str, pod: PodBuilder, claim: &PersistentVolumeClaim, want: bool| {
        assert_eq!(plan::uses(&pod.build(), claim), want, "{why}");
    };
    check("by name", named(pod("web").node("n"), "data"), &plain, true);
    check("another claim", named(pod("web").node("n"), "other"), &plain, false);
    check("not on a node", named(pod("web"), "data"), &plain, false);
    check("ended", named(pod("web").node("n").phase("Succeeded"), "data"), &plain, true);
    check("shut down", shut_down(named(pod("web").node("n"), "data")), &plain, true);
    check("no volumes", pod("web").node("n"), &plain, false);
    check("made for it", ephemeral(pod("web").node("n"), "tmp"), &own, true);
    check("made for it, shut down", shut_down(ephemeral(pod("web").node("n"), "tmp")), &own, false);
    check("of that name", ephemeral(pod("web").node("n"), "tmp"), &claim("web-tmp", None), false);
    check("another's", ephemeral(pod("web").node("n"), "tmp"), &claim("web-tmp", Some("uid-x")), false);
    let elsewhere =
        named(pod("web").node("n"), "data").with(|pod| pod.metadata.namespace = Some("other".into()));
    check("another namespace", elsewhere, &plain, false);
}

#[test]
fn some_changes_of_pods_free_claims() {
    let check = |why: &str, pod: PodBuilder, want: bool| {
        assert_eq!(plan::may_free(&pod.build()), want, "{why}");
    };
    check("runs", pod("web").node("n").phase("Running"), false);
    check("ended", pod("web").node("n").phase("Failed"), true);
    check("on no node", pod("web"), true);
    check("told to end", pod("web").node("n").deleting(), false);
    check("shut down", shut_down(pod("web").node("n")), true);
}

fn stored(name: &str, deleting: bool, finalizers: &[&str]) -> Value {
    let deleted = if deleting { json!("2026-01-01T00:00:00Z") } else { Value::Null };
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {
            "namespace": "default", "name": name, "finalizers": finalizers, "deletionTimestamp": deleted,
            "annotations": {"kept": "yes"},
        },
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    })
}

fn put_pod(api: &FakeApi, name: &str, claim: &str) {
    let pod = named(pod(name).node("n").phase("Running"), claim);
    api.put(pod.build());
}

#[tokio::test]
async fn claims_go_when_no_pod_uses_them() {
    let api = FakeApi::new();
    put_pod(&api, "web", "used");
    api.put(stored("used", true, &[FINALIZER]));
    api.put(stored("free", true, &["other", FINALIZER]));
    api.put(stored("old", false, &[]));
    api.put(stored("kept", false, &[FINALIZER]));
    let world = World::start(api.clone(), PvcProtectionController::register).await;
    let finalizers = |name: &str, want: Value| {
        let name = name.to_string();
        api.until(move |api| {
            let claim = api.get("persistentvolumeclaims", "default", &name)?;
            (claim["metadata"]["finalizers"] == want).then_some(claim)
        })
    };
    let free = finalizers("free", json!(["other"])).await;
    assert_eq!(free["metadata"]["annotations"]["kept"], "yes", "only the finalizer is changed");
    assert_eq!(free["spec"]["resources"]["requests"]["storage"], "1Gi");
    finalizers("old", json!([FINALIZER])).await;
    finalizers("used", json!([FINALIZER])).await;
    // Its user goes.
    api.remove("pods", "default", "web");
    api.until(|api| api.get("persistentvolumeclaims", "default", "used").is_none().then_some(())).await;
    // One that is told to go later.
    api.put(stored("kept", true, &[FINALIZER]));
    api.until(|api| api.get("persistentvolumeclaims", "default", "kept").is_none().then_some(())).await;
    world.end().await;
}

#[tokio::test]
async fn the_api_is_asked_before_a_claim_is_let_go() {
    let api = FakeApi::new();
    put_pod(&api, "web", "used");
    api.put(stored("used", true, &[FINALIZER]));
    let world = World::start(api.clone(), PvcProtectionController::register).await;
    let live_lists = |api: &FakeApi| {
        let requests = api.requests().into_iter();
        requests.filter(|request| request.path.contains("/namespaces/default/pods")).count()
    };
    assert_eq!(live_lists(&api), 0, "the cache knows the user");
    for name in ["a", "b", "c"] {
        api.put(stored(name, true, &[FINALIZER]));
    }
    api.until(|api| (api.list("persistentvolumeclaims").len() == 1).then_some(())).await;
    assert!((1..=3).contains(&live_lists(&api)), "at most once for a claim");
    assert!(api.get("persistentvolumeclaims", "default", "used").is_some());
    world.end().await;
}

#[tokio::test]
async fn a_write_that_fails_is_tried_again() {
    let api = FakeApi::new();
    for (method, path, code, reason) in [
        ("PUT", "/persistentvolumeclaims/a", 409, "Conflict"),
        ("GET", "/namespaces/default/pods", 500, "InternalError"),
        ("GET", "/persistentvolumeclaims/a", 500, "InternalError"),
    ] {
        api.fail_next(method, path, code, reason);
        api.put(stored("a", true, &[FINALIZER]));
        let world = World::start(api.clone(), PvcProtectionController::register).await;
        api.until(|api| api.get("persistentvolumeclaims", "default", "a").is_none().then_some(())).await;
        world.end().await;
    }
}
