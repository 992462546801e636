//! Decoded weights as files that other programs read.
//!
//! A [`Writer`] is told all tensors first and then takes their bytes in order, so nothing is held in memory. What a format writes
//! around the bytes is its [`Frame`], beside its reader.

#[cfg(feature = "network")]
use super::FormatError;
use super::Source;
use crate::model::{FileFormat, Model};
use crate::tensor::Dtype;
use std::collections::BTreeMap;
use std::io::Write;

/// Why weights could not be written in a format.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The format has no such element type.
    #[error("tensor {name:?}: {format} has no type for {dtype}; choose {instead}")]
    Dtype {
        /// The tensor.
        name: String,
        /// The format asked for.
        format: &'static str,
        /// The element type it lacks.
        dtype: &'static str,
        /// A format that has it.
        instead: &'static str,
    },
    /// The format has no room for a name that long.
    #[error(
        "tensor {name}: a .npz archive has room for names of {limit} bytes, found {found}; choose safetensors"
    )]
    Name {
        /// The start of the tensor's name.
        name: String,
        /// Bytes of the longest name.
        limit: usize,
        /// Bytes of this one.
        found: usize,
    },
    /// The model whose weights are to be replaced has others.
    #[error(
        "the ONNX model to write the weights into does not fit: tensor {tensor:?}: expected {expected}, found {found}"
    )]
    Template {
        /// The tensor.
        tensor: String,
        /// What is to be written.
        expected: String,
        /// What the model has.
        found: String,
    },
    /// The model is another than the one that the weights came from.
    #[error("that model is not the one the file was made from: expected {expected}, found {found}")]
    OtherModel {
        /// What is to be written.
        expected: String,
        /// What the model has.
        found: String,
    },
    /// The bytes handed over are not those of the tensors announced.
    #[error("expected {expected} bytes for the tensors announced, found {found}")]
    Length {
        /// Bytes announced.
        expected: u64,
        /// Bytes handed over.
        found: u64,
    },
    /// The format cannot be written.
    #[error("{0} files are read and not written")]
    Unwritten(&'static str),
    /// The format is written into a file that is not there.
    #[error("{0} is written into the file that the weights came from, which is not open")]
    NoTemplate(&'static str),
    /// The output could not be written.
    #[error("writing the decoded weights failed")]
    Io(#[from] std::io::Error),
}

#[cfg(feature = "network")]
impl ExportError {
    /// The model to write the weights into cannot be read.
    pub(super) fn unreadable(error: FormatError) -> Self {
        Self::Io(std::io::Error::other(error))
    }
}

/// A tensor about to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorHeader {
    /// Its name.
    pub name: String,
    /// The type of its elements.
    pub dtype: Dtype,
    /// Its dimensions, outermost first.
    pub shape: Vec<u64>,
}

impl TensorHeader {
    /// Number of bytes of its elements.
    pub(super) fn size_bytes(&self) -> u64 {
        self.shape.iter().product::<u64>() * self.dtype.size_bytes()
    }
}

/// The file that weights came from, for the formats whose writer gives that file with other weights.
#[derive(Clone, Copy)]
pub struct Template<'a> {
    /// Its bytes.
    pub source: &'a dyn Source,
    /// Where its tensors lie.
    pub model: &'a Model,
}

impl std::fmt::Debug for Template<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Template").field("model", &self.model).finish_non_exhaustive()
    }
}

/// What is about to be written.
#[derive(Debug, Clone, Copy)]
pub struct Contents<'a> {
    /// The tensors, in the order of their bytes.
    pub tensors: &'a [TensorHeader],
    /// Free text by key, for the formats that hold some.
    pub metadata: &'a BTreeMap<String, String>,
    /// The file to write them into.
    pub template: Option<Template<'a>>,
}

impl<'a> Contents<'a> {
    /// Tensors alone.
    pub fn of(tensors: &'a [TensorHeader]) -> Self {
        static NO_METADATA: BTreeMap<String, String> = BTreeMap::new();
        Self { tensors, metadata: &NO_METADATA, template: None }
    }
}

