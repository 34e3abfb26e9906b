//! The configuration of a model: `config.json` of LoopLM (`nanochat_looplm`) and of Ouro (`ouro`, arXiv 2510.25741).
//!
//! Fields, defaults and rules are those of `modeling_nanochat/configuration_nanochat.py`.

#![forbid(unsafe_code)]

use std::path::Path;

use crate::error::{Error, Result};
use crate::fields::{Fields, MAX_SIZE};
use crate::json::Json;
use crate::rope_parameters::Rope;

/// Maximum of `num_loops` and of the numbers of layers.
pub const MAX_DEPTH: usize = 1 << 16;
/// Number of ternary codes in a byte of packed weights.
pub const PACKED_CODES: usize = 4;

/// Which checkpoint a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// This project's model, `model_type` `nanochat_looplm`.
    LoopLm,
    /// Ouro's checkpoints, `model_type` `ouro`, which name the exit gate differently.
    Ouro,
}

/// Which keys and values the cache keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvReuse {
    /// Those of every loop.
    None,
    /// Those of the last loop.
    Last,
}

/// How a loop changes the state of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoopUpdate {
    /// Each loop reads the final norm of the state (Ouro).
    Norm,
    /// From the second loop on, the change by the core is multiplied by `loop_scale`.
    Scaled,
}

/// Projections of the attention that have a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttentionBias {
    /// None.
    None,
    /// Those of queries, keys and values.
    Qkv,
    /// Those and the output projection.
    Qkvo,
}

/// How the weights of ternary layers are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightFormat {
    /// Float weights, which are quantized when they are loaded.
    Latent,
    /// 2-bit codes with fp16 scales.
    Packed,
}

/// Configuration of a model; the fields have the names of `LoopLMConfig`.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Config {
    pub family: Family,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_prelude_layers: usize,
    pub num_shared_layers: usize,
    pub num_coda_layers: usize,
    pub loop_update: LoopUpdate,
    pub num_loops: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f32,
    pub tie_word_embeddings: bool,
    pub sandwich_norm: bool,
    pub attention_bias: AttentionBias,
    pub qk_norm: bool,
    pub ternary: bool,
    /// `None` for one scale per weight matrix (`-1` in the file).
    pub ternary_group_size: Option<usize>,
    /// 8, or `None` for float activations.
    pub activation_bits: Option<u32>,
    pub mhc_num_streams: usize,
    pub mhc_dynamic: bool,
    pub exit_threshold: f32,
    pub exit_at_loop: Option<usize>,
    pub exit_temperature: f32,
    pub kv_reuse: KvReuse,
    pub weight_format: WeightFormat,
    pub rope: Rope,
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; empty for none.
    pub eos_token_ids: Vec<u32>,
    pub pad_token_id: Option<u32>,
}

/// Fields of other architectures that would change the outputs.
const FOREIGN_FIELDS: [&str; 21] = [
    "max_loop_depth",
    "sliding_window",
    "layer_types",
    "hidden_act",
    "mlp_bias",
    "attention_dropout",
    "hidden_dropout",
    "use_sliding_window",
    "max_window_layers",
    "total_ut_steps",
    "n_layers_in_prelude",
    "n_layers_in_recurrent_block",
    "n_layers_in_coda",
    "mean_recurrence",
    "early_exit_threshold",
    "early_exit_step",
    "n_layers",
    "num_layers",
    "dim",
    "max_seq_len",
    "group_size",
];

/// Fields of LoopLM whose value cannot be null.
const NOT_NULL: [&str; 23] = [
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_prelude_layers",
    "num_shared_layers",
    "num_coda_layers",
    "loop_update",
    "num_loops",
    "num_attention_heads",
    "max_position_embeddings",
    "rms_norm_eps",
    "tie_word_embeddings",
    "sandwich_norm",
    "attention_bias",
    "qk_norm",
    "ternary",
    "ternary_group_size",
    "mhc_num_streams",
    "mhc_dynamic",
    "exit_threshold",
    "exit_temperature",
    "kv_reuse",
    "weight_format",
];

impl Config {
    /// Read `config.json` of a model folder.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Invalid`] if a field breaks its rule, [`Error::Unsupported`] for
    /// another architecture.
    pub fn read(folder: &Path) -> Result<Config> {
        let path = folder.join("config.json");
        Config::from_json(&Json::read(&path)?).map_err(|error| error.in_file(&path))
    }

