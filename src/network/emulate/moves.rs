//! Operators whose result is made of numbers that they were given: rounding it again would change nothing.
//!
//! Operators: ONNX 1.16, `Operators.md`. Rounding to the nearest or towards zero keeps the order of numbers, and every format
//! has a zero, so that choosing the larger of two rounded numbers, or zero for a negative one, gives a rounded number.

/// What an operator does to the numbers it is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Movement {
    /// It makes new ones.
    None,
    /// Its result has numbers of its first input, or zeros.
    First,
    /// Its result has numbers of several of its inputs.
    Several,
}

/// What this operator does.
pub(super) fn movement(operator: &str) -> Movement {
    match operator {
        "Compress" | "DepthToSpace" | "Dropout" | "Expand" | "Flatten" | "Gather" | "GatherElements"
        | "GatherND" | "GlobalMaxPool" | "Identity" | "MaxPool" | "ReduceMax" | "ReduceMin" | "Relu"
        | "Reshape" | "Slice" | "SpaceToDepth" | "Split" | "Squeeze" | "Tile" | "TopK" | "Transpose"
        | "Trilu" | "Unsqueeze" => Movement::First,
        "Clip" | "Concat" | "Max" | "Min" | "Pad" | "ScatterElements" | "ScatterND" | "Where" => {
            Movement::Several
        }
        _ => Movement::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_computes_moves_nothing() {
        assert!(
            ["Add", "Conv", "Softmax", "AveragePool", "LeakyRelu", "Neg"]
                .iter()
                .all(|operator| movement(operator) == Movement::None)
        );
        assert_eq!((movement("Relu"), movement("Concat")), (Movement::First, Movement::Several));
    }
}
