//! Whose objects these are: an owner adopts orphans that its selector selects, and lets go of its own that it no
//! longer selects.

use std::fmt::Debug;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector as TypedSelector;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client, Resource};
use oarlock_client::{controller_of, is_not_found, owner_reference};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::selectors;

/// What to do about one object.
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    Keep,
    Adopt,
    Release,
    Ignore,
}

/// `matches`: the owner selects the object; `adoptable`: it is worth having.
fn decide(owner: &ObjectMeta, object: &ObjectMeta, matches: bool, adoptable: bool) -> Claim {
    let deleting = owner.deletion_timestamp.is_some();
    match controller_of(object) {
        Some(controller) if Some(&controller.uid) != owner.uid.as_ref() => Claim::Ignore,
        Some(_) if matches => Claim::Keep,
        Some(_) if deleting => Claim::Ignore,
        Some(_) => Claim::Release,
        None if deleting || !matches || !adoptable => Claim::Ignore,
        None => Claim::Adopt,
    }
}

/// The objects among `candidates` that are the owner's, after adoption and release.
pub(crate) async fn claim<O, C>(
    client: &Client,
    owner: &O,
    selector: Option<&TypedSelector>,
    candidates: Vec<Arc<C>>,
    adoptable: impl Fn(&C) -> bool,
) -> kube::Result<Vec<Arc<C>>>
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
    C: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    // An empty or broken selector, which validation refuses, must not adopt a whole namespace.
    let selector = selector.filter(|selector| !selectors::is_empty(selector));
    let Some(matcher) = selector.and_then(|selector| selectors::matcher(Some(selector)).ok()) else {
        return Ok(vec![]);
    };
    let mut owned = vec![];
    let mut may_adopt = None;
    for object in candidates {
        let matches = matcher.matches(&object.meta().labels);
        match decide(owner.meta(), object.meta(), matches, adoptable(&object)) {
            Claim::Keep => owned.push(object),
            Claim::Adopt => {
                if may_adopt.is_none() {
                    may_adopt = Some(still_there(client, owner).await?);
                }
                let reference = json!(owner_reference(owner));
                if may_adopt == Some(true) && patch_owner(client, &*object, reference).await? {
                    owned.push(object);
                }
            }
            Claim::Release => {
                let reference = json!({"$patch": "delete", "uid": owner.meta().uid});
                patch_owner(client, &*object, reference).await?;
            }
            Claim::Ignore => {}
        }
    }
    Ok(owned)
}

/// Asks the API, not the cache: an owner that is being deleted must not adopt.
async fn still_there<O>(client: &Client, owner: &O) -> kube::Result<bool>
where
    O: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let meta = owner.meta();
    let api: Api<O> = Api::namespaced(client.clone(), meta.namespace.as_deref().unwrap_or_default());
    let live = api.get_opt(meta.name.as_deref().unwrap_or_default()).await?;
    Ok(live.is_some_and(|live| live.meta().uid == meta.uid && live.meta().deletion_timestamp.is_none()))
}

/// Says whether the object was still there.
async fn patch_owner<C>(client: &Client, object: &C, reference: Value) -> kube::Result<bool>
where
    C: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + DeserializeOwned + Debug,
{
    let meta = object.meta();
    let api: Api<C> = Api::namespaced(client.clone(), meta.namespace.as_deref().unwrap_or_default());
    let patch = json!({"metadata": {"uid": meta.uid, "ownerReferences": [reference]}});
    let name = meta.name.as_deref().unwrap_or_default();
    match api.patch(name, &PatchParams::default(), &Patch::Strategic(patch)).await {
        Ok(_) => Ok(true),
        Err(error) if is_not_found(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};

    #[test]
    fn an_owner_claims_what_it_selects() {
        let owner = |deleting: bool| ObjectMeta {
            uid: Some("me".into()),
            deletion_timestamp: deleting.then_some(Time(jiff::Timestamp::UNIX_EPOCH)),
            ..ObjectMeta::default()
        };
        let object = |controller: &str| {
            let reference = OwnerReference {
                uid: controller.into(),
                controller: Some(true),
                ..OwnerReference::default()
            };
            let references = (!controller.is_empty()).then(|| vec![reference]);
            ObjectMeta { owner_references: references, ..ObjectMeta::default() }
        };
        for (deleting, controller, matches, adoptable, expected) in [
            (false, "me", true, true, Claim::Keep),
            (true, "me", true, true, Claim::Keep),
            (false, "me", false, true, Claim::Release),
            (true, "me", false, true, Claim::Ignore),
            (false, "other", true, true, Claim::Ignore),
            (false, "", true, true, Claim::Adopt),
            (false, "", true, false, Claim::Ignore),
            (false, "", false, true, Claim::Ignore),
            (true, "", true, true, Claim::Ignore),
        ] {
            assert_eq!(decide(&owner(deleting), &object(controller), matches, adoptable), expected);
        }
    }
}