    /// Read a configuration from the value of `config.json`.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn from_json(json: &Json) -> Result<Config> {
        let fields = Fields::of(json)?;
        let config = match fields.string("model_type")? {
            Some("nanochat_looplm") => looplm(fields, json)?,
            Some("ouro") => ouro(fields)?,
            other => {
                let other = other.unwrap_or("nothing");
                return Err(Error::Unsupported(format!("model_type must be nanochat_looplm or ouro, got {other}")));
            }
        };
        config.check()?;
        Ok(config)
    }

    /// Number of inputs that share a scale in a ternary layer with this many inputs.
    pub fn group_size(&self, inputs: usize) -> usize {
        self.ternary_group_size.unwrap_or(inputs)
    }

    /// Number of layers, each counted once: prelude, core and coda.
    pub fn num_layers(&self) -> usize {
        self.num_prelude_layers + self.num_shared_layers + self.num_coda_layers
    }

    /// Check the combinations of fields.
    fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::Invalid(text));
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            let (heads, found) = (self.num_attention_heads, self.num_key_value_heads);
            return refuse(format!(
                "num_key_value_heads must be a divisor of num_attention_heads={heads}, got {found}"
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return refuse(format!("head_dim must be even, got {}", self.head_dim));
        }
        for (name, value) in [
            ("num_prelude_layers", self.num_prelude_layers),
            ("num_shared_layers", self.num_shared_layers),
            ("num_coda_layers", self.num_coda_layers),
            ("num_loops", self.num_loops),
        ] {
            if value > MAX_DEPTH {
                return refuse(format!("{name} must be at most {MAX_DEPTH}, got {value}"));
            }
        }
        let (prelude, coda) = (self.num_prelude_layers, self.num_coda_layers);
        if prelude + coda > 0 && self.loop_update != LoopUpdate::Scaled {
            let found = format!("num_prelude_layers={prelude} and num_coda_layers={coda}");
            return refuse(format!("loop_update must be \"scaled\" with {found}, got \"norm\""));
        }
        // Both factors are at most `MAX_SIZE`.
        if self.num_attention_heads as u64 * self.head_dim as u64 > MAX_SIZE as u64 {
            return refuse(format!("num_attention_heads x head_dim must be at most {MAX_SIZE}, got more"));
        }
        if let Some(loops) = self.exit_at_loop {
            if loops > self.num_loops {
                return refuse(format!("exit_at_loop must be at most num_loops={}, got {loops}", self.num_loops));
            }
            if self.exit_threshold < 1.0 {
                let threshold = self.exit_threshold;
                return refuse(format!("exit_at_loop must be null when exit_threshold={threshold}, got {loops}"));
            }
        }
        if self.weight_format == WeightFormat::Packed {
            if !self.ternary {
                return refuse("weight_format must be \"latent\" when ternary is false, got \"packed\"".to_string());
            }
            self.check_widths(PACKED_CODES, "4 when weight_format is \"packed\"")?;
        }
        if let (true, Some(group)) = (self.ternary, self.ternary_group_size) {
            self.check_widths(group, &format!("ternary_group_size={group}"))?;
        }
        let named = |name, ids: &[u32]| ids.iter().map(move |&id| (name, id)).collect::<Vec<_>>();
        let ids = [
            named("pad_token_id", self.pad_token_id.as_slice()),
            named("bos_token_id", self.bos_token_id.as_slice()),
            named("eos_token_id", &self.eos_token_ids),
        ];
        for (name, id) in ids.concat() {
            if id as usize >= self.vocab_size {
                return refuse(format!("{name} must be below vocab_size={}, got {id}", self.vocab_size));
            }
        }
        Ok(())
    }

    /// Check that the input widths of the ternary layers are multiples of a number.
    fn check_widths(&self, divisor: usize, rule: &str) -> Result<()> {
        for (name, width) in [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads x head_dim", self.num_attention_heads * self.head_dim),
        ] {
            if !width.is_multiple_of(divisor) {
                return Err(Error::Invalid(format!("{name} must be a multiple of {rule}, got {width}")));
            }
        }
        Ok(())
    }
}

