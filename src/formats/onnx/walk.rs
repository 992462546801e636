//! Walks every message of an ONNX model by its lengths, before a reader that trusts them is let at it.
//!
//! The messages are those of onnx.proto3 of ONNX 1.16. What is not known to be a message is bytes, and is stepped over.
//! Cost: linear in the number of fields.

use crate::formats::protobuf::{Value, Wire};
use crate::formats::{FormatError, Source};
use crate::tensor::Span;

/// Messages inside messages, at most.
const DEEPEST: u32 = 128;

/// The kinds of message that hold messages.
#[derive(Debug, Clone, Copy)]
enum Message {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Value,
    Type,
    TensorType,
    Shape,
    Sequence,
    Map,
    Function,
    Training,
    /// One that holds none, as far as this matters.
    Leaf,
}

impl Message {
    /// What a field of this message is, if it is a message: a table, message by message.
    #[allow(clippy::match_same_arms)]
    fn field(self, number: u32) -> Option<Self> {
        Some(match (self, number) {
            (Self::Model, 7) | (Self::Attribute, 6 | 11) | (Self::Training, 1 | 2) => Self::Graph,
            (Self::Model, 8 | 14 | 26) | (Self::Graph, 14 | 16) | (Self::Function, 9 | 14) => Self::Leaf,
            (Self::Shape, 1) | (Self::Tensor, 3 | 13 | 16) | (Self::Value, 4) | (Self::Node, 9) => Self::Leaf,
            (Self::Model, 20) => Self::Training,
            (Self::Model, 25) => Self::Function,
            (Self::Graph, 1) | (Self::Function, 7) => Self::Node,
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Self::Tensor,
            (Self::Graph, 11..=13) | (Self::Function, 12) => Self::Value,
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Self::Sparse,
            (Self::Node, 5) | (Self::Function, 11) => Self::Attribute,
            (Self::Value, 2) | (Self::Attribute, 14 | 15) => Self::Type,
            (Self::Type, 1 | 8) => Self::TensorType,
            (Self::TensorType, 2) => Self::Shape,
            (Self::Type, 4 | 9) => Self::Sequence,
            (Self::Type, 5) => Self::Map,
            (Self::Sequence, 1) | (Self::Map, 2) => Self::Type,
            _ => return None,
        })
    }
}

/// What packed numbers take, each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packed {
    Varint,
    Bytes(u64),
}

impl Message {
    /// What the numbers of a field of this message take, where they may be packed.
    fn packed(self, number: u32) -> Option<Packed> {
        match (self, number) {
            (Self::Tensor, 4) | (Self::Attribute, 7) => Some(Packed::Bytes(4)),
            (Self::Tensor, 10) => Some(Packed::Bytes(8)),
            (Self::Tensor, 1 | 5 | 7 | 11) | (Self::Attribute, 8) | (Self::Sparse, 3) => Some(Packed::Varint),
            _ => None,
        }
    }
}

/// Refuses packed numbers of which one leaves the field: the reader behind would go on in the middle of what follows.
fn check_packed(wire: &mut Wire<'_>, packed: Packed, mut span: Span) -> Result<(), FormatError> {
    match packed {
        Packed::Varint => {
            while span.len > 0 {
                wire.varint(&mut span)?;
            }
            Ok(())
        }
        Packed::Bytes(size) if span.len.is_multiple_of(size) => Ok(()),
        Packed::Bytes(size) => {
            let expected = format!("packed numbers of {size} bytes");
            Err(wire.damaged(span.offset, &expected, &format!("{} bytes", span.len)))
        }
    }
}

