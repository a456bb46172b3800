//! The policy: which requests are told, how much of them, and at which stages. The first rule that fits decides.

use std::path::{Path, PathBuf};

use oarlock_api::User;
use serde::{Deserialize, Serialize};

use crate::validate;

/// How much of a request is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Level {
    None,
    Metadata,
    Request,
    RequestResponse,
}

impl Level {
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Request, Self::RequestResponse];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// When something is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl Stage {
    pub(crate) const ALL: [Self; 4] =
        [Self::RequestReceived, Self::ResponseStarted, Self::ResponseComplete, Self::Panic];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// Some stages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Stages(u8);

impl Stages {
    fn of(names: &[String]) -> Self {
        let named = |stage: &Stage| names.iter().any(|name| name == stage.as_str());
        Self(Stage::ALL.iter().filter(|stage| named(stage)).fold(0, |bits, stage| bits | (1 << *stage as u8)))
    }

    pub(crate) fn has(self, stage: Stage) -> bool {
        self.0 & (1 << stage as u8) != 0
    }
}

/// The file as it is written.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PolicyFile {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) rules: Vec<RuleFile>,
    pub(crate) omit_stages: Vec<String>,
    pub(crate) omit_managed_fields: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct RuleFile {
    pub(crate) level: String,
    pub(crate) users: Vec<String>,
    pub(crate) user_groups: Vec<String>,
    pub(crate) verbs: Vec<String>,
    pub(crate) resources: Vec<GroupResources>,
    pub(crate) namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub(crate) non_resource_urls: Vec<String>,
    pub(crate) omit_stages: Vec<String>,
    pub(crate) omit_managed_fields: Option<bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct GroupResources {
    pub(crate) group: String,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
}

/// Why a policy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("loading audit policy file: failed to read file path {path:?}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("loading audit policy file: failed decoding: {0}")]
    Parse(String),
    #[error("loading audit policy file: {0}")]
    Invalid(String),
    #[error("loading audit policy file: loaded illegal policy with 0 rules")]
    NoRules,
}

/// A policy, compiled.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    level: Level,
    omit: Stages,
    omit_managed_fields: bool,
    matches: RuleFile,
}

/// What a policy is asked about. Borrowed from the request.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// `None`: authentication failed.
    pub user: Option<&'a User>,
    pub verb: &'a str,
    pub resource_request: bool,
    pub group: &'a str,
    pub resource: &'a str,
    pub subresource: &'a str,
    pub namespace: &'a str,
    pub name: &'a str,
    pub path: &'a str,
}

/// What the policy says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) level: Level,
    pub(crate) omit: Stages,
    pub(crate) omit_managed_fields: bool,
}

impl Policy {
    /// A policy file: see [`parse`](Self::parse).
    pub fn load(path: &Path) -> Result<Self, PolicyError> {
        let bytes = std::fs::read(path).map_err(|source| PolicyError::Read { path: path.into(), source })?;
        Self::parse(&bytes)
    }

    /// YAML or JSON. Unknown fields are left out, as upstream leaves them out.
    pub fn parse(bytes: &[u8]) -> Result<Self, PolicyError> {
        let tree = oarlock_api::codec::yaml::parse(bytes).map_err(|e| PolicyError::Parse(e.to_string()))?;
        let file: PolicyFile = serde_json::from_value(tree).map_err(|e| PolicyError::Parse(e.to_string()))?;
        if (file.api_version.as_str(), file.kind.as_str()) != ("audit.k8s.io/v1", "Policy") {
            return Err(PolicyError::Parse(format!(
                "unknown group version field {:?} in policy, kind {:?}",
                file.api_version, file.kind
            )));
        }
        validate::validate(&file).map_err(PolicyError::Invalid)?;
        if file.rules.is_empty() {
            return Err(PolicyError::NoRules);
        }
        Ok(Self::compile(file))
    }

    fn compile(file: PolicyFile) -> Self {
        let rules = file.rules.into_iter().map(|rule| {
            let stages: Vec<String> = file.omit_stages.iter().chain(&rule.omit_stages).cloned().collect();
            let level = Level::ALL.into_iter().find(|level| level.as_str() == rule.level);
            Rule {
                level: level.expect("the level was validated"),
                omit: Stages::of(&stages),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(file.omit_managed_fields),
                matches: rule,
            }
        });
        Self { rules: rules.collect() }
    }

    /// What is to be told of a request. Allocates nothing.
    pub(crate) fn evaluate(&self, subject: &Subject<'_>) -> Verdict {
        match self.rules.iter().find(|rule| rule.matches.is(subject)) {
            Some(rule) => {
                Verdict { level: rule.level, omit: rule.omit, omit_managed_fields: rule.omit_managed_fields }
            }
            None => Verdict { level: Level::None, omit: Stages::default(), omit_managed_fields: false },
        }
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == wanted)
}

impl RuleFile {
    fn is(&self, subject: &Subject<'_>) -> bool {
        let users = self.users.is_empty() || subject.user.is_some_and(|user| has(&self.users, &user.name));
        let groups = self.user_groups.is_empty()
            || subject.user.is_some_and(|user| user.groups.iter().any(|group| has(&self.user_groups, group)));
        if !users || !groups || !(self.verbs.is_empty() || has(&self.verbs, subject.verb)) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return self.is_on_resource(subject);
        }
        self.non_resource_urls.is_empty()
            || (!subject.resource_request
                && self.non_resource_urls.iter().any(|spec| fits(subject.path, spec)))
    }

    fn is_on_resource(&self, subject: &Subject<'_>) -> bool {
        subject.resource_request
            && (self.namespaces.is_empty() || has(&self.namespaces, subject.namespace))
            && (self.resources.is_empty() || self.resources.iter().any(|resources| resources.are(subject)))
    }
}

