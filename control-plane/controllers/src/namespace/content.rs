//! Deletes everything in a namespace: pods first (KEP-5080), and when they are gone all other kinds.

use std::collections::BTreeMap;

use futures::stream::{self, StreamExt as _};
use kube::Client;
use kube::api::{DeleteParams, DynamicObject, ListParams, ObjectList};
use kube::core::PartialObjectMeta;
use kube::{Api, Resource as _};
use oarlock_client::{is_forbidden, is_not_found};

use crate::common::discovery::{Served, discover};
use crate::common::error_text;

/// Kinds that are emptied at the same time.
const AT_ONCE: usize = 8;

type Meta = PartialObjectMeta<DynamicObject>;

/// What is left in the namespace, and what went wrong.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Objects left, by resource.
    pub(super) remaining: BTreeMap<String, usize>,
    /// Objects left that have a finalizer, by finalizer.
    pub(super) finalizers: BTreeMap<String, usize>,
    /// The longest time that a pod was granted to end.
    pub(super) grace_seconds: u64,
    pub(super) discovery_failures: Vec<String>,
    pub(super) failures: Vec<String>,
}

impl Content {
    pub(super) fn is_gone(&self) -> bool {
        self.remaining.is_empty() && self.discovery_failures.is_empty() && self.failures.is_empty()
    }

    fn add(&mut self, resource: &Served, left: kube::Result<Vec<Meta>>) {
        match left {
            Ok(left) if left.is_empty() => {}
            Ok(left) => {
                self.remaining.insert(format!("{}.", resource.qualified()), left.len());
                for finalizer in left.iter().flat_map(|object| object.metadata.finalizers.iter().flatten()) {
                    *self.finalizers.entry(finalizer.clone()).or_default() += 1;
                }
                let grace = left.iter().filter_map(|object| object.metadata.deletion_grace_period_seconds);
                let grace = grace.filter_map(|seconds| u64::try_from(seconds).ok()).max();
                self.grace_seconds = self.grace_seconds.max(grace.unwrap_or_default());
            }
            Err(error) => self.failures.push(format!("{}: {}", resource.qualified(), error_text(&error))),
        }
    }
}

/// One pass over everything; the next pass sees what it left.
pub(super) async fn delete_all(client: &Client, namespace: &str) -> kube::Result<Content> {
    let found = discover(client).await?;
    let mut content = Content { discovery_failures: found.failed, ..Content::default() };
    let deletable = found.resources.into_iter().filter(|served| served.namespaced && served.can("delete"));
    let (pods, others): (Vec<_>, Vec<_>) =
        deletable.partition(|served| served.resource.group.is_empty() && served.resource.plural == "pods");
    for served in &pods {
        content.add(served, delete_kind(client, namespace, served).await);
    }
    if !content.remaining.is_empty() {
        return Ok(content);
    }
    let results: Vec<_> = stream::iter(others)
        .map(|served| async move {
            let left = delete_kind(client, namespace, &served).await;
            (served, left)
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    for (served, left) in results {
        content.add(&served, left);
    }
    Ok(content)
}

/// Deletes all objects of one kind; gives those that are still there.
async fn delete_kind(client: &Client, namespace: &str, served: &Served) -> kube::Result<Vec<Meta>> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &served.resource);
    if !served.can("list") {
        return Ok(vec![]);
    }
    // Most kinds have nothing in most namespaces: look before deleting.
    let there = list(client, namespace, served).await?;
    if there.is_empty() {
        return Ok(there);
    }
    if served.can("deletecollection") {
        match api.delete_collection(&DeleteParams::background(), &ListParams::default()).await {
            Err(error) if !is_not_found(&error) => return Err(error),
            _ => {}
        }
    } else {
        for object in &there {
            let name = object.metadata.name.as_deref().unwrap_or_default();
            match api.delete(name, &DeleteParams::background()).await {
                Err(error) if !is_not_found(&error) && !is_forbidden(&error) => return Err(error),
                _ => {}
            }
        }
    }
    list(client, namespace, served).await
}

async fn list(client: &Client, namespace: &str, served: &Served) -> kube::Result<Vec<Meta>> {
    let request = kube::core::Request::new(Meta::url_path(&served.resource, Some(namespace)));
    let request = request.list_metadata(&ListParams::default()).map_err(kube::Error::BuildRequest)?;
    match client.request::<ObjectList<Meta>>(request).await {
        Ok(list) => Ok(list.items),
        // The resource went away since discovery, or cannot be listed: nothing of it is left to delete.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 405 => Ok(vec![]),
        Err(error) => Err(error),
    }
}
