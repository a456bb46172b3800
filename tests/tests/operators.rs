//! Programs that extend Kubernetes, as people write them: one with kube-rs, one with Python's client.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::runtime::controller::{Action, Controller};
use kube::runtime::finalizer::{self, Event, finalizer};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::watcher;
use kube::{CustomResource, CustomResourceExt as _, Resource as _, ResourceExt as _};
use oarlock_testkit::{Cluster, Settings, kubectl_path};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// So many rowers are wanted.
#[derive(CustomResource, Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[kube(group = "crew.example.com", version = "v1", kind = "Crew", namespaced, status = "CrewStatus")]
struct CrewSpec {
    rowers: u32,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
struct CrewStatus {
    aboard: u32,
}

type Failure = finalizer::Error<kube::Error>;

/// Keeps a ConfigMap beside each crew, and tells in the status what it holds.
async fn reconcile(crew: Arc<Crew>, client: Arc<kube::Client>) -> Result<Action, Failure> {
    let namespace = crew.namespace().unwrap_or_default();
    let crews: Api<Crew> = Api::namespaced((*client).clone(), &namespace);
    let maps: Api<ConfigMap> = Api::namespaced((*client).clone(), &namespace);
    finalizer(&crews, "crew.example.com/ashore", crew, async |event| {
        match event {
            Event::Apply(crew) => board(&crews, &maps, &crew).await?,
            Event::Cleanup(crew) => {
                maps.delete(&format!("log-of-{}", crew.name_any()), &DeleteParams::default()).await?;
            }
        }
        Ok(Action::await_change())
    })
    .await
}

async fn board(crews: &Api<Crew>, maps: &Api<ConfigMap>, crew: &Crew) -> Result<(), kube::Error> {
    let name = format!("log-of-{}", crew.name_any());
    let map = ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            owner_references: crew.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some([("rowers".to_string(), crew.spec.rowers.to_string())].into()),
        ..ConfigMap::default()
    };
    let apply = PatchParams::apply("crew-operator").force();
    maps.patch(&name, &apply, &Patch::Apply(&map)).await?;
    let status = json!({
        "apiVersion": "crew.example.com/v1", "kind": "Crew", "status": CrewStatus { aboard: crew.spec.rowers },
    });
    crews.patch_status(&crew.name_any(), &apply, &Patch::Apply(&status)).await?;
    Ok(())
}

/// What the operator's user does, and sees.
async fn story(client: &kube::Client) -> anyhow::Result<()> {
    let crews: Api<Crew> = Api::default_namespaced(client.clone());
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let aboard = |count: u32| {
        move |crew: Option<&Crew>| {
            crew.and_then(|crew| crew.status.as_ref()).is_some_and(|status| status.aboard == count)
        }
    };
    let made = crews.create(&PostParams::default(), &Crew::new("eight", CrewSpec { rowers: 8 })).await?;
    await_condition(crews.clone(), "eight", aboard(8)).await?;
    let patch = Patch::Merge(json!({ "spec": { "rowers": 9 } }));
    crews.patch("eight", &PatchParams::default(), &patch).await?;
    await_condition(crews.clone(), "eight", aboard(9)).await?;
    let map = maps.get("log-of-eight").await?;
    assert_eq!(map.data.unwrap_or_default()["rowers"], "9");
    let crew = crews.get("eight").await?;
    assert_eq!(crew.metadata.finalizers, Some(vec!["crew.example.com/ashore".to_string()]));
    assert_eq!(crew.metadata.generation, Some(2), "the status does not count");
    crews.delete("eight", &DeleteParams::default()).await?;
    await_condition(crews, "eight", conditions::is_deleted(&made.uid().unwrap_or_default())).await?;
    assert!(maps.get_opt("log-of-eight").await?.is_none(), "the finaliser has tidied up");
    Ok(())
}

#[test]
fn an_operator_written_with_kube_rs() {
    let cluster = Cluster::start(Settings::default()).expect("a cluster");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = cluster.client().await.expect("a client");
        let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
        definitions.create(&PostParams::default(), &Crew::crd()).await.expect("a definition");
        await_condition(definitions, "crews.crew.example.com", conditions::is_crd_established())
            .await
            .expect("established");
        let (crews, maps) = (Api::<Crew>::all(client.clone()), Api::<ConfigMap>::all(client.clone()));
        let retry = |_: Arc<Crew>, _: &Failure, _: Arc<kube::Client>| Action::requeue(Duration::from_secs(1));
        let operator = Controller::new(crews, watcher::Config::default())
            .owns(maps, watcher::Config::default().streaming_lists())
            .run(reconcile, retry, Arc::new(client.clone()))
            .for_each(async |_| ());
        let patience = tokio::time::timeout(Duration::from_secs(60), story(&client));
        tokio::select! {
            () = operator => panic!("the operator ended"),
            told = patience => told.expect("in time").expect("the story"),
        }
    });
}

#[test]
fn an_operator_written_in_python() {
    let cluster = Cluster::start(Settings::default()).expect("a cluster");
    let python = kubectl_path().replace("kubectl", "python/bin/python");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/python/crew.py");
    let kubeconfig = cluster.data_dir().join("kubeconfig").display().to_string();
    let ran = cluster.on_node(&python, &[script, &kubeconfig]);
    assert!(ran.ok && ran.stdout.ends_with("done\n"), "{ran:?}\n{}", cluster.tail());
}
