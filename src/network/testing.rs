//! Small graphs for tests, built node by node.

use super::Graph;
use super::model::ModelBytes;
use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor, ValueInfoProto,
};
use std::cell::RefCell;

/// An attribute's value.
pub enum Value {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Text(&'static str),
    Graph(GraphProto),
}

/// A graph being built.
#[derive(Default)]
pub struct Builder {
    graph: GraphProto,
}

impl Builder {
    pub fn floats(mut self, name: &str, shape: &[usize], values: &[f32]) -> Self {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.graph.initializer.push(tensor(name, shape, DataType::FLOAT, bytes));
        self
    }

    pub fn integers(mut self, name: &str, values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.graph.initializer.push(tensor(name, &[values.len()], DataType::INT64, bytes));
        self
    }

    pub fn scalar_bool(mut self, name: &str, value: bool) -> Self {
        self.graph.initializer.push(tensor(name, &[], DataType::BOOL, vec![u8::from(value)]));
        self
    }

    /// A float input; −1 for an open dimension.
    pub fn input(mut self, name: &str, shape: &[i64]) -> Self {
        self.graph.input.push(value(name, Some(shape)));
        self
    }

    pub fn output(mut self, name: &str) -> Self {
        self.graph.output.push(value(name, None));
        self
    }

    pub fn node(
        mut self,
        operator: &str,
        inputs: &[&str],
        outputs: &[&str],
        attributes: Vec<(&str, Value)>,
    ) -> Self {
        let attribute = |(name, value): (&str, Value)| {
            let mut proto = AttributeProto { name: Some(name.to_owned()), ..Default::default() };
            proto.r#type = Some(match &value {
                Value::Int(_) => AttributeType::INT,
                Value::Float(_) => AttributeType::FLOAT,
                Value::Ints(_) => AttributeType::INTS,
                Value::Text(_) => AttributeType::STRING,
                Value::Graph(_) => AttributeType::GRAPH,
            });
            match value {
                Value::Int(i) => proto.i = Some(i),
                Value::Float(f) => proto.f = Some(f),
                Value::Ints(ints) => proto.ints = ints,
                Value::Text(text) => proto.s = Some(text.to_owned()),
                Value::Graph(graph) => proto.g = Some(graph),
            }
            proto
        };
        let texts = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        self.graph.node.push(NodeProto {
            domain: None,
            name: Some(format!("node{}_{operator}", self.graph.node.len())),
            input: texts(inputs),
            output: texts(outputs),
            op_type: Some(operator.to_owned()),
            attribute: attributes.into_iter().map(attribute).collect(),
        });
        self
    }

    pub fn into_graph(self) -> GraphProto {
        self.graph
    }

    pub fn bytes(self) -> Vec<u8> {
        let opset = OperatorSetIdProto { domain: Some(String::new()), version: Some(17) };
        let model = ModelProto {
            ir_version: Some(8),
            graph: Some(self.graph),
            opset_import: vec![opset],
            ..Default::default()
        };
        model.write_buf().unwrap()
    }

    pub fn files(self) -> ModelBytes {
        ModelBytes::read(&self.bytes()).unwrap()
    }

    pub fn parse(self) -> Result<Graph, super::NetworkError> {
        Graph::parse(&self.bytes())
    }
}

fn tensor(name: &str, shape: &[usize], data_type: DataType, bytes: Vec<u8>) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|n| *n as i64).collect(),
        data_type: Some(data_type),
        raw_data: Some(RefCell::new(bytes)),
        name: Some(name.to_owned()),
        ..Default::default()
    }
}

fn value(name: &str, shape: Option<&[i64]>) -> ValueInfoProto {
    let dim = |n: &i64| Dimension {
        dim_value: (*n >= 0).then_some(*n),
        dim_param: (*n < 0).then(|| "n".to_owned()),
    };
    let shape = shape.map(|shape| TensorShapeProto { dim: shape.iter().map(dim).collect() });
    let tensor_type = Some(TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape });
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto { tensor_type, ..Default::default() }),
    }
}

/// Numbers that look random and are the same everywhere, in (−1, 1).
pub fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32 / (1u64 << 23) as f32) - 1.0
    };
    (0..count).map(|_| next()).collect()
}
