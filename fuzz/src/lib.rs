//! Fuzz targets for everything that parses what a stranger sent, and a driver for stable Rust.

pub mod corpus;
pub mod driver;
pub mod mutate;
pub mod rng;
pub mod targets;

use std::fmt::Display;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// One parser under test.
#[derive(Clone, Copy)]
pub struct Target {
    pub name: &'static str,
    /// Panics when a promise is broken. Says what it saw.
    pub run: fn(&[u8]) -> Seen,
    pub shape: Shape,
    /// Words that random bytes would take long to find.
    pub words: &'static [&'static str],
}

/// What a target's inputs look like; it decides how they are mutated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Json,
    Text,
    Bytes,
}

/// What an input made the code do, as far as it can be told: inputs with something new to see are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seen(pub u64);

impl Seen {
    /// Nothing worth telling.
    pub const NOTHING: Self = Self(0);

    /// A step of the target and how it ended. Digits and what is quoted differ from input to input and are struck out.
    #[must_use]
    pub fn and(self, step: &str, end: impl Display) -> Self {
        let mut hasher = DefaultHasher::new();
        (self.0, step).hash(&mut hasher);
        let text = end.to_string();
        let mut quoted = false;
        for c in text.chars().take(400) {
            match c {
                '"' | '\'' | '`' => quoted = !quoted,
                c if quoted || c.is_ascii_digit() => {}
                c => c.hash(&mut hasher),
            }
        }
        Self(hasher.finish())
    }

    /// A step that went well or did not.
    #[must_use]
    pub fn result<T, E: Display>(self, step: &str, result: &Result<T, E>) -> Self {
        match result {
            Ok(_) => self.and(step, "ok"),
            Err(error) => self.and(step, error),
        }
    }
}
