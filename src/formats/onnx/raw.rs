//! Where an ONNX model is to be changed so that numbers of varying length become raw data.
//!
//! 16-bit floats may stand in `TensorProto.int32_data` (field 5, packed varints of 1 to 3 bytes each; onnx.proto3 of ONNX
//! 1.16). Other values take another number of bytes there, and with them change the lengths of every message around. The
//! numbers are therefore replaced by `raw_data` (field 9), two bytes each, and the lengths of the tensor, its graph and
//! whatever they lie in are written anew; nothing else moves.
//!
//! Cost: linear in the fields of the messages that hold such numbers.

use crate::anatomy::Edit;
use crate::formats::protobuf::{Value, Wire};
use crate::formats::{FormatError, Source};
use crate::model::Model;
use crate::tensor::{Codec, Span, Storage};
use crate::{order, varint};

/// `TensorProto.raw_data`, as a field with a length.
const RAW_DATA: u64 = 9 << 3 | 2;

/// The numbers' new keys and lengths and those of the messages around them, in order, and the model's new length; nothing to do
/// where no tensor of `model` has numbers of varying length.
pub(crate) fn edits(source: &dyn Source, model: &Model) -> Result<(Vec<Edit>, u64), FormatError> {
    let len = source.parts().first().map_or(source.len(), |part| part.span.len);
    let mut numbers: Vec<(Span, u64)> = Vec::new();
    for tensor in &model.tensors {
        if let Storage::Encoded { span, codec: Codec::Varints, len } = tensor.storage {
            numbers.push((span, len));
        }
    }
    let mut numbers = order::sorted_by_key(&numbers, |(span, _)| span.offset);
    numbers.dedup();
    let mut edits = Vec::new();
    if numbers.is_empty() {
        return Ok((edits, len));
    }
    let mut wire = Wire::new(source, "the ONNX model");
    let new_len = change(&mut wire, Span { offset: 0, len }, &numbers, &mut edits)?;
    Ok((order::into_sorted_by_key(edits, |edit| edit.span.offset), new_len))
}

/// The new length of a message that holds these numbers.
fn change(
    wire: &mut Wire<'_>,
    message: Span,
    numbers: &[(Span, u64)],
    edits: &mut Vec<Edit>,
) -> Result<u64, FormatError> {
    let (mut rest, mut len) = (message, message.len);
    loop {
        let start = rest.offset;
        let Some(field) = wire.field(&mut rest)? else { return Ok(len) };
        let Value::Bytes(span) = field.value else { continue };
        let from = numbers.partition_point(|(at, _)| at.offset < span.offset);
        let to = numbers.partition_point(|(at, _)| at.offset < span.offset + span.len);
        let (key, new) = match numbers.get(from..to) {
            None | Some([]) => continue,
            Some([(numbers, new)]) if *numbers == span => (RAW_DATA, *new),
            Some(inside) => (u64::from(field.number) << 3 | 2, change(wire, span, inside, edits)?),
        };
        let mut head = Vec::new();
        varint::put(key, &mut head);
        varint::put(new, &mut head);
        len = len - (rest.offset - start) + head.len() as u64 + new;
        edits.push(Edit { span: Span { offset: start, len: span.offset - start }, bytes: head });
    }
}
