//! Leader election by a coordination.k8s.io Lease, with upstream's timing: a candidate watches the lease by its own
//! clock, not by the times written in it, so clocks need not agree.

use std::future::Future;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use oarlock_base::Shutdown;
use thiserror::Error;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::helpers::is_not_found;
use crate::metrics::METRICS;

/// Which lease, under which name, and how patiently.
#[derive(Debug, Clone)]
pub struct LeaderElection {
    pub namespace: String,
    pub name: String,
    /// Unique among the candidates.
    pub identity: String,
    /// How long the others wait after the last renewal that they saw.
    pub lease_duration: Duration,
    /// How long the leader tries to renew before it gives up.
    pub renew_deadline: Duration,
    pub retry_period: Duration,
}

impl LeaderElection {
    /// Upstream's defaults: 15 s, 10 s, 2 s.
    pub fn new(namespace: &str, name: &str, identity: &str) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
            identity: identity.into(),
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Why the leader's work ended early.
#[derive(Debug, Error)]
pub enum LeaderError {
    #[error("lost the lease {namespace}/{name}")]
    Lost { namespace: String, name: String },
    #[error("told to stop before leading")]
    Stopped,
}

/// Waits until this candidate leads, then runs `work` and keeps the lease. When the lease is lost, the shutdown given
/// to `work` triggers, and once it has returned the answer is [`LeaderError::Lost`]. When `work` ends, the lease is
/// given back, so that another can take it at once.
pub async fn lead<F, Fut, T>(
    client: Client,
    election: LeaderElection,
    shutdown: Shutdown,
    work: F,
) -> Result<T, LeaderError>
where
    F: FnOnce(Shutdown) -> Fut,
    Fut: Future<Output = T>,
{
    let gauge = METRICS.leader.with_label_values(&[&election.name]);
    gauge.set(0.0);
    let mut candidate = Candidate::new(client, election);
    if shutdown.or(candidate.acquire()).await.is_none() {
        return Err(LeaderError::Stopped);
    }
    info!(lease = %candidate.election.name, identity = %candidate.election.identity, "leading");
    gauge.set(1.0);
    let stop_work = shutdown.child();
    let mut work = std::pin::pin!(work(stop_work.clone()));
    let ended = tokio::select! {
        done = &mut work => Some(done),
        () = candidate.renew_until_lost() => None,
    };
    gauge.set(0.0);
    let Some(done) = ended else {
        stop_work.trigger();
        work.await;
        let LeaderElection { namespace, name, .. } = candidate.election;
        return Err(LeaderError::Lost { namespace, name });
    };
    candidate.release().await;
    Ok(done)
}

struct Candidate {
    api: Api<Lease>,
    election: LeaderElection,
    /// The lease as it was last seen to change, and when that was by our clock.
    seen: Option<(LeaseSpec, Instant)>,
}

impl Candidate {
    fn new(client: Client, election: LeaderElection) -> Self {
        Self { api: Api::namespaced(client, &election.namespace), election, seen: None }
    }

    /// Returns when the lease is ours.
    async fn acquire(&mut self) {
        loop {
            match self.try_hold().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => debug!(lease = %self.election.name, error = %error, "cannot take the lease"),
            }
            // Jitter keeps candidates that started together apart (upstream: JitterFactor 1.2).
            let period = self.election.retry_period.mul_f64(1.0 + rand::random::<f64>() * 1.2);
            tokio::time::sleep(period).await;
        }
    }

