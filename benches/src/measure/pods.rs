//! Pods that do nothing, and how long they take to be Ready, seen by a watch through the API.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;

use super::cluster::Cluster;
use crate::processes;

const PATIENCE: Duration = Duration::from_secs(120);
const LABEL: &str = "bench=oarlock";

pub(crate) struct Pods {
    api: Api<Pod>,
    image: String,
    events: BoxStream<'static, kube::Result<WatchEvent<Pod>>>,
    /// Those that exist.
    names: BTreeSet<String>,
    made: usize,
    /// The cluster's process, which is not ours to reap here.
    main: Option<u32>,
}

impl Pods {
    pub(crate) async fn new(cluster: &Cluster) -> Result<Self> {
        let api: Api<Pod> = Api::namespaced(cluster.client.clone(), "default");
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client.clone(), "default");
        super::cluster::until(&accounts, "the account default", |a| a.name_any() == "default").await?;
        let list = api.list(&ListParams::default().labels(LABEL)).await?;
        let revision = list.metadata.resource_version.unwrap_or_default();
        let events = watch(&api, &revision).await?;
        let image = cluster.image.clone();
        // Each round has names of its own.
        let made = usize::try_from(revision.parse::<u64>().unwrap_or(0))?;
        Ok(Self { api, image, events, names: BTreeSet::new(), made, main: Some(cluster.pid()) })
    }

    /// Creates pods at once and waits until all are Ready; the time runs from before the first request.
    pub(crate) async fn create(&mut self, count: usize) -> Result<Duration> {
        let pods: Vec<Pod> = (0..count).map(|at| self.pod(at)).collect::<Result<_>>()?;
        self.made += count;
        self.names = pods.iter().map(ResourceExt::name_any).collect();
        let (began, api) = (Instant::now(), self.api.clone());
        let create = pods.iter().map(|pod| {
            let api = api.clone();
            async move { api.create(&PostParams::default(), pod).await }
        });
        let mut waiting = self.names.clone();
        let create = async {
            futures::future::try_join_all(create).await.context("create pods")?;
            Ok(())
        };
        let watch = self.watch_until(|event| {
            if let WatchEvent::Added(pod) | WatchEvent::Modified(pod) = event
                && ready(pod)
            {
                waiting.remove(&pod.name_any());
            }
            waiting.is_empty()
        });
        futures::future::try_join(create, watch).await?;
        Ok(began.elapsed())
    }

    /// Deletes what was created and waits until it is gone.
    pub(crate) async fn clear(&mut self) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.names);
        let deletion = DeleteParams::default().grace_period(1);
        for name in &waiting {
            self.api.delete(name, &deletion).await.with_context(|| format!("delete {name}"))?;
        }
        self.watch_until(|event| {
            if let WatchEvent::Deleted(pod) = event {
                waiting.remove(&pod.name_any());
            }
            waiting.is_empty()
        })
        .await?;
        processes::reap(self.main);
        Ok(())
    }

    async fn watch_until(&mut self, mut done: impl FnMut(&WatchEvent<Pod>) -> bool) -> Result<()> {
        let events = &mut self.events;
        let watch = async {
            while let Some(event) = events.try_next().await? {
                if let WatchEvent::Error(status) = &event {
                    bail!("watch: {}", status.message);
                }
                if done(&event) {
                    return Ok(());
                }
            }
            bail!("the watch of pods ended")
        };
        tokio::time::timeout(PATIENCE, watch)
            .await
            .with_context(|| format!("pods not done in {PATIENCE:?}"))?
    }

    fn pod(&self, at: usize) -> Result<Pod> {
        Ok(serde_json::from_value(json!({
            "metadata": {"name": format!("idle-{}", self.made + at), "labels": {"bench": "oarlock"}},
            "spec": {"containers": [{"name": "idle", "image": self.image, "args": ["pause"]}]},
        }))?)
    }
}

async fn watch(api: &Api<Pod>, revision: &str) -> Result<BoxStream<'static, kube::Result<WatchEvent<Pod>>>> {
    // The server ends a watch by its timeout; the longest that it lets us ask for.
    let parameters = WatchParams::default().labels(LABEL).timeout(290);
    Ok(api.watch(&parameters, revision).await?.boxed())
}

fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}