/// Refuses a model any of whose messages or packed numbers leaves what is around it, and one with sparse tensors, which
/// no runtime here reads.
pub(crate) fn walk(source: &dyn Source) -> Result<(), FormatError> {
    let mut wire = Wire::new(source, "the ONNX model");
    let mut agenda = vec![(Message::Model, Span { offset: 0, len: source.len() }, 0)];
    while let Some((message, mut rest, depth)) = agenda.pop() {
        if depth > DEEPEST {
            return Err(FormatError::too_large("messages inside messages", depth.into(), DEEPEST.into()));
        }
        while let Some(field) = wire.field(&mut rest)? {
            let Value::Bytes(span) = field.value else { continue };
            if let Some(packed) = message.packed(field.number) {
                check_packed(&mut wire, packed, span)?;
            }
            if let Some(inner) = message.field(field.number) {
                if matches!(inner, Message::Sparse) {
                    let found = "its runtime wants them dense";
                    return Err(FormatError::unsupported(
                        "running a network with sparse initializers",
                        found,
                    ));
                }
                agenda.push((inner, span, depth + 1));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A model whose operator set has a field of this length.
    fn model(length: &[u8]) -> Vec<u8> {
        let mut set = vec![0x0a];
        set.extend(length);
        set.extend(b"ai.onnx");
        let mut bytes = vec![0x08, 8, 0x42, set.len() as u8];
        bytes.extend(set);
        bytes
    }

    #[test]
    fn a_length_that_leaves_its_message_is_refused_wherever_it_stands() {
        assert!(walk(&model(&[7])).is_ok());
        // −11 and 2⁶⁴ − 5, as ten bytes of varint.
        let minus = |low: u8| [low, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        for length in [&[8][..], &minus(0xf5), &minus(0xfb)] {
            let sentence = walk(&model(length)).unwrap_err().to_string();
            assert!(
                sentence.starts_with("the ONNX model, byte ") && sentence.contains("of a field"),
                "{sentence}"
            );
        }
    }

    #[test]
    fn packed_numbers_that_leave_their_field_are_refused() {
        // A tensor with a field of these bytes, and a name behind it.
        let tensor = |number: u8, packed: &[u8]| {
            let mut tensor = vec![number << 3 | 2, packed.len() as u8];
            tensor.extend(packed);
            tensor.extend([0x42, 1, b'w']);
            let graph = [&[0x2a, tensor.len() as u8][..], &tensor].concat();
            [&[0x3a, graph.len() as u8][..], &graph].concat()
        };
        for number in [1, 5, 7, 11] {
            assert!(walk(&tensor(number, &[1, 0x80, 2])).is_ok());
            let sentence = walk(&tensor(number, &[1, 2, 0x80])).unwrap_err().to_string();
            assert_eq!(sentence, "the ONNX model, byte 9: expected 1 bytes of a field, found 0 bytes left");
        }
        for (number, size) in [(4, 4), (10, 8)] {
            assert!(walk(&tensor(number, &[0x80; 16])).is_ok());
            let sentence = walk(&tensor(number, &[0x80; 15])).unwrap_err().to_string();
            let expected =
                format!("the ONNX model, byte 6: expected packed numbers of {size} bytes, found 15 bytes");
            assert_eq!(sentence, expected);
        }
    }

    #[test]
    fn sparse_initializers_are_refused_in_a_sentence() {
        let sentence = walk(&vec![0x3a, 2, 0x7a, 0]).unwrap_err().to_string();
        assert_eq!(
            sentence,
            "running a network with sparse initializers is not supported: its runtime wants them dense"
        );
    }

    #[test]
    fn messages_without_end_are_refused() {
        let mut bytes = vec![];
        for _ in 0..200 {
            let mut outer = vec![0x32, 0x80 | (bytes.len() & 0x7f) as u8, (bytes.len() >> 7) as u8];
            outer.extend(&bytes);
            let mut node = vec![0x2a, 0x80 | (outer.len() & 0x7f) as u8, (outer.len() >> 7) as u8];
            node.extend(&outer);
            bytes = vec![0x0a, 0x80 | (node.len() & 0x7f) as u8, (node.len() >> 7) as u8];
            bytes.extend(&node);
        }
        let mut model = vec![0x3a, 0x80 | (bytes.len() & 0x7f) as u8, (bytes.len() >> 7) as u8];
        model.extend(&bytes);
        assert!(walk(&model).unwrap_err().to_string().starts_with("messages inside messages"));
    }
}
