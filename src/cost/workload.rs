//! What one inference takes, layer by layer.

/// Weights that a layer reads from one tensor.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WeightsRead {
    /// The tensor's name.
    pub tensor: String,
    /// Numbers read.
    pub count: u64,
    /// Whether every inference reads others, as of a table from which rows are looked up; else a batch reads them once.
    pub is_looked_up: bool,
}

/// One operation of a network: what one inference of it takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// The operator's type.
    pub operator: String,
    /// Multiplications whose product is added to a sum.
    pub multiply_adds: u64,
    /// Operations on single elements: additions, comparisons, exponentials.
    pub element_operations: u64,
    /// Weights read.
    pub weights: Vec<WeightsRead>,
    /// Numbers of activations read, each once.
    pub inputs: u64,
    /// Numbers of activations written.
    pub outputs: u64,
}

impl Layer {
    /// A fully connected layer of `inputs` by `outputs` weights without biases.
    pub fn dense(name: &str, inputs: u64, outputs: u64) -> Self {
        let weights = WeightsRead {
            tensor: name.to_owned(),
            count: inputs.saturating_mul(outputs),
            is_looked_up: false,
        };
        Self {
            name: name.to_owned(),
            operator: "Gemm".to_owned(),
            multiply_adds: weights.count,
            element_operations: 0,
            weights: vec![weights],
            inputs,
            outputs,
        }
    }

    /// Numbers of weights read.
    pub fn weight_count(&self) -> u64 {
        sum(self.weights.iter().map(|read| read.count))
    }

    /// Whether it multiplies activations by weights, and not by one another.
    pub fn has_weights(&self) -> bool {
        self.weight_count() > 0
    }
}

/// What one inference takes.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Workload {
    /// Its operations, in the order in which they run.
    pub layers: Vec<Layer>,
}

impl Workload {
    /// All multiply-adds.
    pub fn multiply_adds(&self) -> u64 {
        sum(self.layers.iter().map(|layer| layer.multiply_adds))
    }

    /// All operations on single elements.
    pub fn element_operations(&self) -> u64 {
        sum(self.layers.iter().map(|layer| layer.element_operations))
    }

    /// All weights read; a tensor that two layers read counts twice.
    pub fn weights(&self) -> u64 {
        sum(self.layers.iter().map(Layer::weight_count))
    }

    /// All activations read and written.
    pub fn activations(&self) -> u64 {
        sum(self.layers.iter().map(|layer| layer.inputs.saturating_add(layer.outputs)))
    }
}

fn sum(counts: impl Iterator<Item = u64>) -> u64 {
    counts.fold(0, u64::saturating_add)
}
