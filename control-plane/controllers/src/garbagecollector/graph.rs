//! Who owns whom. Pure: changes of objects go in, the looks that they call for come out.
//!
//! An owner that is referred to and has not been seen is *virtual*: it gets a look, which either finds it or lets its
//! dependents go.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::ObjectMeta;

pub(super) type Uid = Arc<str>;

/// What kind of look an object needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Look {
    /// Should it be there?
    Delete,
    /// It goes, and its dependents are to stay.
    Orphan,
}

/// How the API calls an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) api_version: Arc<str>,
    pub(super) kind: Arc<str>,
    /// Empty for cluster-scoped objects.
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Debug)]
struct Node {
    identity: Identity,
    owners: Vec<OwnerReference>,
    dependents: HashSet<Uid>,
    /// Known from references only.
    is_virtual: bool,
    being_deleted: bool,
    /// Being deleted in the foreground: it waits for its dependents.
    deleting_dependents: bool,
}

/// What a look needs to know of an object.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) identity: Identity,
    pub(super) is_virtual: bool,
    pub(super) being_deleted: bool,
    pub(super) deleting_dependents: bool,
    pub(super) dependents: Vec<Dependent>,
}

#[derive(Debug, Clone)]
pub(super) struct Dependent {
    pub(super) uid: Uid,
    pub(super) identity: Identity,
    /// Its reference to the owner has `blockOwnerDeletion`.
    pub(super) blocks: bool,
    pub(super) being_deleted: bool,
    pub(super) deleting_dependents: bool,
}

#[derive(Debug, Default)]
pub(super) struct Graph {
    nodes: HashMap<Uid, Node>,
}

fn has_finalizer(meta: &ObjectMeta, finalizer: &str) -> bool {
    meta.finalizers.iter().flatten().any(|known| known == finalizer)
}

impl Graph {
    /// An object is there, new or changed.
    pub(super) fn upsert(&mut self, uid: &str, identity: Identity, meta: &ObjectMeta) -> Vec<(Look, Uid)> {
        let uid: Uid = uid.into();
        let owners = meta.owner_references.clone().unwrap_or_default();
        let being_deleted = meta.deletion_timestamp.is_some();
        let foreground = being_deleted && has_finalizer(meta, "foregroundDeletion");
        let mut looks = vec![];
        let old_owners = match self.nodes.get_mut(&uid) {
            Some(node) => {
                node.is_virtual = false;
                node.identity = identity;
                std::mem::replace(&mut node.owners, owners.clone())
            }
            None => {
                self.nodes.insert(uid.clone(), Node::new(identity, owners.clone(), false));
                vec![]
            }
        };
        self.relink(&uid, &old_owners, &owners, &mut looks);
        let node = self.nodes.get_mut(&uid).expect("it is there since above");
        let starts_waiting = foreground && !node.deleting_dependents;
        node.being_deleted = being_deleted;
        node.deleting_dependents |= foreground;
        if being_deleted && has_finalizer(meta, "orphan") {
            looks.push((Look::Orphan, uid.clone()));
        } else if starts_waiting {
            // The dependents first; the last of them to go brings the owner back.
            looks.extend(node.dependents.iter().map(|dependent| (Look::Delete, dependent.clone())));
            looks.push((Look::Delete, uid));
        }
        looks
    }

    /// An object is gone.
    pub(super) fn remove(&mut self, uid: &str) -> Vec<(Look, Uid)> {
        let Some((uid, node)) = self.nodes.remove_entry(uid) else { return vec![] };
        let mut looks: Vec<_> =
            node.dependents.into_iter().map(|dependent| (Look::Delete, dependent)).collect();
        self.relink(&uid, &node.owners, &[], &mut looks);
        looks
    }

    /// Follows a change of an object's owners.
    fn relink(
        &mut self,
        uid: &Uid,
        old: &[OwnerReference],
        new: &[OwnerReference],
        looks: &mut Vec<(Look, Uid)>,
    ) {
        for owner in new {
            self.link(uid, owner, looks);
        }
        for before in old {
            let now = new.iter().find(|owner| owner.uid == before.uid);
            let released = before.block_owner_deletion == Some(true)
                && now.is_none_or(|now| now.block_owner_deletion != Some(true));
            let Some((owner_uid, owner)) = self.nodes.get_key_value(before.uid.as_str()) else { continue };
            let waits = owner.deleting_dependents;
            let (owner_uid, lone) = (owner_uid.clone(), owner.is_virtual);
            if now.is_none() {
                let owner = self.nodes.get_mut(&owner_uid).expect("it was just found");
                owner.dependents.remove(uid);
                if lone && owner.dependents.is_empty() {
                    self.nodes.remove(&owner_uid);
                }
            }
            if waits && (released || now.is_none()) {
                looks.push((Look::Delete, owner_uid));
            }
        }
    }

