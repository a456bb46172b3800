//! What is told of token issuers: by the `--oidc-*` flags, or by an `AuthenticationConfiguration`. Plain data; every fault
//! is told, under upstream's paths.

use std::collections::BTreeSet;

use serde_json::Value;

use super::jose::ALGORITHMS;
use crate::admission::config::ConfigFaults;
use crate::expressions::{Expression, Over, Want};
use crate::value::{at, items, text, texts};

/// One issuer whose tokens are believed.
#[derive(Debug, Clone)]
pub struct JwtIssuer {
    pub url: String,
    /// Where its configuration is, if not under its URL.
    pub discovery_url: String,
    /// PEM; what the system trusts where it is none.
    pub certificate_authority: Option<String>,
    pub audiences: Vec<String>,
    pub signing_algorithms: Vec<String>,
    pub(super) claim_rules: Vec<ClaimRule>,
    pub(super) username: Mapping,
    pub(super) groups: Mapping,
    pub(super) uid: Mapping,
    pub(super) extra: Vec<(String, Expression)>,
    pub(super) user_rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
pub(super) enum ClaimRule {
    Required { claim: String, value: String },
    Expression(Rule),
}

#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) expression: Expression,
    pub(super) message: String,
}

#[derive(Debug, Clone)]
pub(super) enum Mapping {
    None,
    Claim { claim: String, prefix: String },
    Expression(Expression),
}

/// `--oidc-*`, as given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OidcFlags {
    pub issuer_url: String,
    pub client_id: String,
    pub username_claim: String,
    pub username_prefix: String,
    pub groups_claim: String,
    pub groups_prefix: String,
    pub required_claims: Vec<(String, String)>,
    pub signing_algorithms: Vec<String>,
    pub ca_pem: Option<String>,
}

impl OidcFlags {
    /// None where no flag is set.
    pub(crate) fn issuer(&self, faults: &mut ConfigFaults) -> Option<JwtIssuer> {
        if self.issuer_url.is_empty() && self.client_id.is_empty() {
            return None;
        }
        if self.issuer_url.is_empty() || self.client_id.is_empty() {
            faults.add(
                "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set",
            );
        }
        check_url(&self.issuer_url, "oidc-issuer-url", faults);
        let algorithms = &self.signing_algorithms;
        for algorithm in algorithms.iter().filter(|given| !ALGORITHMS.contains(&given.as_str())) {
            faults.add(format!("oidc-signing-algs: unsupported signing alg {algorithm:?}"));
        }
        let or =
            |given: &str, default: &str| if given.is_empty() { default.into() } else { given.to_string() };
        let claim = or(&self.username_claim, "sub");
        // Names of other issuers' users must not be taken for the cluster's own.
        let prefix = match self.username_prefix.as_str() {
            "-" => String::new(),
            "" if claim == "email" => String::new(),
            "" => format!("{}#", self.issuer_url),
            prefix => prefix.into(),
        };
        let groups = match self.groups_claim.as_str() {
            "" => Mapping::None,
            claim => Mapping::Claim { claim: claim.into(), prefix: self.groups_prefix.clone() },
        };
        let required = |(claim, value): &(String, String)| ClaimRule::Required {
            claim: claim.clone(),
            value: value.clone(),
        };
        Some(JwtIssuer {
            url: self.issuer_url.clone(),
            discovery_url: String::new(),
            certificate_authority: self.ca_pem.clone(),
            audiences: vec![self.client_id.clone()],
            signing_algorithms: if algorithms.is_empty() { vec!["RS256".into()] } else { algorithms.clone() },
            claim_rules: self.required_claims.iter().map(required).collect(),
            username: Mapping::Claim { claim, prefix },
            groups,
            uid: Mapping::None,
            extra: Vec::new(),
            user_rules: Vec::new(),
        })
    }
}

fn check_url(url: &str, path: &str, faults: &mut ConfigFaults) {
    if url.is_empty() {
        return faults.add(format!("{path}: Required value: URL is required"));
    }
    let mut bad = |why: &str| faults.add(format!("{path}: Invalid value: {url:?}: {why}"));
    match url.parse::<http::Uri>() {
        Err(error) => bad(&error.to_string()),
        Ok(parsed) if parsed.scheme_str() != Some("https") => bad("URL scheme must be https"),
        Ok(parsed) if parsed.authority().is_some_and(|a| a.as_str().contains('@')) => {
            bad("URL must not contain a username or password");
        }
        Ok(parsed) if parsed.query().is_some() => bad("URL must not contain a query"),
        Ok(_) if url.contains('#') => bad("URL must not contain a fragment"),
        Ok(_) => {}
    }
}

