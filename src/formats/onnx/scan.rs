//! The walk over a model's messages: every graph, node and tensor, and what reads what.

use super::PART;
use super::found::{Found, Left, float_type};
use super::roles::{Name, Scope, Uses};
use crate::formats::protobuf::{Value, Wire};
use crate::formats::{FormatError, Limits, Source};
use crate::tensor::Span;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Graphs inside graphs, at most.
const DEEPEST: u32 = 32;

/// What a model's file holds.
pub(super) struct Scanned {
    pub(super) found: Vec<Found>,
    pub(super) left: Left,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) uses: Uses,
    /// Of every graph the names of the nodes that it lies in, outermost first.
    pub(super) paths: Vec<Rc<str>>,
}

/// Walks the messages of a model.
pub(super) fn scan(source: &dyn Source, limits: &Limits) -> Result<Scanned, FormatError> {
    // The model itself is the first of the files that were opened together.
    let len = source.parts().first().map_or(source.len(), |part| part.span.len);
    let mut scan = Scan {
        wire: Wire::new(source, PART),
        limits,
        found: Vec::new(),
        left: Left::default(),
        uses: Uses::default(),
        paths: Vec::new(),
    };
    let mut metadata = BTreeMap::new();
    let mut rest = Span { offset: 0, len };
    while let Some(field) = scan.wire.field(&mut rest)? {
        match (field.number, field.value) {
            (2, Value::Bytes(span)) => {
                metadata.insert("producer".to_owned(), scan.wire.text(span)?);
            }
            (7, Value::Bytes(span)) => {
                scan.graph(span, None, Rc::from(""), 0)?;
            }
            (14, Value::Bytes(span)) => {
                let (key, value) = scan.entry(span)?;
                metadata.insert(key, value);
            }
            (25, Value::Bytes(span)) => {
                scan.left.functions += 1;
                scan.function(span)?;
            }
            _ => {}
        }
    }
    let Scan { found, left, uses, paths, .. } = scan;
    Ok(Scanned { found, left, metadata, uses, paths })
}

struct Scan<'a> {
    wire: Wire<'a>,
    limits: &'a Limits,
    found: Vec<Found>,
    left: Left,
    uses: Uses,
    paths: Vec<Rc<str>>,
}

