//! The scheduling framework: extension points as traits, and the sets of plugins that a profile runs.
//!
//! A pod's way: PreEnqueue → QueueSort → PreFilter → Filter → (PostFilter) → PreScore → Score → Reserve → Permit →
//! PreBind → Bind → PostBind. The first half is pure and runs in `cycle`; from Reserve on things happen.

mod events;
mod points;
mod set;
mod state;
mod status;

pub use events::{ClusterChange, Hint};
pub use points::{
    Bind, Filter, Permission, Permit, Plugin, PostBind, PostFilter, PreBind, PreEnqueue, PreFilter,
    PreFiltered, PreScore, QueueSort, Reserve, Score, SortKey, normalize_by_max,
};
pub use set::PluginSet;
pub use state::CycleState;
pub use status::{Code, Status};

/// The greatest score of a node at one plugin.
pub const NODE_SCORE_MAX: i64 = 100;
