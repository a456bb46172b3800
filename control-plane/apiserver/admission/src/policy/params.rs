//! The params of a binding: one object by name, several by labels, or none. (`policy/generic.CollectParams`)

use std::borrow::Cow;
use std::sync::Arc;

use oarlock_api::selector::LabelSelector;
use oarlock_api::{GroupVersionKind, meta};
use serde_json::Value;

use crate::World;
use crate::value::text;

/// `paramRef`
pub(super) struct ParamRef {
    name: String,
    namespace: String,
    selector: Option<Result<LabelSelector, String>>,
    /// `parameterNotFoundAction: Deny`
    deny_without: bool,
}

impl ParamRef {
    pub(super) fn of(value: &Value) -> Option<Self> {
        value.is_object().then(|| Self {
            name: text(value, &["name"]).to_string(),
            namespace: text(value, &["namespace"]).to_string(),
            selector: value["selector"]
                .is_object()
                .then(|| LabelSelector::from_value(&value["selector"]).map_err(|e| e.to_string())),
            deny_without: value["parameterNotFoundAction"] == "Deny",
        })
    }
}

/// Once for each that is given; a policy without params is evaluated once, with none. `namespace` is the request's.
pub(super) async fn collect(
    world: &World,
    kind: Option<&GroupVersionKind>,
    wanted: Option<&ParamRef>,
    namespace: &str,
) -> Result<Vec<Option<Arc<Value>>>, String> {
    let (Some(kind), Some(wanted)) = (kind, wanted) else { return Ok(vec![None]) };
    let Some(served) = world.surface.resource_of_kind(kind) else {
        return Err(format!("failed to find resource referenced by paramKind: '{kind}'"));
    };
    let namespace = match (served.namespaced, wanted.namespace.as_str()) {
        (true, "") if namespace.is_empty() => {
            return Err(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                    .into(),
            );
        }
        (true, "") => namespace,
        (true, own) => own,
        (false, "") => "",
        (false, _) => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into());
        }
    };
    let resource = served.resource.group_resource();
    let found = match (wanted.name.as_str(), &wanted.selector) {
        ("", None) => return Err("one of name or selector must be provided".into()),
        ("", Some(selector)) => {
            let selector = selector.as_ref().map_err(Clone::clone)?;
            let mut all = world.objects.list(&resource, namespace);
            all.retain(|object| selector.matches_object(object));
            all
        }
        (_, Some(_)) => return Err("paramRef.name and paramRef.selector are mutually exclusive".into()),
        // An object that was just made may not be in the cache yet.
        (name, None) => match world.objects.get(&resource, namespace, name) {
            Some(found) => vec![found],
            None => {
                let fresh = world.objects.get_fresh(&resource, namespace, name).await;
                fresh.map_err(|status| status.message)?.into_iter().collect()
            }
        },
    };
    if found.is_empty() && wanted.deny_without {
        return Err("no params found for policy binding with `Deny` parameterNotFoundAction".into());
    }
    let mut params = Vec::with_capacity(found.len());
    for param in found {
        let param = in_version(world, param, kind).await?;
        params.push(Some(match world.seen(kind, &param) {
            Cow::Owned(seen) => Arc::new(seen),
            Cow::Borrowed(_) => param,
        }));
    }
    Ok(params)
}

/// The cache has objects in the version that they are stored in.
async fn in_version(world: &World, param: Arc<Value>, kind: &GroupVersionKind) -> Result<Arc<Value>, String> {
    let stored = meta::gvk(&param);
    if stored == *kind || stored.kind.is_empty() {
        return Ok(param);
    }
    let converted = world.surface.convert((*param).clone(), kind).await;
    converted.map(Arc::new).map_err(|status| status.message)
}
