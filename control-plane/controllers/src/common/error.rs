//! What became of a request to the API that failed, for every controller's errors.

use thiserror::Error;

/// What was tried, and why it did not work.
#[derive(Debug, Error)]
#[error("{what}")]
pub(crate) struct ApiError {
    pub(crate) what: &'static str,
    #[source]
    pub(crate) source: kube::Error,
}

/// For `map_err`: `what` was tried.
pub(crate) fn api_error(what: &'static str) -> impl FnOnce(kube::Error) -> ApiError {
    move |source| ApiError { what, source }
}
