//! What every component stands on: owned tasks and orderly shutdown, back-off, feature gates, and address ranges.
//!
//! Knows nothing of Kubernetes but the names of its feature gates. A component is `async fn run(config, shutdown) -> Result<(), _>`; it makes a
//! [`Tasks`] from the [`Shutdown`] it was given, starts its loops in it, and returns when they have all ended.

mod backoff;
mod cidr;
mod features;
mod tasks;
mod version;

pub use backoff::{Backoff, BackoffState};
pub use cidr::{Cidr, CidrError};
pub use features::{FeatureError, Features, Gate, Stage};
pub use tasks::{Shutdown, TaskError, TaskSpawner, Tasks};
pub use version::{IMAGE_TAG, VERSION};
