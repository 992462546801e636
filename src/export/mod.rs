use std::io::Write; use std::collections::BTreeMap;
#[derive(Debug, thiserror::Error)]
pub enum ExportError { #[error("x")] X, #[error("io")] Io(#[from] std::io::Error) }
pub struct TensorHeader { pub name: String, pub dtype: crate::tensor::Dtype, pub shape: Vec<u64> }
pub struct Writer<W>(W);
impl<W: Write> Writer<W> {
 pub fn safetensors(_o: W, _h: &[TensorHeader], _m: &BTreeMap<String,String>) -> Result<Self, ExportError> { todo!() }
 pub fn npz(_o: W, _h: &[TensorHeader]) -> Result<Self, ExportError> { todo!() }
 pub fn write(&mut self, _b: &[u8]) -> Result<(), ExportError> { todo!() }
 pub fn finish(self) -> Result<W, ExportError> { todo!() }
}
