//! Building a model from named tensors.

use super::attention::AttentionShape;
use super::block::Block;
use super::linear::{Linear, Weight};
use super::norm::RmsNorm;
use super::rope::Rotary;
use super::streams::Streams;
use super::LoopLm;
use crate::config::{AttentionBias, Config, LoopUpdate, WeightFormat};
use crate::cpu;
use crate::error::{Error, Result};
use crate::floats::Matrix;
use crate::layout::{exit_gate, LOOP_SCALE};
use crate::safetensors::{Dtype, Tensor, Weights};
use crate::ternary::TernaryMatrix;

/// Scales are bf16 numbers within the normal range of fp16.
const SMALLEST_SCALE: f32 = 1.0 / 16384.0;
const LARGEST_SCALE: f32 = 65280.0;

/// Where the tensors of a model come from.
pub trait TensorSource {
    /// Read a tensor.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is no tensor with this name.
    fn tensor(&self, name: &str) -> Result<Tensor<'_>>;

    /// Whether there is a tensor with this name.
    fn has(&self, name: &str) -> bool;
}

impl TensorSource for Weights {
    fn tensor(&self, name: &str) -> Result<Tensor<'_>> {
        self.get(name)
    }

    fn has(&self, name: &str) -> bool {
        self.describe(name).is_some()
    }
}

/// Number format of the language modeling head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadFormat {
    /// As the weights are stored.
    Stored,
    /// bf16, rounded to nearest.
    Bf16,
    /// int8 with one scale per token of the vocabulary.
    Int8,
}

impl LoopLm {
    /// Build a model.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a tensor is missing, has another shape or type, or is not finite.
    pub fn build(config: Config, source: &dyn TensorSource, head_format: HeadFormat) -> Result<LoopLm> {
        let reader = Reader { config: &config, source };
        let (hidden, vocab) = (config.hidden_size, config.vocab_size);
        let embedding_name = "model.embed_tokens.weight";
        let embedding = reader.matrix(embedding_name, vocab, hidden, HeadFormat::Stored)?;
        let head = match (config.tie_word_embeddings, head_format) {
            (true, HeadFormat::Stored) => None,
            (true, format) => Some(reader.matrix(embedding_name, vocab, hidden, format)?),
            (false, format) => Some(reader.matrix("lm_head.weight", vocab, hidden, format)?),
        };
        let blocks = (0..config.num_layers()).map(|layer| reader.block(layer)).collect::<Result<_>>()?;
        let norm = reader.norm("model.norm", hidden)?;
        let name = exit_gate(&config);
        let gate = reader.floats(&format!("{name}.weight"), &[1, hidden])?;
        let gate_bias = reader.floats(&format!("{name}.bias"), &[1])?[0];
        let loop_scale = match config.loop_update {
            LoopUpdate::Norm => None,
            LoopUpdate::Scaled => Some(reader.floats(LOOP_SCALE, &[hidden])?),
        };
        let rotary = Rotary::new(&config);
        Ok(LoopLm { embedding, head, blocks, loop_scale, norm, gate, gate_bias, rotary, config })
    }
}

struct Reader<'a> {
    config: &'a Config,
    source: &'a dyn TensorSource,
}

