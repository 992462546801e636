//! The roles of a state dict's tensors, by names, shapes and neighbours.
//!
//! A name is a path of modules and a last word; the neighbours of a tensor are those of its own module. The words are those
//! of PyTorch (`running_var`, `weight_hh_l0`), Flax (`kernel`, `scale`), Keras (`gamma`, `moving_mean`), the optimizers of
//! each, of llama.cpp (`token_embd`, `rope_freqs`), and of formats for tensors that are quantized already: GPTQ and AWQ
//! (`qweight`, `qzeros`, `scales`), bitsandbytes (`absmax`, `quant_map`), compressed-tensors and FP8 (`weight_scale`,
//! `weight_scale_inv`). What no word tells, the shape does: two dimensions of more than one element make a matrix. What
//! nothing tells is [`Role::Other`], which is kept.
//!
//! Cost: O(n log n) in the number of tensors, linear in the bytes of names.

use crate::role::{Found, Role};
use crate::tensor::{Codec, Dtype, Storage, Tensor};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// What the tensors of one module say about each other.
#[derive(Debug, Default, Clone, Copy)]
#[allow(clippy::struct_excessive_bools)]
struct Module {
    /// A running mean or variance is there: a batch normalisation.
    has_statistic: bool,
    /// A tensor of integers or 8-bit floats with more than one element is there.
    has_codes: bool,
    /// A `weight` or `scale` of one dimension is there: a normalisation.
    has_vector_weight: bool,
    /// A `kernel` or `weight` of two or more dimensions is there.
    has_matrix: bool,
}

/// Finds the role of every tensor.
pub(super) fn find(tensors: &mut [Tensor]) {
    // Maps from texts to places, of which the page carries one kind.
    let (mut places, mut modules) = (BTreeMap::new(), Vec::new());
    let mut names = BTreeMap::new();
    for (index, tensor) in tensors.iter().enumerate() {
        names.insert(tensor.name.clone(), index);
        let (module, leaf) = split(&tensor.name);
        let place = *places.entry(module.to_owned()).or_insert(modules.len());
        if place == modules.len() {
            modules.push(Module::default());
        }
        let Some(known) = modules.get_mut(place) else { continue };
        known.has_statistic |= is_statistic(leaf);
        let is_code = is_code(tensor.dtype)
            || matches!(tensor.storage, Storage::Encoded { codec, .. } if codec != Codec::Varints);
        known.has_codes |= is_code && tensor.len() > 1 && !is_count(leaf);
        let is_main = has("weight scale gamma kernel w g", leaf);
        known.has_vector_weight |= is_main && spread(&tensor.shape) < 2;
        known.has_matrix |= is_main && spread(&tensor.shape) >= 2;
    }
    let module_of = |name: &str| {
        places.get(name).and_then(|place: &usize| modules.get(*place)).copied().unwrap_or_default()
    };
    let alone = tensors.len() == 1;
    let found: Vec<Found> = tensors
        .iter()
        .map(|tensor| {
            let (module, leaf) = split(&tensor.name);
            let known = module_of(module);
            // What decodes `layer.weight` may be called `layer.weight.absmax`.
            let above = module_of(split(module).0);
            if alone && tensor.dtype.is_float() && tensor.len() > 1 && leaf == "array" {
                return Found::new(Role::Weight, "the only array of the file");
            }
            role_of(tensor, leaf, known, above, &names)
        })
        .collect();
    for (tensor, found) in tensors.iter_mut().zip(found) {
        tensor.found = found;
    }
    if !tensors.iter().any(|tensor| tensor.found.role == Role::Weight) {
        take_others(tensors);
    }
}

/// Where no tensor looks like a weight, vectors that nothing is known of are taken for weights that were flattened.
fn take_others(tensors: &mut [Tensor]) {
    for tensor in tensors {
        if tensor.found.role == Role::Other && tensor.dtype.is_float() && tensor.len() >= 64 {
            tensor.found = Found::new(Role::Weight, "no tensor of the file has two dimensions");
        }
    }
}

/// The module and the last word of a name; TensorFlow's end in `:0`.
fn split(name: &str) -> (&str, &str) {
    let name = name.strip_suffix(":0").unwrap_or(name);
    name.rfind(['.', '/'])
        .map_or(("", name), |at| (name.get(..at).unwrap_or_default(), name.get(at + 1..).unwrap_or_default()))
}

/// Whether a list of words, with spaces between them, has this one.
fn has(words: &str, word: &str) -> bool {
    words.split(' ').any(|known| known == word)
}

