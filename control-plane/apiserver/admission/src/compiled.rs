//! What was compiled from objects, until one of them changes.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// One compiled value with the generation it was made of.
pub(crate) struct Compiled<T>(ArcSwapOption<(u64, Arc<T>)>);

impl<T> Default for Compiled<T> {
    fn default() -> Self {
        Self(ArcSwapOption::empty())
    }
}

impl<T> Compiled<T> {
    /// The value of this generation, made where it is another's. Read the generation before what `make` reads: what changes
    /// in between is then compiled again.
    pub(crate) fn get(&self, generation: u64, make: impl FnOnce() -> T) -> Arc<T> {
        if let Some(kept) = &*self.0.load()
            && kept.0 == generation
        {
            return kept.1.clone();
        }
        let made = Arc::new(make());
        self.0.store(Some(Arc::new((generation, made.clone()))));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_made_once_for_each_generation() {
        let compiled = Compiled::default();
        assert_eq!(*compiled.get(1, || 1), 1);
        assert_eq!(*compiled.get(1, || 2), 1);
        assert_eq!(*compiled.get(2, || 3), 3);
    }
}
