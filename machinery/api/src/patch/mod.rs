//! The three patches that change a whole object: JSON patch (RFC 6902), merge patch (RFC 7386) and strategic merge
//! patch, which knows from the type table how lists merge. Pure: a document and a patch give a document. Server-side
//! apply is a different thing and not here. The `…_into` functions change the document in place and copy only what the patch
//! brings; a patch is read once and may be applied again and again.

mod json;
mod merge;
mod order;
mod strategic;

use crate::status::Status;

pub use json::{COPY_BYTES_MAX, JsonPatch, NESTING_MAX, OPERATIONS_MAX, json_patch};
pub use merge::{merge_patch, merge_patch_into};
pub use strategic::{strategic_merge, strategic_merge_into};

/// A patch that cannot be applied. The texts are upstream's; [`PatchError::to_status`] says how the API answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// The patch is not one.
    #[error("{0}")]
    Malformed(String),
    #[error("The allowed maximum operations in a JSON patch is {max}, got {actual}")]
    TooManyOperations { actual: usize, max: usize },
    /// The patch is well formed, but this document does not take it.
    #[error("{0}")]
    Inapplicable(String),
    /// What upstream answers as an error of the server.
    #[error("{0}")]
    Unmergeable(String),
}

impl PatchError {
    pub fn to_status(&self) -> Status {
        match self {
            Self::Malformed(why) => Status::bad_request(why.clone()),
            Self::TooManyOperations { .. } => Status::request_entity_too_large(self.to_string()),
            // Upstream drops the cause here: the answer carries only this sentence.
            Self::Inapplicable(_) => {
                let told = "the server rejected our request due to an error in our request";
                let mut status = Status::new(422, "Invalid", told);
                status.details = Some(Box::default());
                status
            }
            Self::Unmergeable(why) => Status::new(500, "", why.clone()),
        }
    }
}
