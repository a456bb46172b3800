//! Admission webhooks: MutatingAdmissionWebhook and ValidatingAdmissionWebhook.

mod annotate;
mod call;
mod configuration;
mod hook;
mod hooks;
mod mutating;
mod review;
#[cfg(test)]
mod tests;
mod validating;
mod verdict;

pub(crate) use review::options;

pub use mutating::MutatingAdmissionWebhook;
pub use validating::ValidatingAdmissionWebhook;
