//! Which requests a webhook, a policy or a binding means.

mod criteria;
mod rule;
#[cfg(test)]
mod tests;

pub(crate) use criteria::{Criteria, Matched, Subjects, namespace};
pub(crate) use rule::Rule;