/// What a format writes around the bytes of tensors.
pub(super) trait Frame {
    /// Writes what stands before the bytes of `tensor`, the next in order.
    fn open(&mut self, out: &mut dyn Write, tensor: &TensorHeader) -> Result<(), ExportError>;

    /// Writes bytes of the open tensor; a call may end inside an element.
    fn write(&mut self, out: &mut dyn Write, bytes: &[u8]) -> Result<(), ExportError>;

    /// Writes what stands behind the open tensor, all of whose bytes were written.
    fn close(&mut self, out: &mut dyn Write) -> Result<(), ExportError>;

    /// Writes what stands behind all tensors.
    fn finish(&mut self, out: &mut dyn Write) -> Result<(), ExportError>;
}

/// Writes tensors in the order they were announced.
pub struct Writer<'a, W> {
    out: W,
    tensors: Vec<TensorHeader>,
    /// The tensor being written and how many of its bytes are.
    current: usize,
    written: u64,
    frame: Box<dyn Frame + 'a>,
}

impl<W> std::fmt::Debug for Writer<'_, W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("current", &self.current).finish_non_exhaustive()
    }
}

impl<'a, W: Write> Writer<'a, W> {
    /// Starts a file of a format that can be written.
    ///
    /// Into a template, tensors go in the template's order; the output has the template's bytes outside them, and its length but
    /// where numbers of varying length become raw data ([`FileFormat::parts`]).
    pub fn new(format: FileFormat, mut out: W, contents: &Contents<'a>) -> Result<Self, ExportError> {
        let frame = (format.writes()?.start)(&mut out, contents)?;
        let mut writer = Self { out, tensors: contents.tensors.to_vec(), current: 0, written: 0, frame };
        writer.open()?;
        writer.advance()?;
        Ok(writer)
    }

    /// Writes the next bytes: little-endian elements, in the tensors' order; a call may end inside a tensor.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), ExportError> {
        while !bytes.is_empty() {
            let Some(tensor) = self.tensors.get(self.current) else {
                let expected = self.tensors.iter().map(TensorHeader::size_bytes).sum();
                return Err(ExportError::Length { expected, found: expected + bytes.len() as u64 });
            };
            let room = tensor.size_bytes() - self.written;
            let (now, later) = bytes.split_at(bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            self.frame.write(&mut self.out, now)?;
            self.written += now.len() as u64;
            bytes = later;
            self.advance()?;
        }
        Ok(())
    }

    /// Closes every tensor that is whole and opens the next.
    fn advance(&mut self) -> Result<(), ExportError> {
        while self.tensors.get(self.current).is_some_and(|tensor| tensor.size_bytes() == self.written) {
            self.frame.close(&mut self.out)?;
            self.current += 1;
            self.written = 0;
            self.open()?;
        }
        Ok(())
    }

    fn open(&mut self) -> Result<(), ExportError> {
        let Some(tensor) = self.tensors.get(self.current) else { return Ok(()) };
        self.frame.open(&mut self.out, tensor)
    }

    /// Ends the file; refused while a tensor lacks bytes.
    pub fn finish(mut self) -> Result<W, ExportError> {
        self.advance()?;
        if self.current < self.tensors.len() {
            let sizes = |tensors: &[TensorHeader]| tensors.iter().map(TensorHeader::size_bytes).sum::<u64>();
            let expected = sizes(&self.tensors);
            let found = sizes(self.tensors.get(..self.current).unwrap_or_default()) + self.written;
            return Err(ExportError::Length { expected, found });
        }
        self.frame.finish(&mut self.out)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Limits, TensorReader, open};