fn fits(path: &str, spec: &str) -> bool {
    spec == path || spec.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

impl GroupResources {
    fn are(&self, subject: &Subject<'_>) -> bool {
        if self.group != "*" && self.group != subject.group {
            return false;
        }
        let named = self.resource_names.is_empty() || has(&self.resource_names, subject.name);
        self.resources.is_empty() || (named && self.resources.iter().any(|spec| is_resource(spec, subject)))
    }
}

/// `pods`, `pods/log`, `pods/*`, `*/scale`, `*`.
fn is_resource(spec: &str, subject: &Subject<'_>) -> bool {
    if spec == "*" {
        return true;
    }
    match spec.split_once('/') {
        None => subject.subresource.is_empty() && spec == subject.resource,
        Some((resource, "*")) => resource == subject.resource,
        Some(("*", subresource)) => !subject.subresource.is_empty() && subresource == subject.subresource,
        Some((resource, subresource)) => resource == subject.resource && subresource == subject.subresource,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rules: &str) -> Policy {
        Policy::parse(format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: {rules}").as_bytes())
            .expect("valid")
    }

    /// `user verb group resource/subresource namespace name`, or `user verb /path`.
    fn check(rule: &str, request: &str, want: bool) {
        let policy = policy(&format!("[{{level: Metadata, {rule}}}]"));
        let parts: Vec<&str> = request.split(' ').collect();
        let user = User { name: parts[0].into(), groups: vec!["devs".into()], ..User::default() };
        let resource_request = parts.len() > 3;
        let part =
            |index: usize| parts.get(index).copied().filter(|p| resource_request && *p != "-").unwrap_or("");
        let (resource, subresource) = part(3).split_once('/').unwrap_or((part(3), ""));
        let path = if resource_request { "" } else { parts[2] };
        let subject = Subject {
            user: Some(&user),
            verb: parts[1],
            resource_request,
            group: part(2),
            resource,
            subresource,
            namespace: part(4),
            name: part(5),
            path,
        };
        let level = policy.evaluate(&subject).level;
        assert_eq!(level == Level::Metadata, want, "{rule} {request}");
    }

    #[test]
    fn rules_match_as_upstreams() {
        check("users: []", "ann get /x", true);
        check("users: [ann]", "ann get /x", true);
        check("users: [ann]", "bob get /x", false);
        check("userGroups: [devs]", "ann get /x", true);
        check("userGroups: [ops]", "ann get /x", false);
        check("verbs: [get]", "ann list - pods a", false);
        check("namespaces: [a]", "ann list - pods a", true);
        check("namespaces: [a]", "ann list - pods b", false);
        check("namespaces: ['']", "ann list - nodes -", true);
        check("namespaces: [a]", "ann get /x", false);
        check("resources: [{group: ''}]", "ann list - pods/log a", true);
        check("resources: [{group: apps}]", "ann list - pods a", false);
        check(
            "resources: [{group: '*', resources: ['*/scale']}]",
            "ann get apps deployments/scale a d",
            true,
        );
        check("resources: [{group: '*', resources: [pods]}]", "ann get apps deployments a d", false);
        check("resources: [{group: '', resources: [pods]}]", "ann get - pods a p", true);
        check("resources: [{group: '', resources: [pods]}]", "ann get - pods/log a p", false);
        check("resources: [{group: '', resources: ['pods/*']}]", "ann get - pods/log a p", true);
        check("resources: [{group: '', resources: ['pods/*']}]", "ann get - pods a p", true);
        check("resources: [{group: '', resources: ['*/log']}]", "ann get - pods/log a p", true);
        check("resources: [{group: '', resources: ['*/log']}]", "ann get - pods a p", false);
        check("resources: [{group: '', resources: ['*']}]", "ann get - pods/log a p", true);
        check("resources: [{group: '', resources: [pods], resourceNames: [q]}]", "ann get - pods a p", false);
        check("resources: [{group: '', resources: [pods], resourceNames: [p]}]", "ann get - pods a p", true);
        check("nonResourceURLs: ['/healthz*']", "ann get /healthz/x", true);
        check("nonResourceURLs: ['/healthz']", "ann get /healthz/x", false);
        check("nonResourceURLs: ['*']", "ann get - pods a", false);
    }

    #[test]
    fn the_first_rule_decides_and_stages_add_up() {
        let text = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nomitManagedFields: true\nrules: \
                    [{level: None, verbs: [watch]}, {level: Request, omitStages: [Panic], omitManagedFields: false}]";
        let policy = Policy::parse(text.as_bytes()).expect("valid");
        let subject = |verb| Subject {
            user: None,
            verb,
            resource_request: false,
            group: "",
            resource: "",
            subresource: "",
            namespace: "",
            name: "",
            path: "/",
        };
        let watch = policy.evaluate(&subject("watch"));
        assert_eq!((watch.level, watch.omit_managed_fields), (Level::None, true));
        let get = policy.evaluate(&subject("get"));
        assert_eq!((get.level, get.omit_managed_fields), (Level::Request, false));
        let omitted: Vec<_> = Stage::ALL.into_iter().filter(|stage| get.omit.has(*stage)).collect();
        assert_eq!(omitted, [Stage::RequestReceived, Stage::Panic]);
    }

    #[test]
    fn what_is_not_a_policy_is_refused() {
        let refused = |text: &str| Policy::parse(text.as_bytes()).expect_err("refused").to_string();
        assert_eq!(
            refused("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []"),
            "loading audit policy file: loaded illegal policy with 0 rules"
        );
        assert!(refused("kind: Policy").contains("unknown group version field"));
        assert!(refused("{").contains("failed decoding"));
    }
}
