//! Whether one set of rules grants all that another does: the arithmetic behind escalation checks and reconciliation.

use super::rule::{Rule, url_covers};

/// The parts of `wanted` that nothing in `held` grants, each a rule of one verb on one thing.
pub(crate) fn missing(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let parts = wanted.iter().flat_map(atoms);
    parts.filter(|part| !held.iter().any(|rule| covers(rule, part))).collect()
}

/// Merges rules that differ in their verbs alone.
pub(crate) fn compact(rules: Vec<Rule>) -> Vec<Rule> {
    let mut merged: Vec<Rule> = Vec::with_capacity(rules.len());
    for rule in rules {
        let same = |known: &&mut Rule| {
            known.groups == rule.groups
                && known.resources == rule.resources
                && known.resource_names == rule.resource_names
                && known.urls == rule.urls
                && known.urls.is_empty()
        };
        match merged.iter_mut().find(same) {
            Some(known) => {
                for verb in rule.verbs {
                    if !known.verbs.contains(&verb) {
                        known.verbs.push(verb);
                    }
                }
            }
            None => merged.push(rule),
        }
    }
    merged
}

/// A rule as the product it stands for.
fn atoms(rule: &Rule) -> Vec<Rule> {
    let one = |text: &String| vec![text.clone()];
    let mut out = Vec::new();
    for group in &rule.groups {
        for resource in &rule.resources {
            for verb in &rule.verbs {
                let atom = Rule {
                    verbs: one(verb),
                    groups: one(group),
                    resources: one(resource),
                    ..Rule::default()
                };
                if rule.resource_names.is_empty() {
                    out.push(atom);
                    continue;
                }
                let named = |name| Rule { resource_names: one(name), ..atom.clone() };
                out.extend(rule.resource_names.iter().map(named));
            }
        }
    }
    for url in &rule.urls {
        let atom = |verb| Rule { verbs: one(verb), urls: one(url), ..Rule::default() };
        out.extend(rule.verbs.iter().map(atom));
    }
    out
}

fn covers(held: &Rule, part: &Rule) -> bool {
    let all = |held: &[String], wanted: &[String]| {
        held.iter().any(|h| h == "*") || wanted.iter().all(|w| held.contains(w))
    };
    let resource = |wanted: &String| {
        held.resources.contains(wanted)
            || wanted.split_once('/').is_some_and(|(_, sub)| {
                held.resources.iter().any(|h| h.strip_prefix("*/").is_some_and(|any| any == sub))
            })
    };
    let resources = held.resources.iter().any(|h| h == "*") || part.resources.iter().all(resource);
    let names = if part.resource_names.is_empty() {
        held.resource_names.is_empty()
    } else {
        held.resource_names.is_empty() || part.resource_names.iter().all(|n| held.resource_names.contains(n))
    };
    let urls = part.urls.iter().all(|url| held.urls.iter().any(|h| url_covers(h, url)));
    all(&held.verbs, &part.verbs) && all(&held.groups, &part.groups) && resources && names && urls
}
