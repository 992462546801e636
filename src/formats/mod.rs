//! temp
mod cursor; mod error; mod inflate; mod layout; mod npy; mod npz; mod safetensors; mod source; mod zip;
pub use error::FormatError;
pub use source::{Limits, Source, read_part};
use crate::tensor::*;
/// temp
pub fn open(s: &dyn Source, l: &Limits) -> Result<crate::model::Model, FormatError> { safetensors::open(s, l) }
/// temp
pub fn matching_name(n: &str) -> &str { n.strip_prefix("module.").unwrap_or(n) }
/// temp
pub struct TensorReader<'a>{s:&'a dyn Source, t: Tensor}
impl<'a> TensorReader<'a> {
/// temp
    pub fn new(s: &'a dyn Source, t: &Tensor, _l: &Limits) -> Result<Self, FormatError> { Ok(Self{s,t:t.clone()}) }
/// temp
    pub fn read(&mut self, r: std::ops::Range<u64>, b: &mut Vec<u8>) -> Result<(), FormatError> {
        let Storage::Stored(span) = self.t.storage else { todo!() };
        let sz = self.t.dtype.size_bytes();
        let bytes = read_part(self.s, "x", span.offset + self.t.offset + r.start*sz, (r.end-r.start)*sz, u64::MAX)?;
        b.extend(bytes); Ok(())
    }
/// temp
    pub fn read_f32(&mut self, r: std::ops::Range<u64>, v: &mut Vec<f32>) -> Result<(), FormatError> { let mut b=Vec::new(); self.read(r,&mut b)?; self.t.dtype.extend_f32(&b, v); Ok(()) }
}
