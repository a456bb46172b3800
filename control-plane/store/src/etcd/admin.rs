//! What an operator asks of etcd: health, the members' state, snapshots, defragmentation, what is left of leases.

use std::io;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::fs::OpenOptions;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tonic::{Code, Status};

use super::connection::{Kind, Member, stream_error};
use super::errors::{Refusal, unavailable};
use super::wire::{
    ALARM_NOSPACE, AlarmRequest, AlarmResponse, Empty, HeaderOnly, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse, SnapshotResponse, StatusResponse,
};
use super::{Etcd, STATUS, revision_of};
use crate::types::{LeaseId, Result, Revision, StoreError};

const ALARM: &str = "/etcdserverpb.Maintenance/Alarm";
const DEFRAGMENT: &str = "/etcdserverpb.Maintenance/Defragment";
const SNAPSHOT: &str = "/etcdserverpb.Maintenance/Snapshot";
const TIME_TO_LIVE: &str = "/etcdserverpb.Lease/LeaseTimeToLive";

/// A defragmentation stops its member for as long as it lasts.
const DEFRAGMENT_TIMEOUT: Duration = Duration::from_secs(600);
/// A snapshot may be large, but its pieces keep coming.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(30);
/// etcd ends a snapshot with the digest of the rest.
const DIGEST: usize = 32;

/// Whether the cluster serves, and what it complains of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    pub revision: Revision,
    /// A member's space is used up: writes are refused until somebody makes room and takes the alarm back.
    pub no_space: bool,
    /// A member's data is damaged.
    pub corrupt: bool,
}

/// One member, as it sees itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberStatus {
    pub endpoint: String,
    pub version: String,
    pub leader: bool,
    pub revision: Revision,
    pub size_bytes: u64,
    pub used_bytes: u64,
    pub errors: Vec<String>,
}

impl Etcd {
    /// A linearisable read and the list of alarms.
    pub async fn health(&self) -> Result<Health> {
        let revision = self.shared.ask_revision().await?;
        let answer: Result<AlarmResponse, Refusal> =
            self.shared.connection.call(Kind::Read, ALARM, AlarmRequest {}).await;
        let alarms = answer.map_err(|refusal| refusal.into_error(0))?.alarms;
        let no_space = alarms.iter().any(|a| a.alarm == ALARM_NOSPACE);
        let corrupt = alarms.iter().any(|a| a.alarm != ALARM_NOSPACE);
        Ok(Health { revision, no_space, corrupt })
    }

    /// The endpoint that calls go to now.
    pub fn endpoint(&self) -> &str {
        &self.shared.connection.current().endpoint
    }

    /// Every endpoint's own word, or why there was none.
    pub async fn members(&self) -> Vec<(String, Result<MemberStatus>)> {
        let limit = self.request_timeout();
        futures::future::join_all(
            self.shared.connection.members().iter().map(|member| ask_status(member, limit)),
        )
        .await
    }

    /// Gives back space, one member after another; each serves nothing meanwhile.
    pub async fn defragment(&self) -> Result<()> {
        for member in self.shared.connection.members() {
            let asked = member.unary::<_, HeaderOnly>(DEFRAGMENT, Empty {});
            timeout(DEFRAGMENT_TIMEOUT, asked)
                .await
                .map_err(|_| StoreError::Unavailable(format!("{} did not answer in time", member.endpoint)))?
                .map_err(|status| unavailable(&status))?;
        }
        Ok(())
    }

    /// What is left of a lease; `None` if there is no such lease.
    pub async fn remaining(&self, lease: LeaseId) -> Result<Option<Duration>> {
        let request = LeaseTimeToLiveRequest { id: lease.0 as i64 };
        let answer: Result<LeaseTimeToLiveResponse, Refusal> =
            self.shared.connection.call(Kind::Read, TIME_TO_LIVE, request).await;
        let ttl = answer.map_err(|refusal| refusal.into_error(0))?.ttl;
        Ok(u64::try_from(ttl).ok().map(Duration::from_secs))
    }

    pub(super) async fn save_snapshot(&self, to: &Path) -> Result<()> {
        let member = self.shared.connection.current();
        let failed =
            |source: io::Error| StoreError::Backend { tried: "write the snapshot", source: source.into() };
        let mut file = OpenOptions::new().write(true).create_new(true).open(to).await.map_err(failed)?;
        let written = copy(member, &mut file).await;
        match written {
            Ok(()) => file.sync_all().await.map_err(failed),
            Err(failure) => {
                // Half a snapshot is worse than none; that it stays is told by the error that is given anyway.
                let _ = tokio::fs::remove_file(to).await;
                Err(failure)
            }
        }
    }

    fn request_timeout(&self) -> Duration {
        self.shared.connection.timeout()
    }
}

/// Writes what the member sends, and compares its last bytes with the digest of the others.
async fn copy(member: &Member, file: &mut tokio::fs::File) -> Result<()> {
    let failed =
        |source: io::Error| StoreError::Backend { tried: "write the snapshot", source: source.into() };
    let asked = member.server_streaming::<_, SnapshotResponse>(SNAPSHOT, Empty {});
    let mut pieces = in_time(asked).await?;
    let mut digest = Sha256::new();
    let mut tail: Vec<u8> = Vec::new();
    while let Some(piece) = in_time(pieces.message()).await? {
        file.write_all(&piece.blob).await.map_err(failed)?;
        tail.extend_from_slice(&piece.blob);
        let known = tail.len().saturating_sub(DIGEST);
        digest.update(&tail[..known]);
        tail.drain(..known);
    }
    file.flush().await.map_err(failed)?;
    if digest.finalize()[..] == tail[..] {
        Ok(())
    } else {
        Err(StoreError::Unavailable("etcd: the snapshot arrived damaged".into()))
    }
}

async fn ask_status(member: &Member, limit: Duration) -> (String, Result<MemberStatus>) {
    let endpoint = member.endpoint.clone();
    let status = match timeout(limit, member.unary::<_, StatusResponse>(STATUS, Empty {})).await {
        Ok(Ok(status)) => Ok(member_status(endpoint.clone(), status)),
        Ok(Err(status)) => Err(unavailable(&status)),
        Err(_) => Err(StoreError::Unavailable("no answer in time".into())),
    };
    (endpoint, status)
}

async fn in_time<T>(work: impl Future<Output = Result<T, Status>>) -> Result<T> {
    match timeout(SNAPSHOT_TIMEOUT, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(status)) => Err(stream_error(&status)),
        Err(_) => Err(stream_error(&Status::new(Code::DeadlineExceeded, "no answer in time"))),
    }
}

fn member_status(endpoint: String, status: StatusResponse) -> MemberStatus {
    let own = status.header.as_ref().map_or(0, |h| h.member_id);
    MemberStatus {
        endpoint,
        leader: own != 0 && own == status.leader,
        revision: revision_of(status.header.as_ref()),
        version: status.version,
        size_bytes: status.db_size.max(0) as u64,
        used_bytes: status.db_size_in_use.max(0) as u64,
        errors: status.errors,
    }
}