    fn link(&mut self, uid: &Uid, owner: &OwnerReference, looks: &mut Vec<(Look, Uid)>) {
        if owner.uid.is_empty() {
            return;
        }
        if let Some(known) = self.nodes.get_mut(owner.uid.as_str()) {
            known.dependents.insert(uid.clone());
            if known.deleting_dependents {
                looks.push((Look::Delete, uid.clone()));
            }
            return;
        }
        let namespace = self.nodes.get(uid).map(|node| node.identity.namespace.clone()).unwrap_or_default();
        let identity = Identity {
            api_version: owner.api_version.as_str().into(),
            kind: owner.kind.as_str().into(),
            namespace,
            name: owner.name.clone(),
        };
        let mut node = Node::new(identity, vec![], true);
        node.dependents.insert(uid.clone());
        let owner_uid: Uid = owner.uid.as_str().into();
        self.nodes.insert(owner_uid.clone(), node);
        looks.push((Look::Delete, owner_uid));
    }

    /// The object and its dependents, as they are known now.
    pub(super) fn seen(&self, uid: &str) -> Option<Seen> {
        let node = self.nodes.get(uid)?;
        let dependents = node.dependents.iter().filter_map(|dependent| {
            let (dependent_uid, known) = self.nodes.get_key_value(dependent)?;
            let reference = known.owners.iter().find(|owner| owner.uid == *uid);
            Some(Dependent {
                uid: dependent_uid.clone(),
                identity: known.identity.clone(),
                blocks: reference.is_some_and(|owner| owner.block_owner_deletion == Some(true)),
                being_deleted: known.being_deleted,
                deleting_dependents: known.deleting_dependents,
            })
        });
        Some(Seen {
            identity: node.identity.clone(),
            is_virtual: node.is_virtual,
            being_deleted: node.being_deleted,
            deleting_dependents: node.deleting_dependents,
            dependents: dependents.collect(),
        })
    }
}

impl Node {
    fn new(identity: Identity, owners: Vec<OwnerReference>, is_virtual: bool) -> Self {
        Self {
            identity,
            owners,
            dependents: HashSet::new(),
            is_virtual,
            being_deleted: false,
            deleting_dependents: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn identity(name: &str) -> Identity {
        Identity { api_version: "v1".into(), kind: "Thing".into(), namespace: "a".into(), name: name.into() }
    }

    fn owned_by(owners: &[(&str, bool)]) -> ObjectMeta {
        let reference = |(uid, blocks): &(&str, bool)| OwnerReference {
            uid: (*uid).into(),
            name: (*uid).into(),
            block_owner_deletion: Some(*blocks),
            ..OwnerReference::default()
        };
        ObjectMeta { owner_references: Some(owners.iter().map(reference).collect()), ..ObjectMeta::default() }
    }

    fn deleting(finalizer: &str) -> ObjectMeta {
        ObjectMeta {
            deletion_timestamp: Some(Time(jiff::Timestamp::UNIX_EPOCH)),
            finalizers: Some(vec![finalizer.into()]),
            ..ObjectMeta::default()
        }
    }

    fn shown(mut looks: Vec<(Look, Uid)>) -> String {
        looks.sort_by_key(|(look, uid)| (uid.clone(), format!("{look:?}")));
        looks.dedup();
        looks.iter().map(|(look, uid)| format!("{look:?} {uid}")).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn an_unknown_owner_is_looked_for_until_it_is_seen() {
        let mut graph = Graph::default();
        assert_eq!(shown(graph.upsert("pod", identity("pod"), &owned_by(&[("set", true)]))), "Delete set");
        assert!(graph.seen("set").is_some_and(|seen| seen.is_virtual));
        assert_eq!(shown(graph.upsert("set", identity("set"), &ObjectMeta::default())), "");
        let seen = graph.seen("set").expect("is known");
        assert!(!seen.is_virtual && seen.dependents[0].blocks);
        assert_eq!(shown(graph.remove("set")), "Delete pod");
    }

    #[test]
    fn a_foreground_deletion_starts_with_the_dependents_and_ends_with_the_owner() {
        let mut graph = Graph::default();
        graph.upsert("set", identity("set"), &ObjectMeta::default());
        graph.upsert("a", identity("a"), &owned_by(&[("set", true)]));
        graph.upsert("b", identity("b"), &owned_by(&[("set", false)]));
        assert_eq!(
            shown(graph.upsert("set", identity("set"), &deleting("foregroundDeletion"))),
            "Delete a, Delete b, Delete set"
        );
        assert!(graph.seen("set").is_some_and(|seen| seen.deleting_dependents));
        assert_eq!(shown(graph.remove("a")), "Delete set");
        assert_eq!(shown(graph.upsert("b", identity("b"), &ObjectMeta::default())), "Delete set");
        assert!(graph.seen("set").is_some_and(|seen| seen.dependents.is_empty()));
    }

    #[test]
    fn orphans_are_let_go() {
        let mut graph = Graph::default();
        graph.upsert("set", identity("set"), &ObjectMeta::default());
        assert_eq!(shown(graph.upsert("set", identity("set"), &deleting("orphan"))), "Orphan set");
    }

    #[test]
    fn a_virtual_owner_without_dependents_is_forgotten() {
        let mut graph = Graph::default();
        graph.upsert("pod", identity("pod"), &owned_by(&[("set", true)]));
        graph.upsert("pod", identity("pod"), &ObjectMeta::default());
        assert!(graph.seen("set").is_none());
    }
}
