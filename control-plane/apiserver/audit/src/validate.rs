//! What is wrong with a policy, in upstream's words.

use oarlock_api::{FieldError, FieldErrors, Path};

use crate::policy::{GroupResources, Level, PolicyFile, RuleFile, Stage};

const LABEL_MAX: usize = 253;
const NOT_A_SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
     '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

pub(crate) fn validate(file: &PolicyFile) -> Result<(), String> {
    let rules = Path::new("rules");
    let errors: Vec<String> = file
        .rules
        .iter()
        .enumerate()
        .flat_map(|(i, rule)| rule_errors(rule, &rules.index(i)))
        .map(|error| format!("{}: {}", error.path, error.body()))
        .collect();
    match errors.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}

fn rule_errors(rule: &RuleFile, path: &Path) -> FieldErrors {
    let mut errors = FieldErrors::new();
    let names = Level::ALL.map(Level::as_str);
    if rule.level.is_empty() {
        errors.push(FieldError::required(path.child("level"), ""));
    } else if !names.contains(&rule.level.as_str()) {
        errors.push(FieldError::not_supported(path.child("level"), rule.level.as_str(), &names));
    }
    let urls = path.child("nonResourceURLs");
    for (i, url) in rule.non_resource_urls.iter().enumerate().filter(|(_, url)| *url != "*") {
        if !url.starts_with('/') {
            let detail = "non-resource URL rules must begin with a '/' character";
            errors.push(FieldError::invalid(urls.index(i), url.as_str(), detail));
        }
        if url.find('*').is_some_and(|place| place + 1 < url.len()) {
            let detail = "non-resource URL wildcards '*' must be the final character of the rule";
            errors.push(FieldError::invalid(urls.index(i), url.as_str(), detail));
        }
    }
    errors.extend(rule.resources.iter().flat_map(|group| group_errors(group, &path.child("resources"))));
    let stages = Stage::ALL.map(Stage::as_str);
    for (i, stage) in
        rule.omit_stages.iter().enumerate().filter(|(_, stage)| !stages.contains(&stage.as_str()))
    {
        let detail = format!("allowed stages are {}", stages.join(","));
        errors.push(FieldError::invalid(path.child("omitStages").index(i), stage.as_str(), detail));
    }
    let on_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
    if !rule.non_resource_urls.is_empty() && on_resources {
        let detail = "rules cannot apply to both regular resources and non-resource URLs";
        errors.push(FieldError::invalid(urls, rule.non_resource_urls.clone(), detail));
    }
    errors
}

fn group_errors(group: &GroupResources, path: &Path) -> FieldErrors {
    let mut errors = FieldErrors::new();
    if !matches!(group.group.as_str(), "" | "*") && !is_subdomain(&group.group) {
        errors.push(FieldError::invalid(path.child("group"), group.group.as_str(), NOT_A_SUBDOMAIN));
    }
    if !group.resource_names.is_empty() && group.resources.is_empty() {
        let detail = "using resourceNames requires at least one resource";
        errors.push(FieldError::invalid(path.child("resourceNames"), group.resource_names.clone(), detail));
    }
    errors
}

fn is_subdomain(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let bytes = label.as_bytes();
        bytes.first().is_some_and(|b| plain(*b))
            && bytes.last().is_some_and(|b| plain(*b))
            && bytes.iter().all(|b| plain(*b) || *b == b'-')
    };
    text.len() <= LABEL_MAX && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use crate::Policy;

    fn check(rule: &str, want: &Expect) {
        let text = format!("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{{{rule}}}]");
        let got = Policy::parse(text.as_bytes()).map_or_else(|e| e.to_string(), |_| "valid".into());
        want.assert_eq(got.strip_prefix("loading audit policy file: ").unwrap_or(&got));
    }

    #[test]
    fn faults_are_told_in_upstreams_words() {
        check("level: Metadata", &expect!["valid"]);
        check("users: [a]", &expect!["rules[0].level: Required value"]);
        check(
            "level: Max",
            &expect![[
                r#"rules[0].level: Unsupported value: "Max": supported values: "None", "Metadata", "Request", "RequestResponse""#
            ]],
        );
        check(
            "level: None, nonResourceURLs: [logs, '/a*b']",
            &expect![[
                r#"[rules[0].nonResourceURLs[0]: Invalid value: "logs": non-resource URL rules must begin with a '/' character, rules[0].nonResourceURLs[1]: Invalid value: "/a*b": non-resource URL wildcards '*' must be the final character of the rule]"#
            ]],
        );
        check(
            "level: None, resources: [{group: rbac/v1}]",
            &expect![[
                r#"rules[0].resources.group: Invalid value: "rbac/v1": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#
            ]],
        );
        check(
            "level: None, resources: [{resourceNames: [a]}]",
            &expect![[
                r#"rules[0].resources.resourceNames: Invalid value: ["a"]: using resourceNames requires at least one resource"#
            ]],
        );
        check(
            "level: None, omitStages: [Never]",
            &expect![[
                r#"rules[0].omitStages[0]: Invalid value: "Never": allowed stages are RequestReceived,ResponseStarted,ResponseComplete,Panic"#
            ]],
        );
        check(
            "level: None, nonResourceURLs: [/x], namespaces: [a]",
            &expect![[
                r#"rules[0].nonResourceURLs: Invalid value: ["/x"]: rules cannot apply to both regular resources and non-resource URLs"#
            ]],
        );
    }
}
