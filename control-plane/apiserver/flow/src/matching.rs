//! Whether a FlowSchema is for a request.

use oarlock_api::User;
use serde_json::Value;

/// What classification looks at.
#[derive(Debug, Clone, Copy)]
pub struct Digest<'a> {
    pub user: &'a User,
    pub resource_request: bool,
    pub verb: &'a str,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub path: &'a str,
}

/// A list in which `*` means everything.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    All,
    Of(Box<[Box<str>]>),
}

impl Names {
    fn read(list: &Value) -> Self {
        let names: Vec<Box<str>> =
            list.as_array().into_iter().flatten().filter_map(Value::as_str).map(Into::into).collect();
        if names.iter().any(|name| &**name == "*") { Self::All } else { Self::Of(names.into()) }
    }

    fn any(&self, fits: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::All => true,
            Self::Of(names) => names.iter().any(|name| fits(name)),
        }
    }

    fn has(&self, wanted: &str) -> bool {
        self.any(|name| name == wanted)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    AnyUser,
    User(Box<str>),
    AnyGroup,
    Group(Box<str>),
    /// `system:serviceaccount:<namespace>:`
    AccountsOf(Box<str>),
}

impl Subject {
    fn read(subject: &Value) -> Option<Self> {
        let text = |kind: &str, field: &str| subject[kind][field].as_str();
        match subject["kind"].as_str()? {
            "User" => Some(match text("user", "name")? {
                "*" => Self::AnyUser,
                name => Self::User(name.into()),
            }),
            "Group" => Some(match text("group", "name")? {
                "*" => Self::AnyGroup,
                name => Self::Group(name.into()),
            }),
            "ServiceAccount" => {
                let prefix = format!("system:serviceaccount:{}:", text("serviceAccount", "namespace")?);
                Some(match text("serviceAccount", "name")? {
                    "*" => Self::AccountsOf(prefix.into()),
                    name => Self::User((prefix + name).into()),
                })
            }
            _ => None,
        }
    }

