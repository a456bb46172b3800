//! Node selectors, compiled: `nodeSelector` and node affinity.

use k8s_openapi::api::core::v1::{self as core, NodeSelectorRequirement, NodeSelectorTerm};

use super::node::NodeFacts;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    Gt(i64),
    Lt(i64),
    /// An operator or operand that the API server should have refused.
    Never,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    key: String,
    test: Test,
}

impl Requirement {
    fn compile(requirement: &NodeSelectorRequirement) -> Self {
        let values = requirement.values.clone().unwrap_or_default();
        let number = |values: &[String]| match values {
            [one] => one.parse::<i64>().ok(),
            _ => None,
        };
        let test = match requirement.operator.as_str() {
            "In" => Test::In(values),
            "NotIn" => Test::NotIn(values),
            "Exists" => Test::Exists,
            "DoesNotExist" => Test::DoesNotExist,
            "Gt" => number(&values).map_or(Test::Never, Test::Gt),
            "Lt" => number(&values).map_or(Test::Never, Test::Lt),
            _ => Test::Never,
        };
        Self { key: requirement.key.clone(), test }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match &self.test {
            Test::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Test::NotIn(values) => !value.is_some_and(|value| values.iter().any(|one| one == value)),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::Gt(bound) => number().is_some_and(|number| number > *bound),
            Test::Lt(bound) => number().is_some_and(|number| number < *bound),
            Test::Never => false,
        }
    }
}

/// Requirements of which all must hold; a term without any holds for no node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    labels: Vec<Requirement>,
    fields: Vec<Requirement>,
}

impl Term {
    fn compile(term: &NodeSelectorTerm) -> Self {
        let all = |list: &Option<Vec<NodeSelectorRequirement>>| {
            list.iter().flatten().map(Requirement::compile).collect()
        };
        Self { labels: all(&term.match_expressions), fields: all(&term.match_fields) }
    }

    pub fn matches(&self, node: &NodeFacts) -> bool {
        // The name is the one field of a node that can be selected by.
        let field = |requirement: &Requirement| (requirement.key == "metadata.name").then_some(&*node.name);
        !(self.labels.is_empty() && self.fields.is_empty())
            && self.labels.iter().all(|one| one.holds(node.labels.get(&one.key).map(String::as_str)))
            && self.fields.iter().all(|one| one.holds(field(one)))
    }

    /// The node names that the fields allow; `None` where they do not narrow it down.
    fn names(&self) -> Option<Vec<&str>> {
        let mut names: Option<Vec<&str>> = None;
        for field in self.fields.iter().filter(|field| field.key == "metadata.name") {
            if let Test::In(values) = &field.test {
                match &mut names {
                    Some(names) => names.retain(|name| values.iter().any(|value| value == name)),
                    None => names = Some(values.iter().map(String::as_str).collect()),
                }
            }
        }
        names
    }
}

/// What a pod's spec says of the nodes it wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeAffinity {
    selector: Vec<(String, String)>,
    /// Terms of which one must hold; `None` where none are asked for.
    required: Option<Vec<Term>>,
    pub preferred: Vec<(i64, Term)>,
}

impl NodeAffinity {
    pub(super) fn compile(spec: &core::PodSpec) -> Self {
        let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
        let required = affinity
            .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref())
            .map(|selector| selector.node_selector_terms.iter().map(Term::compile).collect());
        let preferred = affinity
            .and_then(|affinity| affinity.preferred_during_scheduling_ignored_during_execution.as_deref());
        let preferred = preferred.unwrap_or_default().iter().filter(|term| term.weight != 0);
        Self {
            selector: spec.node_selector.clone().unwrap_or_default().into_iter().collect(),
            required,
            preferred: preferred.map(|one| (i64::from(one.weight), Term::compile(&one.preference))).collect(),
        }
    }

    /// Whether any node will do.
    pub fn requires_nothing(&self) -> bool {
        self.selector.is_empty() && self.required.is_none()
    }

    /// Whether the node has what is required.
    pub fn matches(&self, node: &NodeFacts) -> bool {
        self.selector.iter().all(|(key, value)| node.labels.get(key) == Some(value))
            && self.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
    }

    /// The nodes to which the required terms narrow the choice by name, as a DaemonSet's pods do; `None` where one of
    /// them does not. Empty where the terms contradict themselves.
    pub fn required_names(&self) -> Option<Vec<&str>> {
        let terms = self.required.as_ref().filter(|terms| !terms.is_empty())?;
        let mut names = vec![];
        for term in terms {
            for name in term.names()? {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        Some(names)
    }

    /// The sum of the weights of the preferences that hold.
    pub fn preference(&self, node: &NodeFacts) -> i64 {
        self.preferred.iter().filter(|(_, term)| term.matches(node)).map(|(weight, _)| weight).sum()
    }
}
