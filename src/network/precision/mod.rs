//! The search for the cheapest number format in which a network still answers rightly (Hill et al. 2018, section 3.3), and the
//! exhaustive search that its reviewers asked for.
//!
//! ```text
//! space       which formats: forms with ranges, `m1..20e2..8`
//! trial       what a worker is asked of a format, and what it answers
//! race        when a format that has seen some of the samples can be dropped
//! exhaustive  every format, on growing sets of samples, the cheapest first
//! efficient   ten samples each, a linear model of what they foretell, then measured steps of a bit
//! mixed       a format for every layer, by measured sensitivity
//! scorer      runs the network in a format and counts right answers
//! ```
//!
//! Searches are state machines: [`Search::asks`] says what is to be measured next, [`Search::hear`] takes the answers. Threads of
//! the program and workers of the page drive them alike, and what they find does not depend on how many there are.

pub mod efficient;
pub mod exhaustive;
pub mod mixed;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
pub mod race;
pub mod scorer;
pub mod space;
pub mod trial;

pub use efficient::{Efficient, Model};
pub use exhaustive::Exhaustive;
pub use race::Target;
pub use scorer::{Part, Parts, Scorer};
pub use trial::{Ask, Candidate, Fate, Heard, csv};

/// A search that asks for measurements.
pub trait Search {
    /// What is to be measured next, in any order; nothing where the search is over.
    fn asks(&self, candidates: &[Candidate]) -> Vec<Ask>;

    /// Looks at candidates that have been measured as asked.
    fn hear(&mut self, candidates: &mut [Candidate]);
}
