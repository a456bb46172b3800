//! What plugins remember within one scheduling cycle.

use std::any::{Any, TypeId};

/// Values by their type, one of each; a plugin keeps its own type private, and so its state too. Beside them: which
/// Filter and Score plugins asked to be left out for this pod.
#[derive(Default)]
pub struct CycleState {
    values: Vec<(TypeId, Box<dyn Any + Send + Sync>)>,
    pub(crate) filters_skipped: Vec<&'static str>,
    pub(crate) scores_skipped: Vec<&'static str>,
}

impl CycleState {
    pub fn write<T: Any + Send + Sync>(&mut self, value: T) {
        let id = TypeId::of::<T>();
        match self.values.iter_mut().find(|(known, _)| *known == id) {
            Some((_, old)) => *old = Box::new(value),
            None => self.values.push((id, Box::new(value))),
        }
    }

    pub fn read<T: Any>(&self) -> Option<&T> {
        let id = TypeId::of::<T>();
        let (_, value) = self.values.iter().find(|(known, _)| *known == id)?;
        value.downcast_ref()
    }
}