    fn is(&self, user: &User) -> bool {
        match self {
            Self::AnyUser => true,
            Self::User(name) => *user.name == **name,
            Self::AnyGroup => !user.groups.is_empty(),
            Self::Group(name) => user.groups.iter().any(|group| **group == **name),
            Self::AccountsOf(prefix) => {
                user.name.strip_prefix(&**prefix).is_some_and(|name| !name.is_empty() && !name.contains(':'))
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ResourceRule {
    verbs: Names,
    groups: Names,
    resources: Names,
    namespaces: Names,
    cluster_scope: bool,
}

impl ResourceRule {
    fn read(rule: &Value) -> Self {
        Self {
            verbs: Names::read(&rule["verbs"]),
            groups: Names::read(&rule["apiGroups"]),
            resources: Names::read(&rule["resources"]),
            namespaces: Names::read(&rule["namespaces"]),
            cluster_scope: rule["clusterScope"].as_bool().unwrap_or(false),
        }
    }

    fn is(&self, digest: &Digest<'_>) -> bool {
        let (resource, subresource) = (digest.resource, digest.subresource);
        let named = |name: &str| match name.split_once('/') {
            None => subresource.is_empty() && name == resource,
            Some((first, second)) => first == resource && second == subresource,
        };
        let placed = if digest.namespace.is_empty() {
            self.cluster_scope
        } else {
            self.namespaces.has(digest.namespace)
        };
        placed && self.verbs.has(digest.verb) && self.groups.has(digest.group) && self.resources.any(named)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct PathRule {
    verbs: Names,
    paths: Names,
}

impl PathRule {
    fn read(rule: &Value) -> Self {
        Self { verbs: Names::read(&rule["verbs"]), paths: Names::read(&rule["nonResourceURLs"]) }
    }

    fn is(&self, digest: &Digest<'_>) -> bool {
        let fits = |pattern: &str| match pattern.strip_suffix('*') {
            Some(prefix) => digest.path.starts_with(prefix),
            None => digest.path == pattern,
        };
        self.verbs.has(digest.verb) && self.paths.any(fits)
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

/// The rules of a FlowSchema: one that fits is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules(Vec<Rule>);

impl Rules {
    /// From a FlowSchema's spec; what cannot be read matches nothing.
    pub(crate) fn read(spec: &Value) -> Self {
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let rule = |rule: &Value| Rule {
            subjects: list(&rule["subjects"]).iter().filter_map(Subject::read).collect(),
            resources: list(&rule["resourceRules"]).iter().map(ResourceRule::read).collect(),
            paths: list(&rule["nonResourceRules"]).iter().map(PathRule::read).collect(),
        };
        Self(list(&spec["rules"]).iter().map(rule).collect())
    }

    pub(crate) fn is(&self, digest: &Digest<'_>) -> bool {
        self.0.iter().any(|rule| {
            rule.subjects.iter().any(|subject| subject.is(digest.user))
                && if digest.resource_request {
                    rule.resources.iter().any(|rule| rule.is(digest))
                } else {
                    rule.paths.iter().any(|rule| rule.is(digest))
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn user(name: &str) -> User {
        User { name: name.into(), groups: vec!["devs".into()], ..User::default() }
    }

    fn check(subject: &Value, rule: &Value, request: &str, want: bool) {
        let key = if rule.get("nonResourceURLs").is_some() { "nonResourceRules" } else { "resourceRules" };
        let rules = Rules::read(&json!({ "rules": [{ "subjects": [subject], key: [rule] }] }));
        let parts: Vec<&str> = request.split(' ').collect();
        let user = user(parts[0]);
        let digest = match parts.as_slice() {
            [_, verb, path] => Digest {
                user: &user,
                resource_request: false,
                verb,
                group: "",
                resource: "",
                subresource: "",
                namespace: "",
                path,
            },
            [_, verb, group, resource, namespace] => {
                let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                let namespace = namespace.trim_start_matches('-');
                Digest {
                    user: &user,
                    resource_request: true,
                    verb,
                    group,
                    resource,
                    subresource,
                    namespace,
                    path: "",
                }
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(rules.is(&digest), want, "{subject} {rule} {request}");
    }

    #[test]
    fn rules_match_as_upstreams() {
        let any = json!({ "kind": "User", "user": { "name": "*" } });
        let pods = json!({ "verbs": ["list"], "apiGroups": [""], "resources": ["pods", "pods/log"], "namespaces": ["a"] });
        check(&any, &pods, "u list  pods a", true);
        check(&any, &pods, "u list  pods/log a", true);
        check(&any, &pods, "u list  pods/exec a", false);
        check(&any, &pods, "u list  pods b", false);
        check(&any, &pods, "u list  pods -", false);
        check(&any, &pods, "u get  pods a", false);
        check(&any, &pods, "u list apps pods a", false);
        check(&any, &pods, "u list /healthz", false);
        let all = json!({ "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": true });
        check(&any, &all, "u get apps things/status -", true);
        check(&any, &all, "u get apps things a", false);
        let paths = json!({ "verbs": ["get"], "nonResourceURLs": ["/healthz", "/metrics/*"] });
        check(&any, &paths, "u get /healthz", true);
        check(&any, &paths, "u get /healthz/ping", false);
        check(&any, &paths, "u get /metrics/slis", true);
        check(&any, &paths, "u get  pods a", false);
    }

    #[test]
    fn subjects_match_as_upstreams() {
        let paths = json!({ "verbs": ["*"], "nonResourceURLs": ["*"] });
        let user = json!({ "kind": "User", "user": { "name": "ann" } });
        check(&user, &paths, "ann get /x", true);
        check(&user, &paths, "bob get /x", false);
        let group = |name: &str| json!({ "kind": "Group", "group": { "name": name } });
        check(&group("devs"), &paths, "ann get /x", true);
        check(&group("ops"), &paths, "ann get /x", false);
        check(&group("*"), &paths, "ann get /x", true);
        let account = |name: &str| json!({ "kind": "ServiceAccount", "serviceAccount": { "namespace": "a", "name": name } });
        check(&account("x"), &paths, "system:serviceaccount:a:x get /x", true);
        check(&account("x"), &paths, "system:serviceaccount:a:y get /x", false);
        check(&account("*"), &paths, "system:serviceaccount:a:y get /x", true);
        check(&account("*"), &paths, "system:serviceaccount:ab:y get /x", false);
    }
}
