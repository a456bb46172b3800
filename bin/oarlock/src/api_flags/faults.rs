//! Faults of settings and of the files that they name: told together, so that one start tells them all.

use std::fmt::Display;
use std::path::Path;

use anyhow::{Result, bail};

#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<String>);

impl Faults {
    pub(crate) fn add(&mut self, fault: impl Display) {
        let fault = fault.to_string();
        if !self.0.contains(&fault) {
            self.0.push(fault);
        }
    }

    /// What there is, or a fault of this flag.
    pub(crate) fn take<T, E: Display>(&mut self, flag: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(format!("--{flag}: {error}"))).ok()
    }

    /// Several faults that are told by themselves.
    pub(crate) fn all(&mut self, result: Result<(), Vec<String>>) {
        result.err().into_iter().flatten().for_each(|fault| self.add(fault));
    }

    /// The bytes of a flag's file.
    pub(crate) fn bytes(&mut self, flag: &str, path: Option<&Path>) -> Option<Vec<u8>> {
        let path = path?;
        let read = std::fs::read(path).map_err(|error| format!("read {}: {error}", path.display()));
        self.take(flag, read)
    }

    /// The text of a flag's file.
    pub(crate) fn text(&mut self, flag: &str, path: Option<&Path>) -> Option<String> {
        let bytes = self.bytes(flag, path)?;
        let text = String::from_utf8(bytes).map_err(|_| "the file is not text");
        self.take(flag, text)
    }

    pub(crate) fn finish(self) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        bail!("{}", self.0.join("; "))
    }
}
