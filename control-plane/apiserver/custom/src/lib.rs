//! CustomResourceDefinitions: the definition compiled (schema, strategy, columns, scale, conversion), its own validation,
//! and the plans of its controllers. No IO: the core watches definitions, calls, and stores.

mod columns;
mod compile;
mod convert;
mod correlate;
mod definition;
mod embedded;
mod jsonpath;
mod names;
mod openapi;
mod order;
mod rules;
mod scale;
mod source;
mod status;
mod strategy;
mod validate;
mod value;

pub use columns::Column;
pub use compile::{CompileError, CustomResource, CustomVersion, IntakeError, Names, Selectable, compile};
pub use convert::{Conversion, ConversionWebhook, convert};
pub use definition::definition_strategy;
pub use jsonpath::{JsonPath, PathError};
pub use order::compare as compare_versions;
pub use scale::Scale;
pub use status::{
    CLEANUP_FINALIZER, Cleanup, after_cleanup, begin_cleanup, needs_cleanup, plan_status, waits_for_names,
};
