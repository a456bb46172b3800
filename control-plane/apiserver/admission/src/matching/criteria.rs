//! All that must hold for a request to be meant: rules, exclusions, selectors; in the request's own version, or where
//! the match policy is Equivalent, in any version of the same objects. (`plugin/policy/matching`)

use std::cell::OnceCell;
use std::sync::Arc;

use oarlock_api::selector::LabelSelector;
use oarlock_api::{GroupResource, GroupVersionKind, GroupVersionResource, Status};
use oarlock_apiserver_access::{Objects, Operation, ServedResource, Surface};
use serde_json::Value;

use super::Rule;
use crate::facts::Facts;
use crate::value::items;

/// A selector, or why it cannot be read (which the requests that it is for are told).
type Selector = Result<LabelSelector, String>;

/// What a webhook or a policy was matched as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Matched {
    pub(crate) resource: GroupVersionResource,
    pub(crate) kind: GroupVersionKind,
}

/// The `MatchResources` of a policy or binding, or the same fields of a webhook, read once.
#[derive(Debug, Clone)]
pub(crate) struct Criteria {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// Without rules: everything (policies), or nothing (webhooks).
    empty_means_all: bool,
    equivalent: bool,
    namespaces: Selector,
    objects: Selector,
}

/// What is matched, looked at once for all that match it.
pub(crate) struct Subjects<'a> {
    facts: &'a Facts<'a>,
    surface: &'a dyn Surface,
    equivalents: OnceCell<Vec<ServedResource>>,
}

impl<'a> Subjects<'a> {
    pub(crate) fn new(facts: &'a Facts<'a>, surface: &'a dyn Surface) -> Self {
        Self { facts, surface, equivalents: OnceCell::new() }
    }

    /// The other versions of the same objects.
    fn equivalents(&self) -> impl Iterator<Item = &ServedResource> {
        let all = self.equivalents.get_or_init(|| self.surface.equivalents(self.facts.resource));
        all.iter().filter(|served| served.resource != *self.facts.resource)
    }

    /// The kind that an equivalent resource's request would have had: a subresource's kind (Scale) is its own.
    fn kind_of(&self, equivalent: &ServedResource) -> GroupVersionKind {
        let own = self.surface.resource(self.facts.resource);
        if own.is_some_and(|own| own.kind == *self.facts.kind) {
            equivalent.kind.clone()
        } else {
            self.facts.kind.clone()
        }
    }
}

fn selector(value: &Value) -> Selector {
    if value.is_null() {
        return Ok(LabelSelector::everything());
    }
    LabelSelector::from_value(value).map_err(|e| e.to_string())
}

fn rules(value: &Value, field: &str) -> Vec<Rule> {
    items(value, &[field]).iter().map(Rule::of).collect()
}

impl Criteria {
    pub(crate) fn of_webhook(hook: &Value) -> Self {
        Self { rules: rules(hook, "rules"), empty_means_all: false, ..Self::of_resources(hook) }
    }

    pub(crate) fn of_resources(value: &Value) -> Self {
        Self {
            rules: rules(value, "resourceRules"),
            excluded: rules(value, "excludeResourceRules"),
            empty_means_all: true,
            equivalent: value["matchPolicy"] != "Exact",
            namespaces: selector(&value["namespaceSelector"]),
            objects: selector(&value["objectSelector"]),
        }
    }

    /// By rules alone.
    fn ruled(&self, rules: &[Rule], subjects: &Subjects<'_>) -> Option<Matched> {
        let facts = subjects.facts;
        if rules.iter().any(|rule| rule.matches(facts, facts.resource)) {
            return Some(Matched { resource: facts.resource.clone(), kind: facts.kind.clone() });
        }
        if !self.equivalent || !rules.iter().any(|rule| rule.may_match(facts)) {
            return None;
        }
        // Earlier rules come first.
        rules.iter().find_map(|rule| {
            let fits = subjects.equivalents().find(|other| rule.matches(facts, &other.resource))?;
            Some(Matched { resource: fits.resource.clone(), kind: subjects.kind_of(fits) })
        })
    }

    /// How the request is meant, if it is. Rules come before selectors: they cost the least and decide the most.
    /// `object` is the object as it is now, after what was mutated before.
    pub(crate) fn by_rules(&self, subjects: &Subjects<'_>) -> Option<Matched> {
        if !self.excluded.is_empty() && self.ruled(&self.excluded, subjects).is_some() {
            return None;
        }
        if self.rules.is_empty() && self.empty_means_all {
            let facts = subjects.facts;
            return Some(Matched { resource: facts.resource.clone(), kind: facts.kind.clone() });
        }
        self.ruled(&self.rules, subjects)
    }

    /// New or old object bears the labels.
    pub(crate) fn by_object(&self, object: Option<&Value>, old: Option<&Value>) -> Result<bool, Status> {
        let selector = self.objects.as_ref().map_err(Status::internal)?;
        let fits = |object: Option<&Value>| {
            object.is_some_and(|object| object["metadata"].is_object() && selector.matches_object(object))
        };
        Ok(selector.is_everything() || fits(object) || fits(old))
    }

    /// Whether the namespace's labels matter at all.
    pub(crate) fn looks_at_namespace(&self, facts: &Facts<'_>) -> bool {
        let all = self.namespaces.as_ref().is_ok_and(LabelSelector::is_everything);
        !(all || facts.namespace.is_empty() && !facts.is_namespace())
    }

    pub(crate) fn by_namespace(&self, namespace: &Value) -> Result<bool, Status> {
        let selector = self.namespaces.as_ref().map_err(Status::internal)?;
        Ok(selector.matches_object(namespace))
    }

    /// Everything together.
    pub(crate) async fn matches(
        &self,
        facts: &Facts<'_>,
        matched: Option<Matched>,
        objects: &dyn Objects,
        (object, old): (Option<&Value>, Option<&Value>),
    ) -> Result<Option<Matched>, Status> {
        if matched.is_none() || !self.by_object(object, old)? {
            return Ok(None);
        }
        if self.looks_at_namespace(facts) {
            let fits = match own_namespace(facts, object) {
                Some(namespace) => self.by_namespace(namespace)?,
                None => self.by_namespace(&*namespace(objects, &facts.namespace).await?)?,
            };
            if !fits {
                return Ok(None);
            }
        }
        Ok(matched)
    }
}

/// A namespace that is being written is newer in the request than in the cache.
fn own_namespace<'v>(facts: &Facts<'_>, object: Option<&'v Value>) -> Option<&'v Value> {
    let written = matches!(facts.operation, Operation::Create | Operation::Update);
    object.filter(|_| facts.is_namespace() && facts.subresource.is_empty() && written)
}

/// A namespace from the cache, or if it is not there (yet), from the store.
pub(crate) async fn namespace(objects: &dyn Objects, name: &str) -> Result<Arc<Value>, Status> {
    let resource = GroupResource::new("", "namespaces");
    if let Some(found) = objects.get(&resource, "", name) {
        return Ok(found);
    }
    match objects.get_fresh(&resource, "", name).await? {
        Some(found) => Ok(found),
        None => Err(Status::not_found(&resource, name)),
    }
}
