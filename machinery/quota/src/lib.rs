//! What objects ask for and use, as quotas count it: resource lists and their arithmetic, what a pod asks for as a
//! whole, and for each resource how an object is measured.
//!
//! Pure; objects are dynamic trees. The API server's admission and the resource quota controller both stand on it, so
//! that what one charges the other counts.

pub mod amounts;
pub mod pod_amounts;
pub mod pods;
mod scope;
mod usage;

pub use amounts::Amounts;
pub use scope::Selector;
pub use usage::{Facts, Tracked, is_ignored};

#[cfg(test)]
mod tests;