/// Number of dimensions with more than one element.
fn spread(shape: &[u64]) -> usize {
    shape.iter().filter(|extent| **extent > 1).count()
}

fn is_code(dtype: Dtype) -> bool {
    !dtype.is_float() && !matches!(dtype, Dtype::Bool | Dtype::C64 | Dtype::C128)
        || matches!(dtype, Dtype::F8E4M3 | Dtype::F8E5M2)
}

fn is_statistic(leaf: &str) -> bool {
    has("running_mean running_var running_std moving_mean moving_var moving_variance running_variance", leaf)
}

fn is_count(leaf: &str) -> bool {
    has(
        "num_batches_tracked step steps global_step iterations iter epoch num_updates num_steps beta1_power beta2_power n_averaged count",
        leaf,
    )
}

fn is_optimizer(name: &str, leaf: &str) -> bool {
    let starts = ["optimizer.", "optimizer/", "optim.", "opt_state", "optimizer_state"];
    starts.iter().any(|start| name.starts_with(start))
        || has(
            "exp_avg exp_avg_sq max_exp_avg_sq exp_inf momentum_buffer square_avg acc_delta Adam Adam_1 Momentum RMSProp RMSProp_1 Adagrad",
            leaf,
        )
}

/// The name without what marks a moving average; `None` where nothing does.
fn averaged(name: &str) -> Option<String> {
    if let Some(bare) = name.strip_suffix("/ExponentialMovingAverage") {
        return Some(bare.to_owned());
    }
    let is_mark = |part: &str| {
        matches!(
            part,
            "ema" | "ema_model" | "model_ema" | "ema_params" | "averaged_model" | "shadow_params" | "shadow"
        )
    };
    let parts: Vec<&str> = name.split('.').collect();
    let kept: Vec<&str> = parts.iter().copied().filter(|part| !is_mark(part)).collect();
    (kept.len() < parts.len()).then(|| kept.join("."))
}

/// Words that only formats for quantized tensors use.
fn is_quantization(leaf: &str, has_codes: bool) -> Option<&'static str> {
    let telling = "absmax nested_absmax quant_map nested_quant_map code qzeros scale_inv weight_scale_inv zero_point zero_points weight_zero_point codebook codebooks SCB SU SV g_idx input_scale output_scale act_scale weight_scale weight_scale_2 weight_shape k_scale v_scale q_scale";
    if leaf.starts_with("bitsandbytes__") || leaf.contains("quant_state") || leaf == "weight_format" {
        return Some("state of a tensor quantized already");
    }
    if has(telling, leaf) || leaf.ends_with("_scale_inv") || leaf.ends_with("zero_point") {
        return Some("name of what a quantized tensor is decoded with");
    }
    let scales = leaf == "scale" || leaf == "scales" || leaf.ends_with("_scale") || leaf.ends_with("_scales");
    let zeros = leaf == "zeros" || leaf == "zp" || leaf.ends_with("_zeros") || leaf == "biases";
    let beside = "beside a tensor of integers or 8-bit floats that it scales";
    ((scales || zeros) && has_codes).then_some(beside)
}

/// Words of numbers and tables that compute.
fn is_constant(leaf: &str) -> bool {
    has(
        "alpha lora_alpha eps epsilon temperature logit_scale logit_bias inv_freq freqs freqs_cis freqs_cos freqs_sin cos_cached sin_cached cos sin attn_mask causal_mask mask masked_bias window hann_window mel_filters mel_basis filterbank fbank fb pixel_mean pixel_std image_mean image_std mean std var anchors anchor_grid stride strides position_ids relative_position_index betas alphas_cumprod sigmas dilation shape",
        leaf,
    )
}

/// Names of GGUF's tables, which end in `.weight` like everything there: factors of rotary frequencies.
fn is_table(name: &str) -> bool {
    name.ends_with("rope_freqs.weight") || name.contains("rope_factors_")
}

