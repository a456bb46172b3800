//! Starts the controllers, as the leader if there is an election, and waits for them.

use futures::future::BoxFuture;
use oarlock_base::{Shutdown, TaskError, Tasks};
use oarlock_client::{LeaderError, lead};
use thiserror::Error;
use tracing::info;

use crate::common::Context;
use crate::config::Config;
use crate::list;

/// Why the controller manager ended.
#[derive(Debug, Error)]
pub enum Error {
    #[error("a control loop failed")]
    Task(#[from] TaskError),
    #[error("leader election ended")]
    Leader(#[from] LeaderError),
}

/// Runs all controllers until `shutdown`, or until the lease is lost.
///
/// The future is boxed so that it is compiled in this crate, and not again in the binary.
pub fn run(config: Config, shutdown: Shutdown) -> BoxFuture<'static, Result<(), Error>> {
    Box::pin(run_to_end(config, shutdown))
}

async fn run_to_end(config: Config, shutdown: Shutdown) -> Result<(), Error> {
    let Some(election) = config.leader_election.clone() else {
        return Ok(run_controllers(config, shutdown).await?);
    };
    let client = (config.clients)("system:kube-controller-manager");
    match lead(client, election, shutdown, |stop| run_controllers(config, stop)).await {
        Err(LeaderError::Stopped) => Ok(()),
        led => Ok(led??),
    }
}

async fn run_controllers(config: Config, shutdown: Shutdown) -> Result<(), TaskError> {
    let mut tasks = Tasks::new("kube-controller-manager", &shutdown);
    let context = Context::new(config, tasks.spawner());
    let controllers = list::register(&context);
    context.informers.start();
    let stop = tasks.shutdown().clone();
    if stop.or(context.informers.synced()).await.is_some() {
        info!(controllers = controllers.len(), "controllers started");
        for controller in controllers {
            controller.start(&mut tasks);
        }
    }
    tasks.join().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use oarlock_client::testing::FakeApi;
    use serde_json::json;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_deployment_and_a_service_become_endpoints() {
        let api = FakeApi::new();
        api.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}, "spec": {"finalizers": ["kubernetes"]}}));
        api.put(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}}));
        let client = api.client();
        let mut config = Config::new(Arc::new(move |_| client.clone()), "ca".into());
        config.cluster_cidr = "10.244.0.0/16".parse().ok();
        config.leader_election =
            Some(oarlock_client::LeaderElection::new("kube-system", "kube-controller-manager", "me"));
        let shutdown = Shutdown::new();
        let running = run(config, shutdown.clone());
        let story = async {
            api.until(|api| {
                api.get("nodes", "", "n").filter(|node| node["spec"]["podCIDR"] == "10.244.0.0/24")
            })
            .await;
            api.until(|api| api.get("serviceaccounts", "default", "default")).await;
            api.put(json!({
                "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": "default", "name": "web"},
                "spec": {
                    "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
                    "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}},
                },
            }));
            api.put(json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "default", "name": "web"},
                "spec": {"clusterIP": "10.96.0.2", "ipFamilies": ["IPv4"], "selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]},
            }));
            let pods = api.until(|api| Some(api.list("pods")).filter(|pods| pods.len() == 2)).await;
            for (n, mut pod) in pods.into_iter().enumerate() {
                pod["spec"]["nodeName"] = json!("n");
                pod["status"] = json!({
                    "phase": "Running", "podIP": format!("10.244.0.{n}"), "podIPs": [{"ip": format!("10.244.0.{n}")}],
                    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                });
                api.put(pod);
            }
            api.until(|api| {
                let slices = api.list("endpointslices");
                let endpoints = slices.first()?["endpoints"].as_array().cloned().unwrap_or_default();
                (slices.len() == 1
                    && endpoints.len() == 2
                    && endpoints.iter().all(|e| e["conditions"]["ready"] == true))
                .then_some(())
            })
            .await;
            api.until(|api| {
                let endpoints = api.get("endpoints", "default", "web")?;
                (endpoints["subsets"][0]["addresses"].as_array()?.len() == 2).then_some(())
            })
            .await;
            // The garbage collector takes the sets and the pods with the deployment.
            api.remove("deployments", "default", "web");
            api.until(|api| api.list("replicasets").is_empty().then_some(())).await;
            api.until(|api| {
                let pods = api.list("pods");
                pods.iter().all(|pod| !pod["metadata"]["deletionTimestamp"].is_null()).then_some(())
            })
            .await;
            shutdown.trigger();
        };
        let (ended, ()) = tokio::join!(running, story);
        ended.expect("an orderly end");
    }
}
