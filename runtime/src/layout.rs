//! Names, shapes and types of the tensors that a configuration asks for.

#![forbid(unsafe_code)]

use crate::config::{AttentionBias, Config, Family, LoopUpdate, WeightFormat, PACKED_CODES};
use crate::error::{Error, Result};
use crate::safetensors::{Dtype, Weights};

/// Name of the factors of the loops' changes.
pub const LOOP_SCALE: &str = "model.loop_scale";

/// Check that the weights have every tensor of a model, with its shape and type, before any is read. Afterwards every
/// size of the configuration is bounded by the sizes of the files. Tensors beyond those are an error as well.
///
/// # Errors
/// [`Error::Invalid`] names the first tensor that is missing, unexpected, or has another shape or type.
pub fn check(config: &Config, weights: &Weights) -> Result<()> {
    let mut checker = Checker { weights, found: 0 };
    let hidden = config.hidden_size;
    checker.float("model.embed_tokens.weight", &[config.vocab_size, hidden])?;
    if !config.tie_word_embeddings {
        checker.float("lm_head.weight", &[config.vocab_size, hidden])?;
    } else if weights.describe("lm_head.weight").is_some() {
        // A copy of the embedding, which some files have.
        checker.float("lm_head.weight", &[config.vocab_size, hidden])?;
    }
    checker.float("model.norm.weight", &[hidden])?;
    let gate = exit_gate(config);
    checker.float(&format!("{gate}.weight"), &[1, hidden])?;
    checker.float(&format!("{gate}.bias"), &[1])?;
    if config.loop_update == LoopUpdate::Scaled {
        checker.float(LOOP_SCALE, &[hidden])?;
    }
    for layer in 0..config.num_layers() {
        check_layer(config, &format!("model.layers.{layer}"), &mut checker)?;
    }
    let total = weights.names().count();
    if checker.found != total {
        return Err(Error::Invalid(format!(
            "the weights must have the {} tensors that config.json asks for, got {total}",
            checker.found
        )));
    }
    Ok(())
}

/// Return the name of the exit gate, without `.weight`.
pub fn exit_gate(config: &Config) -> &'static str {
    match config.family {
        Family::LoopLm => "model.exit_gate",
        Family::Ouro => "model.early_exit_gate",
    }
}

fn check_layer(config: &Config, prefix: &str, checker: &mut Checker<'_>) -> Result<()> {
    let hidden = config.hidden_size;
    let queries = config.num_attention_heads * config.head_dim;
    let keys = config.num_key_value_heads * config.head_dim;
    for (name, outputs, inputs) in [
        ("self_attn.q_proj", queries, hidden),
        ("self_attn.k_proj", keys, hidden),
        ("self_attn.v_proj", keys, hidden),
        ("self_attn.o_proj", hidden, queries),
        ("mlp.gate_proj", config.intermediate_size, hidden),
        ("mlp.up_proj", config.intermediate_size, hidden),
        ("mlp.down_proj", hidden, config.intermediate_size),
    ] {
        let name = format!("{prefix}.{name}");
        if config.weight_format == WeightFormat::Packed {
            checker.one(&format!("{name}.weight_codes"), &[outputs, inputs / PACKED_CODES], &[Dtype::U8])?;
            let scales = config.ternary_group_size.map_or([1, 1], |group| [outputs, inputs / group]);
            checker.float(&format!("{name}.weight_scales"), &scales)?;
        } else {
            checker.float(&format!("{name}.weight"), &[outputs, inputs])?;
        }
    }
    if config.attention_bias != AttentionBias::None {
        for (name, outputs) in [("q_proj", queries), ("k_proj", keys), ("v_proj", keys)] {
            checker.float(&format!("{prefix}.self_attn.{name}.bias"), &[outputs])?;
        }
    }
    if config.attention_bias == AttentionBias::Qkvo {
        checker.float(&format!("{prefix}.self_attn.o_proj.bias"), &[hidden])?;
    }
    if config.qk_norm {
        for name in ["q_norm", "k_norm"] {
            checker.float(&format!("{prefix}.self_attn.{name}.weight"), &[config.head_dim])?;
        }
    }
    let norms = ["input_layernorm", "post_attention_layernorm", "input_layernorm_2", "post_attention_layernorm_2"];
    for name in &norms[..if config.sandwich_norm { 4 } else { 2 }] {
        checker.float(&format!("{prefix}.{name}.weight"), &[hidden])?;
    }
    let streams = config.mhc_num_streams;
    if streams > 1 {
        // Coefficients: read, write, and the permutations of the streams.
        let coefficients = 2 * streams + (1..=streams).product::<usize>();
        for name in ["attention_residual", "mlp_residual"] {
            checker.float(&format!("{prefix}.{name}.bias"), &[coefficients])?;
            if config.mhc_dynamic {
                checker.float(&format!("{prefix}.{name}.projection"), &[streams, coefficients, hidden])?;
                checker.float(&format!("{prefix}.{name}.scale"), &[3])?;
            }
        }
    }
    Ok(())
}

struct Checker<'a> {
    weights: &'a Weights,
    found: usize,
}

impl Checker<'_> {
    fn float(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        self.one(name, shape, &[Dtype::F32, Dtype::F16, Dtype::Bf16])
    }

    fn one(&mut self, name: &str, shape: &[usize], dtypes: &[Dtype]) -> Result<()> {
        let Some((dtype, found)) = self.weights.describe(name) else {
            return Err(Error::Invalid(format!("the weights must have {name}, which config.json asks for, got none")));
        };
        if found != shape {
            return Err(Error::Invalid(format!("{name} must have shape {shape:?}, got {found:?}")));
        }
        if !dtypes.contains(&dtype) {
            let names: Vec<String> = dtypes.iter().map(Dtype::to_string).collect();
            return Err(Error::Invalid(format!("{name} must be {}, got {dtype}", names.join(" or "))));
        }
        self.found += 1;
        Ok(())
    }
}
