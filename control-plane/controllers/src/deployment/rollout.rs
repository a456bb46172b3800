//! Carries a rollout one step further: makes the new replica set, scales, cleans up, reports.
//!
//! A [`Rollout`] is the working copy of one look: the deployment and its sets as they are after each write.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet, ReplicaSetSpec};
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::{Api, Client};
use oarlock_client::{
    EventRecorder, EventType, controller_of, is_already_exists, is_namespace_terminating, is_not_found,
    object_ref, owner_reference,
};

use super::plan;
use super::revision::{self, HASH_LABEL};
use super::status::{self, PROGRESSING, condition};
use super::{Error, api_error, strategy};
use crate::common::error_text;

pub(super) struct Rollout<'a> {
    client: &'a Client,
    events: &'a EventRecorder,
    pub(super) deployment: Deployment,
    /// The status as it was before this look.
    reported: DeploymentStatus,
    sets: Vec<ReplicaSet>,
    /// The position of the set that carries the present template.
    new: Option<usize>,
}

impl<'a> Rollout<'a> {
    pub(super) fn new(
        client: &'a Client,
        events: &'a EventRecorder,
        deployment: &Deployment,
        sets: &[Arc<ReplicaSet>],
    ) -> Self {
        let mut rollout = Self {
            client,
            events,
            deployment: deployment.clone(),
            reported: deployment.status.clone().unwrap_or_default(),
            sets: sets.iter().map(|set| (**set).clone()).collect(),
            new: None,
        };
        rollout.new = rollout.locate_new();
        rollout
    }

    fn sets_api(&self) -> Api<ReplicaSet> {
        let namespace = self.deployment.metadata.namespace.as_deref().unwrap_or_default();
        Api::namespaced(self.client.clone(), namespace)
    }

    fn deployments_api(&self) -> Api<Deployment> {
        let namespace = self.deployment.metadata.namespace.as_deref().unwrap_or_default();
        Api::namespaced(self.client.clone(), namespace)
    }

    fn name(&self) -> &str {
        self.deployment.metadata.name.as_deref().unwrap_or_default()
    }

    /// The oldest of those that carry the template: two can, after a race of two controllers.
    fn locate_new(&self) -> Option<usize> {
        let carriers = (0..self.sets.len()).filter(|at| revision::carries(&self.sets[*at], &self.deployment));
        carriers.min_by_key(|at| self.sets[*at].metadata.creation_timestamp.as_ref().map(|time| time.0))
    }

    pub(super) fn old(&self) -> impl Iterator<Item = &ReplicaSet> {
        let new = self.new;
        self.sets.iter().enumerate().filter(move |(at, _)| Some(*at) != new).map(|(_, set)| set)
    }

    fn new_set(&self) -> Option<&ReplicaSet> {
        self.new.map(|at| &self.sets[at])
    }

    fn set_condition(&mut self, status: &str, reason: &str, message: String) {
        let list = self.deployment.status.get_or_insert_default().conditions.get_or_insert_default();
        status::set(list, condition(PROGRESSING, status, reason, message), Timestamp::now());
    }

    /// While paused a rollout has no deadline to miss.
    pub(super) fn note_pause(&mut self) {
        if strategy::progress_deadline(&self.deployment).is_none() {
            return;
        }
        let progressing = status::current(self.deployment.status.as_ref(), PROGRESSING);
        let reason = progressing.and_then(|condition| condition.reason.as_deref());
        if reason == Some("ProgressDeadlineExceeded") {
            return;
        }
        match (strategy::is_paused(&self.deployment), reason == Some("DeploymentPaused")) {
            (true, false) => self.set_condition("Unknown", "DeploymentPaused", "Deployment is paused".into()),
            (false, true) => {
                self.set_condition("Unknown", "DeploymentResumed", "Deployment is resumed".into())
            }
            _ => {}
        }
    }

    pub(super) fn is_scaling(&self) -> bool {
        plan::is_scaling(&self.deployment, &self.sets)
    }

    /// Finds the set that carries the template, or makes it if it is to be made; brings its annotations and the
    /// deployment's revision up to date.
    pub(super) async fn find_new(&mut self, make: bool) -> Result<(), Error> {
        let latest_old = self.old().map(revision::of_set).max().unwrap_or_default();
        match self.new {
            Some(at) => self.refresh_new(at, latest_old + 1).await?,
            None if make => self.make_new(latest_old + 1).await?,
            None => return Ok(()),
        }
        self.write_revision().await
    }

    async fn refresh_new(&mut self, at: usize, revision: i64) -> Result<(), Error> {
        let mut set = self.sets[at].clone();
        let mut changed = revision::annotate(&mut set, &self.deployment, revision);
        let min_ready = self.deployment.spec.as_ref().and_then(|spec| spec.min_ready_seconds);
        if let Some(spec) = set.spec.as_mut()
            && spec.min_ready_seconds.unwrap_or_default() != min_ready.unwrap_or_default()
        {
            spec.min_ready_seconds = min_ready;
            changed = true;
        }
        if changed {
            self.sets[at] = self.put_set(&set).await?;
        }
        let unknown = status::current(self.deployment.status.as_ref(), PROGRESSING).is_none();
        if unknown && strategy::progress_deadline(&self.deployment).is_some() {
            let name = self.sets[at].metadata.name.as_deref().unwrap_or_default();
            let message = format!("Found new replica set \"{name}\"");
            self.set_condition("True", "FoundNewReplicaSet", message);
        }
        Ok(())
    }