/// Read the fields of LoopLM.
fn looplm(fields: Fields<'_>, json: &Json) -> Result<Config> {
    if let Some(name) = FOREIGN_FIELDS.iter().find(|name| json.get(name).is_some()) {
        return fields.refuse(name, "left out, LoopLM has no such field");
    }
    if let Some(name) = NOT_NULL.iter().find(|name| json.get(name) == Some(&Json::Null)) {
        return fields.refuse(name, "left out or a value");
    }
    let size = |name: &str, default: usize| -> Result<usize> { Ok(fields.size(name)?.unwrap_or(default)) };
    let flag = |name: &str, default: bool| -> Result<bool> { Ok(fields.boolean(name)?.unwrap_or(default)) };
    let (hidden_size, num_attention_heads) = (size("hidden_size", 768)?, size("num_attention_heads", 12)?);
    let head_dim = read_head_dim(fields, hidden_size, num_attention_heads)?;
    let max_position_embeddings = size("max_position_embeddings", 2048)?;
    let ternary_group_size = match json.get("ternary_group_size") {
        None => Some(128),
        Some(Json::Integer(-1)) => None,
        Some(value) => match value.as_usize().filter(|size| (1..=MAX_SIZE).contains(size)) {
            Some(size) => Some(size),
            None => return fields.refuse("ternary_group_size", "an integer >= 1, or -1 for one scale per tensor"),
        },
    };
    let activation_bits = match json.get("activation_bits") {
        None | Some(Json::Integer(8)) => Some(8),
        Some(Json::Null) => None,
        Some(_) => return fields.refuse("activation_bits", "8 or null"),
    };
    let mhc_num_streams = size("mhc_num_streams", 1)?;
    if ![1, 2, 4].contains(&mhc_num_streams) {
        return fields.refuse("mhc_num_streams", "1, 2 or 4");
    }
    let exit_temperature = fields.number("exit_temperature", 1e-3, true)?.unwrap_or(1.0);
    if exit_temperature > 1e3 {
        return fields.refuse("exit_temperature", "a number from 0.001 to 1000");
    }
    let kv_reuse = match fields.string("kv_reuse")? {
        None | Some("none") => KvReuse::None,
        Some("last") => KvReuse::Last,
        Some(_) => return fields.refuse("kv_reuse", "\"none\" or \"last\""),
    };
    let loop_update = match fields.string("loop_update")? {
        None | Some("norm") => LoopUpdate::Norm,
        Some("scaled") => LoopUpdate::Scaled,
        Some(_) => return fields.refuse("loop_update", "\"norm\" or \"scaled\""),
    };
    let attention_bias = match fields.string("attention_bias")? {
        None | Some("none") => AttentionBias::None,
        Some("qkv") => AttentionBias::Qkv,
        Some("qkvo") => AttentionBias::Qkvo,
        Some(_) => return fields.refuse("attention_bias", "\"none\", \"qkv\" or \"qkvo\""),
    };
    let weight_format = match fields.string("weight_format")? {
        None | Some("latent") => WeightFormat::Latent,
        Some("packed") => WeightFormat::Packed,
        Some(_) => return fields.refuse("weight_format", "\"latent\" or \"packed\""),
    };
    // A token id that is missing has its default; null means that there is no such token.
    let token_ids = |name: &str, default: u32| -> Result<Vec<u32>> {
        match json.get(name) {
            None => Ok(vec![default]),
            Some(_) => Ok(fields.token_ids(name, name == "eos_token_id")?.unwrap_or_default()),
        }
    };
    Ok(Config {
        family: Family::LoopLm,
        vocab_size: size("vocab_size", 50304)?,
        hidden_size,
        intermediate_size: size("intermediate_size", 2048)?,
        num_prelude_layers: fields.count("num_prelude_layers")?.unwrap_or(0),
        num_shared_layers: size("num_shared_layers", 6)?,
        num_coda_layers: fields.count("num_coda_layers")?.unwrap_or(0),
        loop_update,
        num_loops: size("num_loops", 4)?,
        num_attention_heads,
        num_key_value_heads: size("num_key_value_heads", num_attention_heads)?,
        head_dim,
        max_position_embeddings,
        rms_norm_eps: read_epsilon(fields)?,
        tie_word_embeddings: flag("tie_word_embeddings", true)?,
        sandwich_norm: flag("sandwich_norm", false)?,
        attention_bias,
        qk_norm: flag("qk_norm", false)?,
        ternary: flag("ternary", true)?,
        ternary_group_size,
        activation_bits,
        mhc_num_streams,
        mhc_dynamic: flag("mhc_dynamic", true)?,
        exit_threshold: fields.number("exit_threshold", 0.0, false)?.unwrap_or(1.0) as f32,
        exit_at_loop: fields.size("exit_at_loop")?,
        exit_temperature: exit_temperature as f32,
        kv_reuse,
        weight_format,
        rope: Rope::read(fields, head_dim, max_position_embeddings)?,
        bos_token_id: token_ids("bos_token_id", 1)?.first().copied(),
        eos_token_ids: token_ids("eos_token_id", 2)?,
        pad_token_id: token_ids("pad_token_id", 0)?.first().copied(),
    })
}

