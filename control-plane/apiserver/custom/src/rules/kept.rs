//! How far an object is the same as before, on the way down into it: what is wrong in a part that did not change is forgiven.

use crate::correlate::Correlated;

/// What stood before in the place of a part.
#[derive(Clone, Copy)]
pub(super) enum Kept<'a> {
    /// Nobody can tell.
    Unknown,
    /// The object itself.
    Whole(Correlated<'a>),
    Part(Correlated<'a>),
    /// Of the part itself nobody can tell; this is the nearest around it.
    Within(Correlated<'a>),
}

impl<'a> Kept<'a> {
    pub(super) fn of(whole: Option<Correlated<'a>>) -> Self {
        whole.map_or(Self::Unknown, Self::Whole)
    }

    pub(super) fn forgives(self) -> bool {
        match self {
            Self::Unknown => false,
            Self::Whole(both) | Self::Part(both) | Self::Within(both) => both.is_unchanged(),
        }
    }

    pub(super) fn key(self, name: &str) -> Self {
        match self {
            // The old object was converted: whether these changed cannot be seen.
            Self::Whole(_) if matches!(name, "apiVersion" | "kind") => Self::Unknown,
            _ => self.below(|both| both.key(name)),
        }
    }

    pub(super) fn index(self, index: usize) -> Self {
        self.below(|both| both.index(index))
    }

    fn below(self, step: impl FnOnce(&Correlated<'a>) -> Option<Correlated<'a>>) -> Self {
        match self {
            Self::Whole(both) | Self::Part(both) => step(&both).map_or(Self::Within(both), Self::Part),
            Self::Unknown | Self::Within(_) => self,
        }
    }
}