fn role_of(
    tensor: &Tensor,
    leaf: &str,
    module: Module,
    above: Module,
    names: &BTreeMap<String, usize>,
) -> Found {
    let Tensor { name, shape, dtype, .. } = tensor;
    let dimensions = spread(shape);
    let new = Found::new;
    if is_count(leaf) && tensor.len() <= 1 {
        return new(Role::Counter, "name of a counter");
    }
    if is_optimizer(name, leaf) {
        return new(Role::Optimizer, "name of an optimizer's state");
    }
    if let Some(bare) = averaged(name)
        && (names.contains_key(&bare) || names.contains_key(&format!("model.{bare}")))
    {
        return Found {
            role: Role::Average,
            reason: Cow::Owned(format!("moving average of {}", super::shown(&bare))),
            ..Found::default()
        };
    }
    if is_statistic(leaf) {
        return new(Role::Statistic, "name of a running statistic");
    }
    if has("mean var", leaf) && (name.starts_with("batch_stats") || module.has_vector_weight) {
        return new(Role::Statistic, "mean or variance beside the scale of a normalisation");
    }
    if has("weight_u u weight_v", leaf) && shape.len() == 1 {
        return new(Role::Statistic, "vector of a spectral normalisation");
    }
    if let Some(reason) = is_quantization(leaf, module.has_codes || above.has_codes) {
        return new(Role::Quantization, reason);
    }
    if !dtype.is_float() {
        return integers(tensor, leaf, dimensions);
    }
    if tensor.len() <= 1 {
        return new(Role::Constant, "a single number");
    }
    if is_constant(leaf) || is_table(name) || (leaf == "bias" && shape.len() > 2 && dimensions >= 2) {
        return new(Role::Constant, "name of a constant or table");
    }
    let is_shift = leaf.contains("bias") || has("b beta shift", leaf);
    if is_shift && dimensions < 2 {
        return shift(leaf, module);
    }
    if leaf == "bias" && shape.len() == 2 {
        return new(Role::Bias, "name of a bias");
    }
    if dimensions >= 2 {
        return new(Role::Weight, weight_reason(name, leaf, shape));
    }
    vector(leaf, shape, module)
}

/// The role of what is added, by name.
fn shift(leaf: &str, module: Module) -> Found {
    match (module.has_statistic || module.has_vector_weight && !module.has_matrix, leaf) {
        (true, _) | (_, "beta" | "shift") => {
            Found::new(Role::Norm, "shift beside the scale of a normalisation")
        }
        _ => Found::new(Role::Bias, "name of a bias"),
    }
}

/// The role of floats with one long side, whose names do not say that they are added.
fn vector(leaf: &str, shape: &[u64], module: Module) -> Found {
    let new = Found::new;
    match leaf {
        "weight" | "scale" | "gamma" | "g" | "weight_g" | "original0" | "layer_scale" | "ls1" | "ls2"
        | "lambda_1" => {
            if shape.len() >= 2 && leaf == "weight" {
                return new(Role::Weight, "matrix or kernel with one long side");
            }
            if module.has_statistic {
                new(Role::Norm, "scale beside running statistics")
            } else {
                new(Role::Norm, "one number per channel")
            }
        }
        "kernel" | "weights" | "w" | "W" => new(Role::Weight, "name of a weight"),
        _ if leaf.starts_with("weight_") || leaf.ends_with("_weight") => {
            new(Role::Weight, "name of a weight")
        }
        _ => new(Role::Other, "one dimension, and a name that does not tell"),
    }
}

fn integers(tensor: &Tensor, leaf: &str, dimensions: usize) -> Found {
    let new = Found::new;
    if is_constant(leaf) || tensor.dtype == Dtype::Bool {
        return new(Role::Constant, "integers or truth values that compute");
    }
    if is_count(leaf) {
        return new(Role::Counter, "name of a counter");
    }
    if dimensions >= 2 || leaf.contains("weight") {
        return new(Role::Weight, "integers: quantized already");
    }
    new(Role::Other, "integers")
}