/// The issuers of an `AuthenticationConfiguration`.
pub(crate) fn issuers(
    configuration: &Value,
    disallowed: &[String],
    faults: &mut ConfigFaults,
) -> Vec<JwtIssuer> {
    let mut all = Vec::new();
    let (mut urls, mut discoveries) = (BTreeSet::new(), BTreeSet::new());
    for (i, jwt) in items(configuration, &["jwt"]).iter().enumerate() {
        let path = format!("jwt[{i}]");
        faults.known(jwt, &path, &["issuer", "claimValidationRules", "claimMappings", "userValidationRules"]);
        let issuer = Reader { path, jwt, faults }.issuer();
        if !issuer.url.is_empty() && !urls.insert(issuer.url.clone()) {
            faults.add(format!("jwt[{i}].issuer.url: Duplicate value: {:?}", issuer.url));
        }
        if !issuer.discovery_url.is_empty() && !discoveries.insert(issuer.discovery_url.clone()) {
            faults.add(format!("jwt[{i}].issuer.discoveryURL: Duplicate value: {:?}", issuer.discovery_url));
        }
        if disallowed.contains(&issuer.url) {
            let url = &issuer.url;
            faults.add(format!(
                "jwt[{i}].issuer.url: Invalid value: {url:?}: URL must not overlap with disallowed issuers: {}",
                crate::value::quoted(disallowed)
            ));
        }
        all.push(issuer);
    }
    all
}

struct Reader<'a> {
    path: String,
    jwt: &'a Value,
    faults: &'a mut ConfigFaults,
}