/// Read the fields of Ouro, whose blocks have sandwich norms and float weights.
fn ouro(fields: Fields<'_>) -> Result<Config> {
    let size = |name: &str| -> Result<usize> {
        match fields.size(name)? {
            Some(value) => Ok(value),
            None => fields.refuse(name, "an integer >= 1"),
        }
    };
    if !matches!(fields.string("hidden_act")?, None | Some("silu")) {
        return fields.refuse("hidden_act", "\"silu\"");
    }
    if fields.boolean("use_sliding_window")? == Some(true) {
        return fields.refuse("use_sliding_window", "false");
    }
    let num_shared_layers = size("num_hidden_layers")?;
    if let Some(types) = fields.get("layer_types") {
        let full = |item: &Json| item.as_str() == Some("full_attention");
        if !types.as_array().is_some_and(|types| types.len() == num_shared_layers && types.iter().all(full)) {
            return fields.refuse("layer_types", "\"full_attention\" once per layer");
        }
    }
    let (hidden_size, num_attention_heads) = (size("hidden_size")?, size("num_attention_heads")?);
    let head_dim = read_head_dim(fields, hidden_size, num_attention_heads)?;
    let max_position_embeddings = size("max_position_embeddings")?;
    Ok(Config {
        family: Family::Ouro,
        vocab_size: size("vocab_size")?,
        hidden_size,
        intermediate_size: size("intermediate_size")?,
        num_prelude_layers: 0,
        num_shared_layers,
        num_coda_layers: 0,
        loop_update: LoopUpdate::Norm,
        num_loops: size("total_ut_steps")?,
        num_attention_heads,
        num_key_value_heads: fields.size("num_key_value_heads")?.unwrap_or(num_attention_heads),
        head_dim,
        max_position_embeddings,
        rms_norm_eps: read_epsilon(fields)?,
        tie_word_embeddings: fields.boolean("tie_word_embeddings")?.unwrap_or(false),
        sandwich_norm: true,
        attention_bias: AttentionBias::None,
        qk_norm: false,
        ternary: false,
        ternary_group_size: None,
        activation_bits: None,
        mhc_num_streams: 1,
        mhc_dynamic: false,
        exit_threshold: fields.number("early_exit_threshold", 0.0, false)?.unwrap_or(1.0) as f32,
        exit_at_loop: None,
        exit_temperature: 1.0,
        kv_reuse: KvReuse::None,
        weight_format: WeightFormat::Latent,
        rope: Rope::read(fields, head_dim, max_position_embeddings)?,
        bos_token_id: fields.token_ids("bos_token_id", false)?.and_then(|ids| ids.first().copied()),
        eos_token_ids: fields.token_ids("eos_token_id", true)?.unwrap_or_default(),
        pad_token_id: fields.token_ids("pad_token_id", false)?.and_then(|ids| ids.first().copied()),
    })
}

fn read_head_dim(fields: Fields<'_>, hidden_size: usize, num_attention_heads: usize) -> Result<usize> {
    match fields.size("head_dim")? {
        Some(head_dim) => Ok(head_dim),
        None if hidden_size.is_multiple_of(num_attention_heads) => Ok(hidden_size / num_attention_heads),
        None => fields.refuse("head_dim", "given when num_attention_heads does not divide hidden_size"),
    }
}

/// Read `rms_norm_eps`, which must not become 0 or infinite as f32.
fn read_epsilon(fields: Fields<'_>) -> Result<f32> {
    let epsilon = fields.number("rms_norm_eps", 0.0, false)?.unwrap_or(1e-6) as f32;
    if !epsilon.is_normal() {
        return fields.refuse("rms_norm_eps", "a finite number > 0 in single precision");
    }
    Ok(epsilon)
}
