//! etcd's events as ours: one batch per revision, in order, nothing twice.

use super::keys::{Keys, is_progress};
use super::wire;
use crate::types::{Event, EventKind, KeyValue, LeaseId, Revision, WatchBatch};

pub(super) fn key_value(kv: wire::KeyValue, keys: &Keys) -> KeyValue {
    KeyValue {
        key: keys.inward(kv.key),
        value: kv.value,
        create_revision: Revision(kv.create_revision.max(0) as u64),
        mod_revision: Revision(kv.mod_revision.max(0) as u64),
        lease: (kv.lease != 0).then_some(LeaseId(kv.lease as u64)),
    }
}

/// The events above `reached`. A progress key's change is a batch without events.
pub(super) fn split(events: Vec<wire::Event>, reached: Revision, keys: &Keys) -> Vec<WatchBatch> {
    let mut batches: Vec<WatchBatch> = Vec::new();
    for event in events {
        let Some(kv) = event.kv else { continue };
        let revision = Revision(kv.mod_revision.max(0) as u64);
        if revision <= reached {
            continue;
        }
        let own = (!is_progress(&kv.key)).then(|| translate(event.kind, kv, keys));
        match batches.last_mut() {
            Some(batch) if batch.revision == revision => batch.events.extend(own),
            _ => batches.push(WatchBatch { revision, events: own.into_iter().collect() }),
        }
    }
    batches
}

fn translate(kind: i32, kv: wire::KeyValue, keys: &Keys) -> Event {
    let now = key_value(kv, keys);
    let kind = if kind == wire::DELETE {
        EventKind::Delete
    } else if now.create_revision == now.mod_revision {
        EventKind::Create
    } else {
        EventKind::Update
    };
    Event { kind, now }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn event(kind: i32, key: &str, create: i64, revision: i64) -> wire::Event {
        let kv = wire::KeyValue {
            key: Bytes::from(key.to_owned()),
            create_revision: create,
            mod_revision: revision,
            ..Default::default()
        };
        wire::Event { kind, kv: Some(kv) }
    }

    #[test]
    fn revisions_stay_whole_and_progress_is_an_empty_batch() {
        let events = vec![
            event(0, "/a", 2, 2),
            event(0, "/a", 2, 3),
            event(0, "/b", 3, 3),
            event(0, "/\x01oarlock-progress", 4, 4),
            event(wire::DELETE, "/a", 0, 5),
        ];
        let batches = split(events, Revision(2), &Keys::new("/registry"));
        let seen: Vec<(u64, Vec<EventKind>)> = batches
            .into_iter()
            .map(|b| (b.revision.0, b.events.into_iter().map(|e| e.kind).collect()))
            .collect();
        assert_eq!(
            seen,
            [(3, vec![EventKind::Update, EventKind::Create]), (4, vec![]), (5, vec![EventKind::Delete])]
        );
    }
}