impl Reader<'_> {
    fn issuer(mut self) -> JwtIssuer {
        let path = format!("{}.issuer", self.path);
        let issuer = &self.jwt["issuer"];
        self.faults.known(
            issuer,
            &path,
            &[
                "url",
                "discoveryURL",
                "certificateAuthority",
                "audiences",
                "audienceMatchPolicy",
                "egressSelectorType",
            ],
        );
        let (url, discovery_url) = (text(issuer, &["url"]), text(issuer, &["discoveryURL"]));
        check_url(url, &format!("{path}.url"), self.faults);
        if !discovery_url.is_empty() {
            check_url(discovery_url, &format!("{path}.discoveryURL"), self.faults);
            if discovery_url.trim_end_matches('/') == url.trim_end_matches('/') {
                let why = "discoveryURL must be different from URL";
                self.faults.add(format!("{path}.discoveryURL: Invalid value: {discovery_url:?}: {why}"));
            }
        }
        let audiences = self.audiences(issuer, &path);
        let mappings = &self.jwt["claimMappings"];
        let at_mappings = format!("{}.claimMappings", self.path);
        self.faults.known(mappings, &at_mappings, &["username", "groups", "uid", "extra"]);
        let username = self.mapping(mappings, "username", true);
        if matches!(username, Mapping::None) {
            let fault = format!("{at_mappings}.username: Required value: claim or expression is required");
            self.faults.add(fault);
        }
        let groups = self.mapping(mappings, "groups", true);
        let uid = self.mapping(mappings, "uid", false);
        let extra = self.extra(mappings);
        let claim_rules = self.claim_rules();
        self.check_email(&username, &extra, &claim_rules);
        let user_rules = self.user_rules();
        JwtIssuer {
            url: url.into(),
            discovery_url: discovery_url.into(),
            certificate_authority: Some(text(issuer, &["certificateAuthority"]).to_string())
                .filter(|pem| !pem.is_empty()),
            audiences,
            signing_algorithms: ALGORITHMS.iter().map(ToString::to_string).collect(),
            claim_rules,
            username,
            groups,
            uid,
            extra,
            user_rules,
        }
    }

    fn audiences(&mut self, issuer: &Value, path: &str) -> Vec<String> {
        let audiences = texts(issuer, &["audiences"]);
        if audiences.is_empty() {
            self.faults
                .add(format!("{path}.audiences: Required value: at least one {path}.audiences is required"));
        }
        let mut seen = BTreeSet::new();
        for (i, audience) in audiences.iter().enumerate() {
            if audience.is_empty() {
                self.faults.add(format!("{path}.audiences[{i}]: Required value: audience can't be empty"));
            } else if !seen.insert(audience) {
                self.faults.add(format!("{path}.audiences[{i}]: Duplicate value: {audience:?}"));
            }
        }
        let policy = text(issuer, &["audienceMatchPolicy"]);
        let many = audiences.len() > 1;
        if (many && policy != "MatchAny") || !matches!(policy, "" | "MatchAny") {
            let why = if many {
                "audienceMatchPolicy must be MatchAny for multiple audiences"
            } else {
                "audienceMatchPolicy must be empty or MatchAny for single audience"
            };
            self.faults.add(format!("{path}.audienceMatchPolicy: Invalid value: {policy:?}: {why}"));
        }
        audiences
    }

    fn expression(&mut self, path: &str, given: &str, over: Over, want: Want) -> Option<Expression> {
        match Expression::compile(given, over, want) {
            Ok(expression) => Some(expression),
            Err(why) => {
                self.faults.add(format!("{path}: Invalid value: {given:?}: {why}"));
                None
            }
        }
    }

    fn mapping(&mut self, mappings: &Value, field: &str, prefixed: bool) -> Mapping {
        let mapping = &mappings[field];
        let path = format!("{}.claimMappings.{field}", self.path);
        let known: &[&str] =
            if prefixed { &["claim", "prefix", "expression"] } else { &["claim", "expression"] };
        self.faults.known(mapping, &path, known);
        let (claim, expression) = (text(mapping, &["claim"]), text(mapping, &["expression"]));
        let prefix = at(mapping, &["prefix"]).and_then(Value::as_str);
        match (claim, expression) {
            ("", "") => {
                if prefix.is_some() {
                    self.faults.add(format!(
                        "{path}.prefix: Required value: non-nil prefix requires claim to be set"
                    ));
                }
                Mapping::None
            }
            ("", given) => {
                if prefix.is_some() {
                    self.faults.add(format!(
                        "{path}.prefix: Invalid value: prefix can't be set when expression is set"
                    ));
                }
                let want = if field == "groups" { Want::Texts } else { Want::Text };
                let compiled = self.expression(&format!("{path}.expression"), given, Over::Claims, want);
                compiled.map_or(Mapping::None, Mapping::Expression)
            }
            (claim, "") => {
                if prefixed && prefix.is_none() {
                    self.faults.add(format!(
                        "{path}.prefix: Required value: prefix is required when claim is set. It can be set to an empty \
                         string to disable prefixing"
                    ));
                }
                Mapping::Claim { claim: claim.into(), prefix: prefix.unwrap_or_default().into() }
            }
            _ => {
                self.faults
                    .add(format!("{path}: Invalid value: \"\": claim and expression can't both be set"));
                Mapping::Claim { claim: claim.into(), prefix: String::new() }
            }
        }
    }

    fn extra(&mut self, mappings: &Value) -> Vec<(String, Expression)> {
        let mut all: Vec<(String, Expression)> = Vec::new();
        for (i, extra) in items(mappings, &["extra"]).iter().enumerate() {
            let path = format!("{}.claimMappings.extra[{i}]", self.path);
            self.faults.known(extra, &path, &["key", "valueExpression"]);
            let (key, given) = (text(extra, &["key"]), text(extra, &["valueExpression"]));
            if let Some(why) = extra_key_fault(key) {
                self.faults.add(format!("{path}.key: Invalid value: {key:?}: {why}"));
            } else if all.iter().any(|(other, _)| other == key) {
                self.faults.add(format!("{path}.key: Duplicate value: {key:?}"));
            }
            if given.is_empty() {
                self.faults
                    .add(format!("{path}.valueExpression: Required value: valueExpression is required"));
                continue;
            }
            let compiled =
                self.expression(&format!("{path}.valueExpression"), given, Over::Claims, Want::Texts);
            all.extend(compiled.map(|expression| (key.to_string(), expression)));
        }
        all
    }

    fn claim_rules(&mut self) -> Vec<ClaimRule> {
        let mut rules = Vec::new();
        let (mut claims, mut expressions) = (BTreeSet::new(), BTreeSet::new());
        for (i, rule) in items(self.jwt, &["claimValidationRules"]).iter().enumerate() {
            let path = format!("{}.claimValidationRules[{i}]", self.path);
            self.faults.known(rule, &path, &["claim", "requiredValue", "expression", "message"]);
            let of = |field: &str| text(rule, &[field]).to_string();
            match (of("claim"), of("expression")) {
                (claim, given) if claim.is_empty() && given.is_empty() => {
                    self.faults.add(format!("{path}: Required value: claim or expression is required"));
                }
                (claim, given) if !claim.is_empty() && !given.is_empty() => {
                    self.faults.add(format!(
                        "{path}: Invalid value: {claim:?}: claim and expression can't both be set"
                    ));
                }
                (claim, given) if given.is_empty() => {
                    if !of("message").is_empty() {
                        self.faults.add(format!(
                            "{path}.message: Invalid value: message can't be set when claim is set"
                        ));
                    }
                    if !claims.insert(claim.clone()) {
                        self.faults.add(format!("{path}.claim: Duplicate value: {claim:?}"));
                    }
                    rules.push(ClaimRule::Required { claim, value: of("requiredValue") });
                }
                (_, given) => {
                    if !of("requiredValue").is_empty() {
                        let why = "requiredValue can't be set when expression is set";
                        self.faults.add(format!("{path}.requiredValue: Invalid value: {why}"));
                    }
                    if !expressions.insert(given.clone()) {
                        self.faults.add(format!("{path}.expression: Duplicate value: {given:?}"));
                    }
                    let at = format!("{path}.expression");
                    let compiled = self.expression(&at, &given, Over::Claims, Want::Bool);
                    let message = of("message");
                    rules.extend(
                        compiled.map(|expression| ClaimRule::Expression(Rule { expression, message })),
                    );
                }
            }
        }
        rules
    }

    fn user_rules(&mut self) -> Vec<Rule> {
        let mut rules = Vec::new();
        let mut seen = BTreeSet::new();
        for (i, rule) in items(self.jwt, &["userValidationRules"]).iter().enumerate() {
            let path = format!("{}.userValidationRules[{i}]", self.path);
            self.faults.known(rule, &path, &["expression", "message"]);
            let given = text(rule, &["expression"]);
            if given.is_empty() {
                self.faults.add(format!("{path}.expression: Required value: expression is required"));
                continue;
            }
            if !seen.insert(given) {
                self.faults.add(format!("{path}.expression: Duplicate value: {given:?}"));
            }
            let compiled = self.expression(&format!("{path}.expression"), given, Over::User, Want::Bool);
            let message = text(rule, &["message"]).to_string();
            rules.extend(compiled.map(|expression| Rule { expression, message }));
        }
        rules
    }

    /// An email that nobody has verified may be anybody's.
    fn check_email(&mut self, username: &Mapping, extra: &[(String, Expression)], rules: &[ClaimRule]) {
        let Mapping::Expression(username) = username else { return };
        if !username.mentions("claims.email") {
            return;
        }
        let verified = |expression: &Expression| expression.mentions("claims.email_verified");
        let in_rules = rules.iter().any(|rule| match rule {
            ClaimRule::Expression(rule) => verified(&rule.expression),
            ClaimRule::Required { claim, .. } => claim == "email_verified",
        });
        if verified(username) || extra.iter().any(|(_, expression)| verified(expression)) || in_rules {
            return;
        }
        let path = &self.path;
        let given = username.text();
        self.faults.add(format!(
            "{path}.claimMappings.username.expression: Invalid value: {given:?}: claims.email_verified must be used in \
             claimMappings.username.expression or claimMappings.extra[*].valueExpression or \
             claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression"
        ));
    }
}

/// Keys are lower case and begin with a domain that is not Kubernetes' own.
fn extra_key_fault(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        return Some("key is required");
    }
    if key.to_lowercase() != key {
        return Some("key must be lowercase");
    }
    let Some((domain, _)) = key.split_once('/') else {
        return Some("must be a domain-prefixed path (such as \"acme.io/foo\")");
    };
    let of = |own: &str| domain == own || domain.ends_with(&format!(".{own}"));
    if of("k8s.io") || of("kubernetes.io") {
        return Some("k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use");
    }
    (!oarlock_api::selector::dns1123_subdomain_faults(domain).is_empty())
        .then_some("must be a domain-prefixed path (such as \"acme.io/foo\")")
}