fn weight_reason(name: &str, leaf: &str, shape: &[u64]) -> &'static str {
    let lower = name.to_ascii_lowercase();
    if leaf.starts_with("weight_hh") || leaf.contains("recurrent") {
        "recurrent matrix"
    } else if lower.contains("embed")
        || lower.contains("embd")
        || has("wte wpe", leaf)
        || lower.contains(".wte.")
    {
        "embedding"
    } else if lower.contains("lora_") {
        "low-rank factor"
    } else if shape.len() > 2 {
        "kernel: more than two dimensions"
    } else {
        "matrix: two dimensions"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Span;

    fn tensor(name: &str, dtype: Dtype, shape: &[u64]) -> Tensor {
        Tensor::plain(name.to_owned(), shape.to_vec(), dtype, Storage::Stored(Span { offset: 0, len: 0 }))
    }

    fn roles(tensors: &[(&str, Dtype, &[u64])]) -> Vec<Role> {
        let mut tensors: Vec<Tensor> =
            tensors.iter().map(|(name, dtype, shape)| tensor(name, *dtype, shape)).collect();
        find(&mut tensors);
        tensors.iter().map(|tensor| tensor.found.role).collect()
    }

    use Dtype::{F8E4M3, F16, F32, I32, I64, U8};
    use Role::{Average, Bias, Constant, Counter, Norm, Optimizer, Other, Quantization, Statistic, Weight};

    #[test]
    fn a_batch_normalisation_is_told_from_its_convolution() {
        let found = roles(&[
            ("conv.weight", F32, &[8, 3, 3, 3]),
            ("conv.bias", F32, &[8]),
            ("bn.weight", F32, &[8]),
            ("bn.bias", F32, &[8]),
            ("bn.running_mean", F32, &[8]),
            ("bn.running_var", F32, &[8]),
            ("bn.num_batches_tracked", I64, &[]),
        ]);
        assert_eq!(found, [Weight, Bias, Norm, Norm, Statistic, Statistic, Counter]);
    }

    #[test]
    fn layer_norms_and_flax_names_are_known() {
        let found = roles(&[
            ("ln.weight", F32, &[64]),
            ("ln.bias", F32, &[64]),
            ("params/Dense_0/kernel", F32, &[4, 8]),
            ("params/Dense_0/bias", F32, &[8]),
            ("params/BatchNorm_0/scale", F32, &[8]),
            ("params/BatchNorm_0/bias", F32, &[8]),
            ("batch_stats/BatchNorm_0/mean", F32, &[8]),
            ("batch_stats/BatchNorm_0/var", F32, &[8]),
        ]);
        assert_eq!(found, [Norm, Norm, Weight, Bias, Norm, Norm, Statistic, Statistic]);
    }

    #[test]
    fn what_scales_integers_and_small_floats_is_never_a_weight() {
        let found = roles(&[
            ("a.weight", F8E4M3, &[64, 64]),
            ("a.weight_scale_inv", F32, &[2, 2]),
            ("a.input_scale", F32, &[]),
            ("b.qweight", I32, &[8, 64]),
            ("b.qzeros", I32, &[2, 8]),
            ("b.scales", F16, &[2, 64]),
            ("b.g_idx", I32, &[64]),
            ("c.weight", U8, &[2048, 1]),
            ("c.weight.absmax", F32, &[64]),
            ("c.weight.quant_map", F32, &[16]),
            ("c.weight.quant_state.bitsandbytes__nf4", U8, &[80]),
            ("d.scales", F16, &[4, 64]),
        ]);
        assert_eq!(
            found,
            [
                Weight,
                Quantization,
                Quantization,
                Weight,
                Quantization,
                Quantization,
                Quantization,
                Weight,
                Quantization,
                Quantization,
                Quantization,
                Weight
            ]
        );
    }

    #[test]
    fn averages_optimizers_and_scalars_are_told_apart() {
        let found = roles(&[
            ("model.fc.weight", F32, &[4, 4]),
            ("model.ema.fc.weight", F32, &[4, 4]),
            ("optimizer.state.0.exp_avg", F32, &[4, 4]),
            ("lora_A.weight", F32, &[4, 64]),
            ("alpha", F32, &[]),
            ("inv_freq", F32, &[32]),
            ("logit_scale", F32, &[1]),
            ("mystery", F32, &[32]),
        ]);
        assert_eq!(found, [Weight, Average, Optimizer, Weight, Constant, Constant, Constant, Other]);
    }

    #[test]
    fn vectors_are_weights_where_the_file_has_nothing_else() {
        assert_eq!(roles(&[("array", F32, &[1000])]), [Weight]);
        assert_eq!(
            roles(&[("x", F32, &[1000]), ("y", F32, &[1000]), ("z", F32, &[3])]),
            [Weight, Weight, Other]
        );
    }

    #[test]
    fn recurrent_matrices_and_masks_are_known_by_name_and_shape() {
        let found = roles(&[
            ("lstm.weight_ih_l0", F32, &[64, 16]),
            ("lstm.weight_hh_l0", F32, &[64, 16]),
            ("lstm.bias_ih_l0", F32, &[64]),
            ("h.0.attn.bias", F32, &[1, 1, 32, 32]),
            ("conv.weight_g", F32, &[64, 1, 1]),
            ("conv.weight_v", F32, &[64, 16, 3]),
        ]);
        assert_eq!(found, [Weight, Weight, Bias, Constant, Norm, Weight]);
    }
}