    /// Returns when the lease could not be renewed within the deadline, or another holds it.
    async fn renew_until_lost(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(self.election.retry_period).await;
            let deadline = renewed + self.election.renew_deadline;
            match tokio::time::timeout_at(deadline, self.try_hold()).await {
                Ok(Ok(true)) => renewed = Instant::now(),
                Ok(Ok(false)) => return warn!(lease = %self.election.name, "another leads"),
                Ok(Err(error)) => debug!(lease = %self.election.name, error = %error, "renewal failed"),
                Err(_) => return warn!(lease = %self.election.name, "the lease was not renewed in time"),
            }
            if renewed.elapsed() >= self.election.renew_deadline {
                return warn!(lease = %self.election.name, "the lease was not renewed in time");
            }
        }
    }

    /// One try to take or renew the lease; says whether it is ours now.
    async fn try_hold(&mut self) -> kube::Result<bool> {
        let now = Timestamp::now();
        let mut lease = match self.api.get(&self.election.name).await {
            Ok(lease) => lease,
            Err(error) if is_not_found(&error) => return self.create(now).await,
            Err(error) => return Err(error),
        };
        let held = lease.spec.take().unwrap_or_default();
        let since = match self.seen.take() {
            Some((seen, since)) if seen == held => since,
            _ => Instant::now(),
        };
        self.seen = Some((held.clone(), since));
        let holder = held.holder_identity.as_deref().unwrap_or_default();
        let ours = holder == self.election.identity;
        // The holder's own promise counts, as in upstream's `isLeaseValid`.
        let lasts = held.lease_duration_seconds.map_or(self.election.lease_duration, |seconds| {
            Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
        });
        if !ours && !holder.is_empty() && since.elapsed() < lasts {
            return Ok(false);
        }
        let mut next = self.spec(now);
        if ours {
            next.acquire_time = held.acquire_time;
            next.lease_transitions = held.lease_transitions;
        } else {
            next.lease_transitions = Some(held.lease_transitions.unwrap_or_default() + 1);
        }
        lease.spec = Some(next);
        let written = self.api.replace(&self.election.name, &PostParams::default(), &lease).await?;
        self.seen = written.spec.map(|spec| (spec, Instant::now()));
        Ok(true)
    }

    async fn create(&mut self, now: Timestamp) -> kube::Result<bool> {
        let lease = Lease {
            metadata: ObjectMeta { name: Some(self.election.name.clone()), ..ObjectMeta::default() },
            spec: Some(self.spec(now)),
        };
        let written = self.api.create(&PostParams::default(), &lease).await?;
        self.seen = written.spec.map(|spec| (spec, Instant::now()));
        Ok(true)
    }

    fn spec(&self, now: Timestamp) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(self.election.identity.clone()),
            lease_duration_seconds: i32::try_from(self.election.lease_duration.as_secs()).ok(),
            acquire_time: Some(MicroTime(now)),
            renew_time: Some(MicroTime(now)),
            lease_transitions: Some(0),
            ..LeaseSpec::default()
        }
    }

    /// Gives the lease back; if that fails it just runs out.
    async fn release(&mut self) {
        let Ok(mut lease) = self.api.get(&self.election.name).await else { return };
        let Some(spec) = lease.spec.as_mut() else { return };
        if spec.holder_identity.as_deref() != Some(&self.election.identity) {
            return;
        }
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(Timestamp::now()));
        if let Err(error) = self.api.replace(&self.election.name, &PostParams::default(), &lease).await {
            debug!(lease = %self.election.name, error = %error, "the lease was not given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeApi;

    fn election(identity: &str) -> LeaderElection {
        LeaderElection::new("kube-system", "kube-controller-manager", identity)
    }

    fn holder(api: &FakeApi) -> Option<String> {
        let lease = api.get("leases", "kube-system", "kube-controller-manager")?;
        lease["spec"]["holderIdentity"].as_str().map(String::from)
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_waits_and_follows_at_once_when_the_lease_is_given_back() {
        let api = FakeApi::new();
        let stop = Shutdown::new();
        let first = lead(api.client(), election("a"), stop.clone(), |_| async {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Instant::now()
        });
        let second = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            lead(api.client(), election("b"), stop.clone(), |_| async { Instant::now() }).await
        };
        let (first, second) = tokio::join!(first, second);
        let (first, second) = (first.expect("a led"), second.expect("b led"));
        let gap = second.duration_since(first);
        assert!(gap < Duration::from_secs(6), "b waited {gap:?}, not a whole lease");
        assert_eq!(holder(&api).as_deref(), Some(""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_that_cannot_renew_stops_its_work() {
        let api = FakeApi::new();
        let spoiler = api.clone();
        let result = lead(api.client(), election("a"), Shutdown::new(), |stop| async move {
            let mut lease = spoiler.get("leases", "kube-system", "kube-controller-manager").expect("led");
            lease["spec"]["holderIdentity"] = "thief".into();
            spoiler.put(lease);
            stop.wait().await;
        })
        .await;
        assert!(matches!(result, Err(LeaderError::Lost { .. })));
        assert_eq!(holder(&api).as_deref(), Some("thief"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_holder_is_followed_after_its_lease() {
        let api = FakeApi::new();
        api.put(serde_json::json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"namespace": "kube-system", "name": "kube-controller-manager"},
            "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 15, "leaseTransitions": 3},
        }));
        let start = Instant::now();
        lead(api.client(), election("b"), Shutdown::new(), |_| async {}).await.expect("b led");
        assert!(start.elapsed() >= Duration::from_secs(15));
        let lease = api.get("leases", "kube-system", "kube-controller-manager").expect("exists");
        assert_eq!(lease["spec"]["leaseTransitions"], 4);
    }
}
