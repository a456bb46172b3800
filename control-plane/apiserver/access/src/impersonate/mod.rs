//! Acting as somebody else: the `Impersonate-*` headers, what the caller must be allowed to do for them, and who the
//! request then is.

mod modes;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;
use oarlock_api::Status;

use crate::authorization::forbidden;
use crate::names::{
    ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, service_account_groups, split_service_account,
};
use crate::types::{Attributes, Authorizer, Decision, User};

pub use modes::{Impersonated, Impersonator};

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA_PREFIX: &str = "impersonate-extra-";

/// A wish to act as `user`; each of `checks` must be allowed.
#[derive(Debug)]
pub struct Impersonation {
    pub checks: Vec<Attributes>,
    pub user: Arc<User>,
}

/// Who the headers ask to be, as they say it: nothing is filled in. `None`: they do not ask.
fn wanted(headers: &HeaderMap) -> Option<User> {
    let one = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_string();
    let groups = headers.get_all(GROUP).iter().filter_map(|v| v.to_str().ok()).map(str::to_string).collect();
    let user = User { name: one(USER), uid: one(UID), groups, extra: extra_of(headers) };
    (user != User::default()).then_some(user)
}

/// Reads the headers. `None`: there are none. Fails where they are without a user.
pub fn parse(headers: &HeaderMap, caller: &Arc<User>) -> Result<Option<Impersonation>, Status> {
    let Some(User { name, uid, mut groups, extra }) = wanted(headers) else { return Ok(None) };
    if name.is_empty() {
        return Err(Status::internal(format!(
            "requested {}, {}, {} without impersonating a user",
            crate::value::quoted(&groups),
            crate::value::quoted(&[&uid]),
            crate::value::quoted(&extra.keys().collect::<Vec<_>>()),
        )));
    }
    let checks = checks(caller, &name, &uid, &groups, &extra);
    complete_groups(&name, &mut groups);
    Ok(Some(Impersonation { checks, user: Arc::new(User { name, uid, groups, extra }) }))
}

/// [`parse`], then asks whether the caller may; gives the user to go on with, or the refusal.
pub async fn impersonate(
    headers: &HeaderMap,
    caller: &Arc<User>,
    authorizer: &dyn Authorizer,
) -> Result<Option<Arc<User>>, Status> {
    let Some(wish) = parse(headers, caller)? else { return Ok(None) };
    for check in &wish.checks {
        match authorizer.authorize(check).await {
            Decision::Allow(_) => {}
            Decision::Deny(reason) | Decision::NoOpinion(reason) => return Err(forbidden(check, &reason)),
        }
    }
    Ok(Some(wish.user))
}

fn extra_of(headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        // Header names are lower case here, as upstream makes the keys.
        let Some(key) = name.as_str().strip_prefix(EXTRA_PREFIX) else { continue };
        extra.entry(unescape(key)).or_default().push(value.to_str().unwrap_or_default().to_string());
    }
    extra
}

/// Percent-decoding; a key that is not well encoded is taken as it is.
pub(crate) fn unescape(key: &str) -> String {
    let mut out = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            out.push(byte);
            rest = after;
            continue;
        }
        let Some(decoded) = after.get(..2).and_then(|two| hex::decode(two).ok()) else {
            return key.to_string();
        };
        out.extend(decoded);
        rest = &after[2..];
    }
    String::from_utf8(out).unwrap_or_else(|_| key.to_string())
}

fn checks(
    caller: &Arc<User>,
    name: &str,
    uid: &str,
    groups: &[String],
    extra: &BTreeMap<String, Vec<String>>,
) -> Vec<Attributes> {
    let ask = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| Attributes {
        group: group.into(),
        version: "v1".into(),
        resource: resource.into(),
        subresource: subresource.into(),
        namespace: namespace.into(),
        name: name.into(),
        ..Attributes::of_resources(caller.clone(), "impersonate")
    };
    let mut checks = vec![match split_service_account(name) {
        Some((namespace, name)) => ask("", "serviceaccounts", "", namespace, name),
        None => ask("", "users", "", "", name),
    }];
    checks.extend(groups.iter().map(|group| ask("", "groups", "", "", group)));
    for (key, values) in extra {
        checks.extend(values.iter().map(|value| ask("authentication.k8s.io", "userextras", key, "", value)));
    }
    if !uid.is_empty() {
        checks.push(ask("authentication.k8s.io", "uids", "", "", uid));
    }
    checks
}

/// The groups that authentication would have given.
fn complete_groups(name: &str, groups: &mut Vec<String>) {
    if groups.is_empty()
        && let Some((namespace, _)) = split_service_account(name)
    {
        groups.extend(service_account_groups(namespace));
    }
    let (wanted, other) =
        if name == ANONYMOUS { (UNAUTHENTICATED, AUTHENTICATED) } else { (AUTHENTICATED, UNAUTHENTICATED) };
    let has = |groups: &[String], wanted: &str| groups.iter().any(|g| g == wanted);
    if !has(groups, wanted) && (name == ANONYMOUS || !has(groups, other)) {
        groups.push(wanted.into());
    }
}

#[cfg(test)]
mod tests;
