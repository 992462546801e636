//! Factors that have been made, as long as there is room for them.

use super::ImportanceError;
use super::values::Stage;
use crate::compensation::Factors;
use std::sync::{Arc, Mutex, OnceLock};

/// Bytes of factors that are held at most, beside those in use.
const MOST_BYTES: usize = 256 << 20;

/// A factor that is there or being made.
type Slot = Arc<OnceLock<Result<Arc<Factors>, String>>>;

/// Which factors: of a tensor, at a stage.
type Of = (usize, Stage);

/// Factors by tensor and stage, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Held {
    slots: Mutex<Vec<(Of, Slot)>>,
}

impl Held {
    /// The factors `of` a tensor, which `make` makes if they are not held.
    pub(super) fn get(
        &self,
        of: Of,
        make: impl FnOnce() -> Result<Factors, ImportanceError>,
    ) -> Result<Arc<Factors>, ImportanceError> {
        // Whoever comes second waits for the first to have made them, and for nothing else.
        let found =
            self.slot(of).get_or_init(|| make().map(Arc::new).map_err(|error| error.to_string())).clone();
        found.map_err(ImportanceError::Moments)
    }

    /// Forgets those of a tensor at a stage.
    #[cfg(feature = "network")]
    pub(super) fn forget(&self, of: Of) {
        let mut slots = self.slots.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        slots.retain(|(held, _)| *held != of);
    }

    fn slot(&self, wanted: Of) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, slot)) = slots.iter().find(|(of, _)| *of == wanted) {
            return Arc::clone(slot);
        }
        let bytes = |slot: &Slot| match slot.get() {
            Some(Ok(factors)) => factors.bytes(),
            _ => 0,
        };
        let mut held: usize = slots.iter().map(|(_, slot)| bytes(slot)).sum();
        while held > MOST_BYTES && !slots.is_empty() {
            held -= bytes(&slots.remove(0).1);
        }
        let slot = Slot::default();
        slots.push((wanted, Arc::clone(&slot)));
        slot
    }
}

/// A copy makes its own.
impl Clone for Held {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// What is held can be made again, and makes no difference.
impl PartialEq for Held {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