impl Reader<'_> {
    fn floats(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let tensor = self.source.tensor(name)?;
        tensor.expect_shape(shape)?;
        tensor.to_f32()
    }

    fn norm(&self, name: &str, width: usize) -> Result<RmsNorm> {
        let weight = self.floats(&format!("{name}.weight"), &[width])?;
        Ok(RmsNorm::new(weight, self.config.rms_norm_eps))
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize, format: HeadFormat) -> Result<Matrix> {
        let tensor = self.source.tensor(name)?;
        tensor.expect_shape(&[rows, cols])?;
        let values = tensor.to_f32()?;
        match format {
            HeadFormat::Stored if tensor.dtype == Dtype::Bf16 => Matrix::bf16(rows, cols, &to_bf16(&values)),
            HeadFormat::Stored => Matrix::f32(rows, cols, &values),
            HeadFormat::Bf16 => Matrix::bf16(rows, cols, &to_bf16(&values)),
            HeadFormat::Int8 => Matrix::int8(rows, cols, &values),
        }
    }

    fn block(&self, layer: usize) -> Result<Block> {
        let config = self.config;
        let prefix = format!("model.layers.{layer}");
        let hidden = config.hidden_size;
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let inner = config.intermediate_size;
        let linear = |parts: &[(&str, usize)], inputs, has_bias| {
            let parts: Vec<_> = parts.iter().map(|(name, rows)| (format!("{prefix}.{name}"), *rows)).collect();
            Ok(Linear { weight: self.weight(&parts, inputs)?, bias: self.bias(&parts, has_bias)? })
        };
        let norm = |name: &str| self.norm(&format!("{prefix}.{name}"), hidden);
        let head_norm = |name: &str| self.norm(&format!("{prefix}.self_attn.{name}"), config.head_dim);
        let streams = |name: &str| self.streams(&format!("{prefix}.{name}"));
        Ok(Block {
            shape: AttentionShape {
                heads: config.num_attention_heads,
                key_heads: config.num_key_value_heads,
                head_dim: config.head_dim,
                isa: cpu::chosen_isa()?,
            },
            qkv: linear(
                &[("self_attn.q_proj", queries), ("self_attn.k_proj", keys), ("self_attn.v_proj", keys)],
                hidden,
                config.attention_bias != AttentionBias::None,
            )?,
            head_norms: if config.qk_norm { Some([head_norm("q_norm")?, head_norm("k_norm")?]) } else { None },
            output: linear(&[("self_attn.o_proj", hidden)], queries, config.attention_bias == AttentionBias::Qkvo)?,
            gate_up: linear(&[("mlp.gate_proj", inner), ("mlp.up_proj", inner)], hidden, false)?,
            down: linear(&[("mlp.down_proj", hidden)], inner, false)?,
            norms: [norm("input_layernorm")?, norm("post_attention_layernorm")?],
            post_norms: if config.sandwich_norm {
                Some([norm("input_layernorm_2")?, norm("post_attention_layernorm_2")?])
            } else {
                None
            },
            streams: if config.mhc_num_streams > 1 {
                Some([streams("attention_residual")?, streams("mlp_residual")?])
            } else {
                None
            },
        })
    }

    fn streams(&self, name: &str) -> Result<Streams> {
        let (count, hidden) = (self.config.mhc_num_streams, self.config.hidden_size);
        let coefficients = 2 * count + (1..=count).product::<usize>();
        let bias = self.floats(&format!("{name}.bias"), &[coefficients])?;
        let dynamic = if self.config.mhc_dynamic {
            let projection = self.floats(&format!("{name}.projection"), &[count, coefficients, hidden])?;
            let scale = self.floats(&format!("{name}.scale"), &[3])?;
            Some((projection, [scale[0], scale[1], scale[2]]))
        } else {
            None
        };
        Streams::new(count, bias, dynamic, self.config.rms_norm_eps)
    }

    /// Read the biases of layers with the same input as one, empty if they have none.
    fn bias(&self, parts: &[(String, usize)], has_bias: bool) -> Result<Vec<f32>> {
        let mut bias = Vec::new();
        for (name, rows) in parts.iter().filter(|_| has_bias) {
            bias.extend(self.floats(&format!("{name}.bias"), &[*rows])?);
        }
        Ok(bias)
    }

    /// Read the weights of layers with the same input as one weight.
    fn weight(&self, parts: &[(String, usize)], inputs: usize) -> Result<Weight> {
        let config = self.config;
        let rows = parts.iter().map(|(_, rows)| rows).sum();
        if !config.ternary {
            return self.float_weight(parts, rows, inputs);
        }
        let group = config.group_size(inputs);
        // One scale of a whole matrix is written to each of its rows.
        let groups = config.ternary_group_size.map_or(1, |group| inputs / group);
        let (mut packed, mut codes, mut scales) = (Vec::new(), Vec::new(), Vec::with_capacity(rows * groups));
        for (name, rows) in parts {
            if config.weight_format == WeightFormat::Packed || self.source.has(&format!("{name}.weight_codes")) {
                let tensor = self.source.tensor(&format!("{name}.weight_codes"))?;
                tensor.expect_shape(&[*rows, inputs / 4])?;
                if tensor.dtype != Dtype::U8 {
                    return Err(Error::Invalid(format!("{}: must be U8, got {}", tensor.name, tensor.dtype)));
                }
                packed.extend(tensor.bytes);
                let one = config.ternary_group_size.is_none();
                let shape = if one { [1, 1] } else { [*rows, groups] };
                let found = self.floats(&format!("{name}.weight_scales"), &shape)?;
                scales.extend(found.iter().copied().cycle().take(rows * groups));
            } else {
                let weight = self.floats(&format!("{name}.weight"), &[*rows, inputs])?;
                let whole = config.ternary_group_size.is_none();
                let found = ternary_codes(&weight, if whole { weight.len() } else { group }, &mut codes);
                scales.extend(found.iter().copied().cycle().take(rows * groups));
            }
        }
        let matrix = if packed.is_empty() {
            TernaryMatrix::from_codes(rows, inputs, group, &codes, &scales)
        } else {
            TernaryMatrix::from_packed(rows, inputs, group, &packed, &scales)
        };
        let matrix = matrix.map_err(|error| match error {
            Error::Invalid(text) => Error::Invalid(format!("{}: {text}", parts[0].0)),
            other => other,
        })?;
        Ok(if config.activation_bits.is_some() { Weight::Int8(matrix) } else { Weight::Ternary(matrix) })
    }

    fn float_weight(&self, parts: &[(String, usize)], rows: usize, inputs: usize) -> Result<Weight> {
        let mut values = Vec::with_capacity(rows * inputs);
        let mut all_bf16 = true;
        for (name, rows) in parts {
            let tensor = self.source.tensor(&format!("{name}.weight"))?;
            tensor.expect_shape(&[*rows, inputs])?;
            all_bf16 &= tensor.dtype == Dtype::Bf16;
            values.extend(tensor.to_f32()?);
        }
        Ok(Weight::Float(if all_bf16 {
            Matrix::bf16(rows, inputs, &to_bf16(&values))?
        } else {
            Matrix::f32(rows, inputs, &values)?
        }))
    }
}

/// Append the ternary codes of a latent weight and return the scales of its groups, as `ternary_codes` of
/// `modeling_nanochat` does. The sum of a group is rounded once, that of PyTorch several times: about one scale in
/// 30000 differs by one unit in the last place of bf16.
fn ternary_codes(weight: &[f32], group: usize, codes: &mut Vec<i8>) -> Vec<f32> {
    let quantize = |values: &[f32]| {
        let sum: f64 = values.iter().map(|value| f64::from(value.abs())).sum();
        let mean = (sum as f32 / values.len() as f32).clamp(SMALLEST_SCALE, LARGEST_SCALE);
        let scale = f32::from_bits(round_bits(mean) << 16);
        codes.extend(values.iter().map(|value| (value / scale).round_ties_even().clamp(-1.0, 1.0) as i8));
        scale
    };
    weight.chunks_exact(group).map(quantize).collect()
}

/// Round to the nearest bf16, ties to even; the upper 16 bits.
fn round_bits(value: f32) -> u32 {
    let bits = value.to_bits();
    (bits + 0x7fff + ((bits >> 16) & 1)) >> 16
}

fn to_bf16(values: &[f32]) -> Vec<u16> {
    values.iter().map(|value| round_bits(*value) as u16).collect()
}
