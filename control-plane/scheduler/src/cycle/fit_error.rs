//! Why a pod fits no node, in upstream's words.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use crate::framework::Status;

/// The reasons of all nodes, counted, and the plugins that gave them.
#[derive(Debug, Default)]
pub struct FitError {
    nodes: usize,
    pre_filter: String,
    reasons: BTreeMap<Cow<'static, str>, usize>,
    post_filter: Vec<String>,
    rejectors: Vec<&'static str>,
}

impl FitError {
    pub(super) fn new(nodes: usize) -> Self {
        Self { nodes, ..Self::default() }
    }

    fn rejected_by(&mut self, plugin: &'static str) {
        if !self.rejectors.contains(&plugin) {
            self.rejectors.push(plugin);
        }
    }

    /// One node does not fit.
    pub(super) fn node(&mut self, status: Status) {
        self.rejected_by(status.plugin);
        for reason in status.reasons {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    /// No node can fit.
    pub(super) fn pre_filter(&mut self, status: Status) {
        self.rejected_by(status.plugin);
        self.pre_filter = status.to_string();
    }

    /// Plugins left `count` nodes out of the search.
    pub(super) fn others_not_allowed(&mut self, plugins: &[&'static str], count: usize) {
        for plugin in plugins {
            self.rejected_by(plugin);
        }
        if count > 0 {
            let reason = format!("node(s) didn't satisfy plugin(s) [{}]", plugins.join(" "));
            *self.reasons.entry(reason.into()).or_default() += count;
        }
    }

    pub(super) fn post_filter(&mut self, status: &Status) {
        if !status.reasons.is_empty() {
            self.post_filter.push(status.to_string());
        }
    }

    /// The plugins whose hints decide when it is worth trying again.
    pub fn rejectors(&self) -> &[&'static str] {
        &self.rejectors
    }
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0/{} nodes are available:", self.nodes)?;
        if !self.pre_filter.is_empty() {
            write!(f, " {}.", self.pre_filter)?;
        } else if !self.reasons.is_empty() {
            // Sorted as text, number first.
            let mut counted: Vec<String> =
                self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            counted.sort();
            write!(f, " {}.", counted.join(", "))?;
        }
        if !self.post_filter.is_empty() {
            write!(f, " {}", self.post_filter.join(", "))?;
        }
        Ok(())
    }
}
