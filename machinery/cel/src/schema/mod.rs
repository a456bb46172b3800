//! Where declared types come from: structural schemas and the type table. Names that CEL cannot spell are escaped.

mod escape;
mod structural;
mod table;

pub(crate) use escape::is_keyword;
pub use escape::{escape, unescape};
pub(crate) use table::fields_of;

/// The greatest request that is accepted, in bytes; nothing in one object is larger.
pub(crate) const REQUEST_BYTES_MAX: u64 = 3 * 1024 * 1024;

#[cfg(test)]
mod tests;
