//! What a plugin answers.

use std::borrow::Cow;
use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Code {
    #[default]
    Success,
    /// Something failed that has nothing to do with whether the pod fits.
    Error,
    /// The pod does not fit now.
    Unschedulable,
    /// The pod does not fit, and no other pod's leaving would change that.
    UnschedulableAndUnresolvable,
    /// The pod waits for a permit.
    Wait,
    /// The plugin has nothing to do for this pod.
    Skip,
}

/// A code, and its reasons in upstream's words. A success allocates nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    pub code: Code,
    pub reasons: Vec<Cow<'static, str>>,
    /// Who said it; empty for a success.
    pub plugin: &'static str,
}

impl Status {
    pub const SUCCESS: Self = Self { code: Code::Success, reasons: Vec::new(), plugin: "" };
    pub const SKIP: Self = Self { code: Code::Skip, reasons: Vec::new(), plugin: "" };

    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reasons: vec![reason.into()], plugin: "" }
    }

    pub fn unschedulable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unschedulable, reason)
    }

    pub fn unresolvable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::UnschedulableAndUnresolvable, reason)
    }

    pub fn error(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Error, reason)
    }

    pub fn by(self, plugin: &'static str) -> Self {
        Self { plugin, ..self }
    }

    pub fn is_success(&self) -> bool {
        self.code == Code::Success
    }

    pub fn is_skip(&self) -> bool {
        self.code == Code::Skip
    }

    /// Whether it says that the pod does not fit.
    pub fn is_rejected(&self) -> bool {
        matches!(self.code, Code::Unschedulable | Code::UnschedulableAndUnresolvable)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reasons.join(", "))
    }
}