    fn tensors() -> Vec<(TensorHeader, Vec<u8>)> {
        let tensor = |name: &str, dtype: Dtype, shape: &[u64]| {
            let header = TensorHeader { name: name.to_owned(), dtype, shape: shape.to_vec() };
            let bytes = (0..header.size_bytes()).map(|i| (i * 7 + 3) as u8).collect();
            (header, bytes)
        };
        vec![
            tensor("a \"quoted\" name", Dtype::F32, &[2, 3]),
            tensor("empty", Dtype::F16, &[0, 5]),
            tensor("scalar", Dtype::I64, &[]),
            tensor("bytes", Dtype::U8, &[7]),
            tensor("last.empty", Dtype::F64, &[0]),
        ]
    }

    fn start(format: FileFormat, tensors: &[TensorHeader]) -> Result<Writer<'_, Vec<u8>>, ExportError> {
        Writer::new(format, Vec::new(), &Contents::of(tensors))
    }

    fn into_onnx<'a>(
        tensors: &'a [TensorHeader],
        source: &'a dyn Source,
        model: &'a Model,
    ) -> Result<Writer<'a, Vec<u8>>, ExportError> {
        let contents = Contents { template: Some(Template { source, model }), ..Contents::of(tensors) };
        Writer::new(FileFormat::Onnx, Vec::new(), &contents)
    }

    fn check(file: &[u8], expected: &[(TensorHeader, Vec<u8>)]) {
        let model = open(&file, &Limits::default()).unwrap();
        assert_eq!(model.tensors.len(), expected.len());
        for (header, bytes) in expected {
            let tensor = model.tensors.iter().find(|t| t.name == header.name).unwrap();
            assert_eq!((&tensor.shape, tensor.dtype), (&header.shape, header.dtype));
            let mut read = Vec::new();
            TensorReader::new(&file, tensor, &Limits::default())
                .unwrap()
                .read(0..tensor.len(), &mut read)
                .unwrap();
            assert_eq!(read, *bytes, "{}", header.name);
        }
    }

    #[test]
    fn both_formats_read_back_whatever_the_pieces_handed_over() {
        let tensors = tensors();
        let headers: Vec<TensorHeader> = tensors.iter().map(|(h, _)| h.clone()).collect();
        let bytes = tensors.iter().flat_map(|(_, b)| b.clone()).collect::<Vec<u8>>();
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        let contents = Contents { metadata: &metadata, ..Contents::of(&headers) };
        for piece in [1, 3, 8, 1000] {
            let mut safetensors = Writer::new(FileFormat::Safetensors, Vec::new(), &contents).unwrap();
            let mut npz = Writer::new(FileFormat::Npz, Vec::new(), &contents).unwrap();
            for part in bytes.chunks(piece) {
                safetensors.write(part).unwrap();
                npz.write(part).unwrap();
            }
            let file = safetensors.finish().unwrap();
            check(&file, &tensors);
            assert_eq!(open(&file, &Limits::default()).unwrap().metadata, metadata);
            check(&npz.finish().unwrap(), &tensors);
        }
    }

    #[test]
    fn too_few_and_too_many_bytes_are_refused() {
        let header = TensorHeader { name: "a".to_owned(), dtype: Dtype::F32, shape: vec![2] };
        let mut writer = start(FileFormat::Npz, std::slice::from_ref(&header)).unwrap();
        writer.write(&[0; 4]).unwrap();
        let sentence = writer.finish().unwrap_err().to_string();
        assert_eq!(sentence, "expected 8 bytes for the tensors announced, found 4");
        let mut writer = start(FileFormat::Safetensors, std::slice::from_ref(&header)).unwrap();
        assert!(writer.write(&[0; 9]).is_err());
    }

    #[test]
    fn a_type_that_a_format_lacks_is_named() {
        let tensor = |dtype| TensorHeader { name: "w".to_owned(), dtype, shape: vec![1] };
        let sentence = start(FileFormat::Npz, &[tensor(Dtype::Bf16)]).unwrap_err().to_string();
        assert_eq!(sentence, "tensor \"w\": .npz has no type for BF16; choose safetensors");
        let sentence = start(FileFormat::Safetensors, &[tensor(Dtype::C128)]).unwrap_err().to_string();
        assert_eq!(sentence, "tensor \"w\": safetensors has no type for C128; choose .npz");
    }

    #[test]
    fn an_onnx_model_is_written_back_byte_for_byte_outside_its_weights() {
        let bytes = crate::formats::onnx::tests::onnx(&[("a", &[1.0, 2.0]), ("b", &[3.0])]);
        let model = open(&bytes, &Limits::default()).unwrap();
        let header = |t: &crate::tensor::Tensor| TensorHeader {
            name: t.name.clone(),
            dtype: t.dtype,
            shape: t.shape.clone(),
        };
        let headers: Vec<TensorHeader> = model.tensors.iter().map(header).collect();
        let write = |values: &[f32], headers: &[TensorHeader]| {
            let mut writer = into_onnx(headers, &bytes, &model)?;
            for value in values {
                writer.write(&value.to_le_bytes())?;
            }
            writer.finish()
        };
        assert_eq!(write(&[1.0, 2.0, 3.0], &headers).unwrap(), bytes);
        let other = crate::formats::onnx::tests::onnx(&[("a", &[5.0, 6.0]), ("b", &[7.0])]);
        assert_eq!(write(&[5.0, 6.0, 7.0], &headers).unwrap(), other);
        assert!(write(&[5.0, 6.0], &headers).is_err());
        let mut wrong = headers.clone();
        wrong[1].shape = vec![2];
        assert_eq!(
            write(&[1.0, 2.0, 3.0], &wrong).unwrap_err().to_string(),
            "the ONNX model to write the weights into does not fit: tensor \"b\": expected b of F32 [2], found b of F32 [1]"
        );
    }

    #[test]
    fn numbers_of_varying_length_become_raw_data_and_the_lengths_around_them_follow() {
        let field = |number: u8, bytes: &[u8]| {
            let mut field = vec![number << 3 | 2];
            let len = bytes.len();
            field.extend(if len < 128 { vec![len as u8] } else { vec![len as u8 | 0x80, (len >> 7) as u8] });
            field.extend(bytes);
            field
        };
        let tensor = |name: &str, data: (u8, &[u8])| {
            let mut tensor = vec![0x08, 60, 0x10, 10];
            tensor.extend(field(data.0, data.1));
            tensor.extend(field(8, name.as_bytes()));
            field(5, &tensor)
        };
        let around = |graph: &[u8]| [&[0x08, 8][..], &field(7, graph), b"\x12\x01p"].concat();
        let values: Vec<u8> = (0..60u16).flat_map(|i| (i * 997).to_le_bytes()).collect();
        let (numbers, raw) = ((5, &[0; 60][..]), (9, &values[..]));
        let before = around(&[tensor("a", numbers), tensor("b", raw), tensor("c", numbers)].concat());
        let after = around(&[tensor("a", raw), tensor("b", raw), tensor("c", raw)].concat());
        let model = open(&before, &Limits::default()).unwrap();
        let header = |name: &str| TensorHeader { name: name.to_owned(), dtype: Dtype::F16, shape: vec![60] };
        let headers = ["a", "b", "c"].map(header);
        let mut writer = into_onnx(&headers, &before, &model).unwrap();
        for piece in values.repeat(3).chunks(7) {
            writer.write(piece).unwrap();
        }
        assert_eq!(writer.finish().unwrap(), after);
        let joined =
            crate::formats::Joined::new([("m.onnx".to_owned(), before), ("data".to_owned(), vec![1, 2])]);
        let parts = FileFormat::Onnx
            .parts(&Template { source: &joined, model: &open(&joined, &Limits::default()).unwrap() });
        let parts = parts.unwrap();
        assert_eq!(parts.iter().map(|part| part.span.len).collect::<Vec<_>>(), [after.len() as u64, 2]);
    }
}
