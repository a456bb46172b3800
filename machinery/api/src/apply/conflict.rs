//! What goes wrong when a configuration is applied.

use super::fields::{FieldSet, path_text};
use super::managed::{Manager, Operation};
use crate::status::Status;

/// The fields that others own and the configuration would change.
#[derive(Debug, Clone, Default)]
pub struct Conflicts {
    /// By manager, in upstream's order.
    pub(super) by: Vec<(Manager<'static>, FieldSet<'static>)>,
}

/// A configuration that cannot be applied. The texts are upstream's.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApplyError {
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    Conflict(Conflicts),
    /// What upstream answers as an error of the server, though it is the configuration's.
    #[error("{0}")]
    Unfit(String),
}

impl ApplyError {
    /// 400, 409 with a cause for each field in conflict, or 500.
    pub fn to_status(&self) -> Status {
        match self {
            Self::BadRequest(why) => Status::bad_request(why.clone()),
            Self::Unfit(why) => Status::new(500, "", why.clone()),
            Self::Conflict(conflicts) => {
                let mut status = Status::new(409, "Conflict", conflicts.to_string());
                for (manager, path) in conflicts.each() {
                    let told = format!("conflict with {}", named(manager));
                    status = status.with_cause("FieldManagerConflict", told, &path);
                }
                status
            }
        }
    }
}

impl Conflicts {
    pub(super) fn new(mut by: Vec<(Manager<'static>, FieldSet<'static>)>) -> Self {
        by.sort_by_cached_key(|(manager, _)| manager.identity());
        Self { by }
    }

    pub fn is_empty(&self) -> bool {
        self.by.is_empty()
    }

    /// Each field with the manager that owns it.
    pub fn each(&self) -> Vec<(&Manager<'static>, String)> {
        let mut out = Vec::new();
        for (manager, fields) in &self.by {
            fields.each(&mut |path| out.push((manager, path_text(path))));
        }
        out
    }

    /// Those that are not in `allowed`.
    pub(super) fn without(mut self, allowed: &FieldSet<'_>) -> Self {
        self.by.retain_mut(|(_, fields)| {
            fields.subtract(allowed);
            !fields.is_empty()
        });
        self
    }
}

impl std::fmt::Display for Conflicts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all = self.each();
        if let [(manager, path)] = all.as_slice() {
            return write!(f, "Apply failed with 1 conflict: conflict with {}: {path}", named(manager));
        }
        write!(f, "Apply failed with {} conflicts: ", all.len())?;
        for (at, (manager, fields)) in self.by.iter().enumerate() {
            let line = if at > 0 { "\n" } else { "" };
            write!(f, "{line}conflicts with {}:", named(manager))?;
            for path in fields.paths() {
                write!(f, "\n- {path}")?;
            }
        }
        Ok(())
    }
}

fn named(manager: &Manager<'_>) -> String {
    let mut out = format!("{:?}", manager.name);
    if !manager.subresource.is_empty() {
        out.push_str(&format!(" with subresource {:?}", manager.subresource));
    }
    if manager.operation == Operation::Update {
        out.push_str(&format!(" using {}", manager.api_version));
    }
    out
}