impl Scan<'_> {
    /// Walks a graph inside `above`, with the names of the nodes around it; its number.
    fn graph(
        &mut self,
        mut graph: Span,
        above: Option<Scope>,
        path: Rc<str>,
        depth: u32,
    ) -> Result<Scope, FormatError> {
        if depth > DEEPEST {
            return Err(FormatError::too_large("graphs inside graphs", u64::from(depth), u64::from(DEEPEST)));
        }
        let scope = self.uses.graph(above);
        self.paths.push(path);
        while let Some(field) = self.wire.field(&mut graph)? {
            match (field.number, field.value) {
                (1, Value::Bytes(node)) => self.node(node, scope, depth)?,
                (5, Value::Bytes(tensor)) => {
                    let mut found = self.tensor(tensor)?;
                    found.is_initializer = true;
                    self.take(found, scope)?;
                }
                (11, Value::Bytes(value)) => {
                    let name = self.value_name(value)?;
                    self.uses.input(scope, name);
                }
                (12, Value::Bytes(value)) => {
                    let name = self.value_name(value)?;
                    self.uses.output(scope, name);
                }
                (15, Value::Bytes(_)) => self.left.sparse += 1,
                _ => {}
            }
        }
        Ok(scope)
    }

    /// The name of a `ValueInfoProto`.
    fn value_name(&mut self, mut value: Span) -> Result<Name, FormatError> {
        let mut name = String::new();
        while let Some(field) = self.wire.field(&mut value)? {
            if let (1, Value::Bytes(span)) = (field.number, field.value) {
                name = self.wire.text(span)?;
            }
        }
        Ok(self.uses.name(&name))
    }

    /// The body of a `FunctionProto`: a graph of its own, whose inputs are those of the nodes that call it.
    fn function(&mut self, mut function: Span) -> Result<(), FormatError> {
        let scope = self.uses.graph(None);
        self.paths.push(Rc::from(""));
        let (mut name, mut inputs) = (String::new(), Vec::new());
        while let Some(field) = self.wire.field(&mut function)? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => name = self.wire.text(span)?,
                (4, Value::Bytes(span)) => {
                    let input = self.named(span)?;
                    self.uses.input(scope, input);
                    inputs.push(input);
                }
                (7, Value::Bytes(span)) => {
                    // Weights of functions are not read, but what they do with those they are given is.
                    let before = self.found.len();
                    self.node(span, scope, 0)?;
                    self.found.truncate(before);
                }
                _ => {}
            }
        }
        self.uses.function(&name, scope, inputs);
        Ok(())
    }

    fn named(&mut self, span: Span) -> Result<Name, FormatError> {
        let text = self.wire.text(span)?;
        Ok(self.uses.name(&text))
    }

    fn node(&mut self, node: Span, scope: Scope, depth: u32) -> Result<(), FormatError> {
        let (mut name, mut operator) = (String::new(), String::new());
        let (mut inputs, mut outputs, mut output) = (Vec::new(), Vec::new(), String::new());
        let mut attributes = Vec::new();
        let mut rest = node;
        while let Some(field) = self.wire.field(&mut rest)? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => inputs.push(self.named(span)?),
                (2, Value::Bytes(span)) => {
                    let text = self.wire.text(span)?;
                    outputs.push(self.uses.name(&text));
                    if outputs.len() == 1 {
                        output = text;
                    }
                }
                (3, Value::Bytes(span)) => name = self.wire.text(span)?,
                (4, Value::Bytes(span)) => operator = self.wire.text(span)?,
                (5, Value::Bytes(span)) => attributes.push(span),
                _ => {}
            }
        }
        if operator == "Constant" {
            if let Some(first) = outputs.first() {
                self.uses.constant(scope, *first);
            }
            for attribute in attributes {
                self.constant(attribute, &output, scope)?;
            }
            return Ok(());
        }
        let around = if name.is_empty() { &output } else { &name };
        let mut inner = Vec::new();
        for attribute in attributes {
            self.subgraphs(attribute, scope, around, depth, &mut inner)?;
        }
        self.uses.node(scope, &operator, inputs, outputs, inner);
        Ok(())
    }

    /// Takes the tensor of a `Constant` node, which bears its output's name.
    fn constant(&mut self, mut attribute: Span, output: &str, scope: Scope) -> Result<(), FormatError> {
        while let Some(field) = self.wire.field(&mut attribute)? {
            if let (5, Value::Bytes(span)) = (field.number, field.value) {
                let mut found = self.tensor(span)?;
                output.clone_into(&mut found.name);
                self.take(found, scope)?;
            }
        }
        Ok(())
    }

    /// Walks the graphs of an attribute of the node called `around`.
    fn subgraphs(
        &mut self,
        mut attribute: Span,
        scope: Scope,
        around: &str,
        depth: u32,
        inner: &mut Vec<Scope>,
    ) -> Result<(), FormatError> {
        // The attribute's name may stand behind its graph.
        let mut rest = attribute;
        let mut name = String::new();
        let mut has_graph = false;
        while let Some(field) = self.wire.field(&mut rest)? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => name = self.wire.text(span)?,
                (6 | 11, Value::Bytes(_)) => has_graph = true,
                _ => {}
            }
        }
        if !has_graph {
            return Ok(());
        }
        let above = self.paths.get(scope as usize).map_or("", |path| path);
        let separator = if above.is_empty() { "" } else { "/" };
        let path: Rc<str> = format!("{above}{separator}{around}/{name}").into();
        while let Some(field) = self.wire.field(&mut attribute)? {
            if let (6 | 11, Value::Bytes(graph)) = (field.number, field.value) {
                inner.push(self.graph(graph, Some(scope), Rc::clone(&path), depth + 1)?);
            }
        }
        Ok(())
    }

    fn tensor(&mut self, mut tensor: Span) -> Result<Found, FormatError> {
        let mut found = Found::default();
        let start = tensor.offset;
        while let Some(field) = self.wire.field(&mut tensor)? {
            match (field.number, field.value) {
                (1, Value::Varint(dim)) => self.dim(&mut found, dim)?,
                (1, Value::Bytes(mut packed)) => {
                    while packed.len > 0 {
                        let dim = self.wire.varint(&mut packed)?;
                        self.dim(&mut found, dim)?;
                    }
                }
                (2, Value::Varint(data_type)) => found.data_type = data_type,
                (4 | 9 | 10, Value::Bytes(span)) => found.raw = Some(span),
                (5, Value::Bytes(span)) => found.varints = Some(span),
                (4, Value::Fixed32(_)) | (10, Value::Fixed64(_)) => {
                    let found = "numbers with a field each";
                    return Err(self.wire.damaged(start, "a tensor's numbers packed together", found));
                }
                (8, Value::Bytes(span)) => found.name = self.wire.text(span)?,
                (13, Value::Bytes(span)) => {
                    let (key, value) = self.entry(span)?;
                    found.external.insert(key, value);
                }
                (14, Value::Varint(location)) => found.is_external = location == 1,
                _ => {}
            }
        }
        Ok(found)
    }

    fn dim(&mut self, found: &mut Found, dim: u64) -> Result<(), FormatError> {
        found.dims.push(dim);
        if found.dims.len() as u64 > self.limits.rank {
            let rank = found.dims.len() as u64;
            return Err(FormatError::too_large("the rank of a tensor", rank, self.limits.rank));
        }
        Ok(())
    }

    /// A `StringStringEntryProto`.
    fn entry(&mut self, mut entry: Span) -> Result<(String, String), FormatError> {
        let (mut key, mut value) = (String::new(), String::new());
        while let Some(field) = self.wire.field(&mut entry)? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => key = self.wire.text(span)?,
                (2, Value::Bytes(span)) => value = self.wire.text(span)?,
                _ => {}
            }
        }
        Ok((key, value))
    }

    /// Takes in a tensor if it is a weight.
    fn take(&mut self, mut found: Found, scope: Scope) -> Result<(), FormatError> {
        found.scope = scope;
        found.value = self.uses.name(&found.name);
        self.uses.constant(scope, found.value);
        let single = !found.is_initializer && found.dims.iter().all(|dim| *dim == 1);
        match float_type(found.data_type) {
            Some(_) if !single => {}
            None if (17..=24).contains(&found.data_type) => {
                if !self.left.types.contains(&found.data_type) {
                    self.left.types.push(found.data_type);
                }
                return Ok(());
            }
            _ => {
                self.left.constants += 1;
                return Ok(());
            }
        }
        self.found.push(found);
        let count = self.found.len() as u64;
        if count > self.limits.tensors {
            return Err(FormatError::too_large("the number of tensors", count, self.limits.tensors));
        }
        Ok(())
    }
}