    async fn put_set(&self, set: &ReplicaSet) -> Result<ReplicaSet, Error> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let written = self.sets_api().replace(name, &PostParams::default(), set).await;
        Ok(written.map_err(api_error("update a replica set"))?)
    }

    async fn make_new(&mut self, revision: i64) -> Result<(), Error> {
        let set = self.design_new(revision);
        let (made, is_new) = match self.sets_api().create(&PostParams::default(), &set).await {
            Ok(made) => (made, true),
            Err(error) if is_already_exists(&error) => (self.resolve_collision(&set).await?, false),
            Err(error) if is_namespace_terminating(&error) => {
                return Err(api_error("create a replica set")(error).into());
            }
            Err(error) => return Err(self.report_refusal(&set, error).await),
        };
        let (name, size) = (made.metadata.name.clone().unwrap_or_default(), plan::size(&made));
        self.sets.push(made);
        self.new = Some(self.sets.len() - 1);
        if !is_new {
            return Ok(());
        }
        if size > 0 {
            let message = format!("Scaled up replica set {name} from 0 to {size}");
            self.events.event(&object_ref(&self.deployment), EventType::Normal, "ScalingReplicaSet", message);
        }
        if strategy::progress_deadline(&self.deployment).is_some() {
            let message = format!("Created new replica set \"{name}\"");
            self.set_condition("True", "NewReplicaSetCreated", message);
        }
        Ok(())
    }

    fn design_new(&self, revision: i64) -> ReplicaSet {
        let spec = self.deployment.spec.clone().unwrap_or_default();
        let collisions = self.deployment.status.as_ref().and_then(|status| status.collision_count);
        let hash = revision::hash(&spec.template, collisions);
        let (mut template, mut selector) = (spec.template, spec.selector);
        let labels = template.metadata.get_or_insert_default().labels.get_or_insert_default();
        labels.insert(HASH_LABEL.into(), hash.clone());
        let labels = labels.clone();
        selector.match_labels.get_or_insert_default().insert(HASH_LABEL.into(), hash.clone());
        let total = self.sets.iter().map(plan::size).sum();
        let mut set = ReplicaSet {
            metadata: ObjectMeta {
                name: Some(format!("{}-{hash}", self.name())),
                namespace: self.deployment.metadata.namespace.clone(),
                labels: Some(labels),
                owner_references: Some(vec![owner_reference(&self.deployment)]),
                ..ObjectMeta::default()
            },
            spec: Some(ReplicaSetSpec {
                replicas: Some(plan::new_size(&self.deployment, 0, total)),
                min_ready_seconds: spec.min_ready_seconds,
                selector,
                template: Some(template),
            }),
            status: None,
        };
        revision::annotate(&mut set, &self.deployment, revision);
        revision::annotate_sizes(&mut set, &self.deployment);
        set
    }

    /// The name is taken: by our own set, which the cache does not show yet, or by another, and then the next look
    /// tries another name.
    async fn resolve_collision(&mut self, set: &ReplicaSet) -> Result<ReplicaSet, Error> {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let there =
            self.sets_api().get(name).await.map_err(api_error("look at the replica set of that name"))?;
        let owner = controller_of(&there.metadata).map(|owner| &owner.uid);
        if owner == self.deployment.metadata.uid.as_ref() && revision::carries(&there, &self.deployment) {
            return Ok(there);
        }
        let status = self.deployment.status.get_or_insert_default();
        status.collision_count = Some(status.collision_count.unwrap_or_default() + 1);
        let written = self
            .deployments_api()
            .replace_status(self.name(), &PostParams::default(), &self.deployment)
            .await;
        written.map_err(api_error("count a collision"))?;
        Err(Error::Collision)
    }

    async fn report_refusal(&mut self, set: &ReplicaSet, error: kube::Error) -> Error {
        let name = set.metadata.name.as_deref().unwrap_or_default();
        let message = format!("Failed to create new replica set \"{name}\": {}", error_text(&error));
        let about = object_ref(&self.deployment);
        self.events.event(&about, EventType::Warning, "ReplicaSetCreateError", message.clone());
        if strategy::progress_deadline(&self.deployment).is_some() {
            self.set_condition("False", "ReplicaSetCreateError", message);
            // The refusal is the error to return; if the status cannot be written either, the retry will.
            let _ = self
                .deployments_api()
                .replace_status(self.name(), &PostParams::default(), &self.deployment)
                .await;
        }
        api_error("create a replica set")(error).into()
    }

    async fn write_revision(&mut self) -> Result<(), Error> {
        let Some(revision) = self.new_set().map(|set| revision::of_set(set).to_string()) else {
            return Ok(());
        };
        if !revision::annotate_deployment(&mut self.deployment, &revision) {
            return Ok(());
        }
        let written =
            self.deployments_api().replace(self.name(), &PostParams::default(), &self.deployment).await;
        let written = written.map_err(api_error("write the revision of a deployment"))?;
        // The conditions of this look are not written yet.
        let status = self.deployment.status.take();
        self.deployment = Deployment { status, ..written };
        Ok(())
    }

    /// Gives a set its size, and the annotations by which scaling is recognised.
    async fn resize(&mut self, at: usize, size: i32) -> Result<(), Error> {
        let mut set = self.sets[at].clone();
        let before = plan::size(&set);
        let annotated = revision::annotate_sizes(&mut set, &self.deployment);
        if before == size && !annotated {
            return Ok(());
        }
        set.spec.get_or_insert_default().replicas = Some(size);
        self.sets[at] = self.put_set(&set).await?;
        if before != size {
            let (way, name) =
                (if size > before { "up" } else { "down" }, set.metadata.name.unwrap_or_default());
            let message = format!("Scaled {way} replica set {name} from {before} to {size}");
            self.events.event(&object_ref(&self.deployment), EventType::Normal, "ScalingReplicaSet", message);
        }
        Ok(())
    }

    /// Gives all sets the sizes that the deployment's new size asks for.
    pub(super) async fn scale(&mut self) -> Result<(), Error> {
        for (at, size) in plan::scale(&self.deployment, &self.sets, self.new) {
            self.resize(at, size).await?;
        }
        Ok(())
    }

    /// One step of a rolling update; says whether there was none to take.
    pub(super) async fn roll(&mut self) -> Result<bool, Error> {
        let Some(new) = self.new else { return Ok(true) };
        let total = self.sets.iter().map(plan::size).sum();
        let now = plan::size(&self.sets[new]);
        let next = plan::new_size(&self.deployment, now, total);
        if next != now {
            self.resize(new, next).await?;
            return Ok(false);
        }
        let places: Vec<usize> = (0..self.sets.len()).filter(|at| *at != new).collect();
        let old: Vec<ReplicaSet> = places.iter().map(|at| self.sets[*at].clone()).collect();
        let steps = plan::shrink_old(&self.deployment, &self.sets[new], &old);
        for (at, size) in &steps {
            self.resize(places[*at], *size).await?;
        }
        Ok(steps.is_empty())
    }

    /// Takes all pods from the old sets; says whether there were any.
    pub(super) async fn scale_down_old(&mut self) -> Result<bool, Error> {
        let mut scaled = false;
        for at in 0..self.sets.len() {
            if Some(at) != self.new && plan::size(&self.sets[at]) > 0 {
                self.resize(at, 0).await?;
                scaled = true;
            }
        }
        Ok(scaled)
    }

    pub(super) async fn scale_new_to_full(&mut self) -> Result<(), Error> {
        let Some(new) = self.new else { return Ok(()) };
        let wanted = strategy::replicas(&self.deployment);
        if plan::size(&self.sets[new]) == wanted {
            return Ok(());
        }
        self.resize(new, wanted).await
    }

    fn status_now(&self) -> DeploymentStatus {
        let sets: Vec<&ReplicaSet> = self.sets.iter().collect();
        status::calculate(&self.deployment, self.new_set(), &sets, Timestamp::now())
    }

    pub(super) fn is_complete(&self) -> bool {
        status::is_complete(&self.deployment, &self.status_now())
    }

    /// Deletes the old sets that the history has no room for.
    pub(super) async fn clean_up(&mut self) -> Result<(), Error> {
        let limit = self.deployment.spec.as_ref().and_then(|spec| spec.revision_history_limit);
        let Some(limit) = limit.filter(|limit| *limit != i32::MAX) else { return Ok(()) };
        let old: Vec<ReplicaSet> = self.old().cloned().collect();
        for at in plan::surplus(&old, limit) {
            let meta = &old[at].metadata;
            let same = Preconditions { uid: meta.uid.clone(), ..Preconditions::default() };
            let params = DeleteParams::background().preconditions(same);
            match self.sets_api().delete(meta.name.as_deref().unwrap_or_default(), &params).await {
                Err(error) if !is_not_found(&error) => {
                    return Err(api_error("delete an old replica set")(error).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Writes the status if it is another than before. `rolling`: with the conditions of a rollout.
    pub(super) async fn write_status(&mut self, rolling: bool) -> Result<(), Error> {
        let mut status = self.status_now();
        if rolling {
            let sets: Vec<&ReplicaSet> = self.sets.iter().collect();
            let (new, now) = (self.new_set(), Timestamp::now());
            status::rollout_conditions(&self.deployment, &self.reported, &mut status, new, &sets, now);
        }
        let changed = status != self.reported;
        self.deployment.status = Some(status);
        if changed {
            let api = self.deployments_api();
            let written = api.replace_status(self.name(), &PostParams::default(), &self.deployment).await;
            written.map_err(api_error("write the status of a deployment"))?;
        }
        Ok(())
    }
}
