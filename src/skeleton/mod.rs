//! A file without the numbers of its tensors, and where they go: what a compressed file carries so that decoding it gives back
//! the file and not its weights alone.
//!
//! The file that is given back is the source, but for what [`Anatomy`](crate::anatomy::Anatomy) says. It is cut at *places*,
//! where the numbers of a tensor go, and *checksums* of bytes that hold other numbers than before. What is left is its
//! *skeleton*, which is coded without loss. A tensor that shares bytes with another in another form has no place: it is kept,
//! as a view of the skeleton.

mod build;
mod files;
mod map;
mod pieces;
mod view;

pub use build::{Form, Skeleton, without_place};
pub use files::misplaced;
pub use map::{Segment, Target, segments};
pub use pieces::{Piece, Pieces};
pub use view::View;
