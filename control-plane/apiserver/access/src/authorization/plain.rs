//! AlwaysAllow, AlwaysDeny, and ABAC: authorisers that read no objects.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::types::{Attributes, Authorizer, Decision, Rules, User};
use crate::value::text;

pub struct AlwaysAllow;

#[async_trait]
impl Authorizer for AlwaysAllow {
    async fn authorize(&self, _attributes: &Attributes) -> Decision {
        Decision::Allow(String::new())
    }

    async fn rules_for(&self, _user: &User, _namespace: &str) -> Rules {
        Rules {
            resource_rules: vec![json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})],
            non_resource_rules: vec![json!({"verbs": ["*"], "nonResourceURLs": ["*"]})],
            ..Rules::default()
        }
    }
}

pub struct AlwaysDeny;

#[async_trait]
impl Authorizer for AlwaysDeny {
    async fn authorize(&self, _attributes: &Attributes) -> Decision {
        Decision::NoOpinion("Everything is forbidden.".into())
    }

    async fn rules_for(&self, _user: &User, _namespace: &str) -> Rules {
        Rules::default()
    }
}

/// Attribute-based access control: a policy a line, of which one must fit.
#[derive(Debug)]
pub struct Abac {
    policies: Vec<Policy>,
}

#[derive(Debug, Clone)]
struct Policy {
    user: String,
    group: String,
    readonly: bool,
    api_group: String,
    namespace: String,
    resource: String,
    path: String,
}

impl Abac {
    /// The policy file: JSON objects, one a line; `#` begins a comment.
    pub fn parse(file: &str) -> Result<Self, Vec<String>> {
        let (mut policies, mut faults) = (Vec::new(), Vec::new());
        for (i, line) in file.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            match serde_json::from_str(line).map_err(|error| error.to_string()).and_then(|v| Policy::read(&v))
            {
                Ok(policy) => policies.push(policy),
                Err(why) => faults.push(format!("error reading policy file, line {}: {line}: {why}", i + 1)),
            }
        }
        if faults.is_empty() { Ok(Self { policies }) } else { Err(faults) }
    }
}

impl Policy {
    fn read(value: &Value) -> Result<Self, String> {
        let kind = (text(value, &["apiVersion"]), text(value, &["kind"]));
        if kind != ("abac.authorization.kubernetes.io/v1beta1", "Policy") {
            return Err(format!("no kind {:?} is registered for version {:?}", kind.1, kind.0));
        }
        let of = |field: &str| text(value, &["spec", field]).to_string();
        Ok(Self {
            user: of("user"),
            group: of("group"),
            readonly: value["spec"]["readonly"] == true,
            api_group: of("apiGroup"),
            namespace: of("namespace"),
            resource: of("resource"),
            path: of("nonResourcePath"),
        })
    }

    /// Whom it is about; one about nobody is about nobody.
    fn is_about(&self, user: &User) -> bool {
        let (by_user, by_group) = (!self.user.is_empty(), !self.group.is_empty());
        let user_fits = self.user == "*" || self.user == user.name;
        let group_fits = self.group == "*" || user.groups.contains(&self.group);
        (by_user || by_group) && (!by_user || user_fits) && (!by_group || group_fits)
    }

    fn allows(&self, asked: &Attributes) -> bool {
        let reads = matches!(asked.verb.as_str(), "get" | "list" | "watch");
        if !self.is_about(&asked.user) || (self.readonly && !reads) {
            return false;
        }
        let fits = |policy: &str, asked: &str| policy == "*" || policy == asked;
        if !asked.resource_request {
            return match self.path.strip_suffix('*') {
                Some(prefix) => asked.path.starts_with(prefix),
                None => self.path == asked.path && !self.path.is_empty(),
            };
        }
        !self.resource.is_empty()
            && fits(&self.namespace, &asked.namespace)
            && fits(&self.resource, &asked.resource)
            && fits(&self.api_group, &asked.group)
    }
}

#[async_trait]
impl Authorizer for Abac {
    async fn authorize(&self, attributes: &Attributes) -> Decision {
        if self.policies.iter().any(|policy| policy.allows(attributes)) {
            Decision::Allow(String::new())
        } else {
            Decision::NoOpinion("No policy matched.".into())
        }
    }

    async fn rules_for(&self, user: &User, namespace: &str) -> Rules {
        let mut rules = Rules::default();
        for policy in self.policies.iter().filter(|policy| policy.is_about(user)) {
            let verbs = if policy.readonly { json!(["get", "list", "watch"]) } else { json!(["*"]) };
            if !policy.resource.is_empty() && (policy.namespace == "*" || policy.namespace == namespace) {
                rules.resource_rules.push(
                    json!({"verbs": verbs, "apiGroups": [policy.api_group], "resources": [policy.resource]}),
                );
            }
            if !policy.path.is_empty() {
                rules.non_resource_rules.push(json!({"verbs": verbs, "nonResourceURLs": [policy.path]}));
            }
        }
        rules
    }
}
