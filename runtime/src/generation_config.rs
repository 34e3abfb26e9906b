//! Defaults of generation: `generation_config.json` of a model folder.

#![forbid(unsafe_code)]

use std::path::Path;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::fields::Fields;
use crate::json::Json;

/// Defaults of generation; the fields have the names and defaults of transformers.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationConfig {
    /// Whether to sample; otherwise the most probable token is taken.
    pub do_sample: bool,
    /// Divisor of the logits, above 0.
    pub temperature: f32,
    /// Number of the most probable tokens to sample from; 0 for all.
    pub top_k: usize,
    /// Sample from the smallest set of tokens whose probability reaches this, above 0 and at most 1.
    pub top_p: f32,
    /// Divisor of positive and factor of negative logits of tokens that the text already has; 1 for none.
    pub repetition_penalty: f32,
    /// Maximum number of tokens to generate, if the file sets it.
    pub max_new_tokens: Option<usize>,
    /// Token that begins a text.
    pub bos_token_id: Option<u32>,
    /// Tokens that end a text; empty for none.
    pub eos_token_ids: Vec<u32>,
    /// Token that fills up batches.
    pub pad_token_id: Option<u32>,
}

/// Options that change the tokens and that this crate does not implement, with the value that has no effect.
const WITHOUT_EFFECT: [(&str, f64); 6] = [
    ("num_beams", 1.0),
    ("no_repeat_ngram_size", 0.0),
    ("min_p", 0.0),
    ("typical_p", 1.0),
    ("epsilon_cutoff", 0.0),
    ("eta_cutoff", 0.0),
];

impl GenerationConfig {
    /// Read `generation_config.json` of a model folder. Without the file, and for fields that it does not set, the
    /// token ids are those of the configuration.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Invalid`] if a field breaks its rule, [`Error::Unsupported`] if it
    /// asks for something else than greedy decoding or sampling by temperature, `top_k`,
    /// `top_p` and `repetition_penalty`.
    pub fn read(folder: &Path, config: &Config) -> Result<GenerationConfig> {
        let path = folder.join("generation_config.json");
        if !path.exists() {
            return GenerationConfig::from_json(&Json::Object(Vec::new()), config);
        }
        GenerationConfig::from_json(&Json::read(&path)?, config).map_err(|error| error.in_file(&path))
    }

    /// Read the value of `generation_config.json`.
    ///
    /// # Errors
    /// As [`GenerationConfig::read`].
    pub fn from_json(json: &Json, config: &Config) -> Result<GenerationConfig> {
        let fields = Fields::of(json)?;
        for (name, neutral) in WITHOUT_EFFECT {
            if fields.get(name).is_some_and(|value| value.as_f64() != Some(neutral)) {
                let found = fields.get(name).map_or(String::new(), Json::to_string);
                return Err(Error::Unsupported(format!("{name} must be {neutral}, got {found}")));
            }
        }
        let top_k = match fields.get("top_k") {
            None => 50,
            Some(value) => match value.as_usize() {
                Some(top_k) => top_k,
                None => return fields.refuse("top_k", "an integer >= 0"),
            },
        };
        let top_p = fields.number("top_p", 0.0, false)?.unwrap_or(1.0);
        if top_p > 1.0 {
            return fields.refuse("top_p", "a number > 0 and <= 1");
        }
        let positive = |name: &str| -> Result<f32> {
            let value = fields.number(name, 0.0, false)?.unwrap_or(1.0) as f32;
            match value.is_normal() {
                true => Ok(value),
                false => fields.refuse(name, "a finite number > 0 in single precision"),
            }
        };
        let token_ids = |name: &str, many: bool, default: &[u32]| -> Result<Vec<u32>> {
            let ids = fields.token_ids(name, many)?.unwrap_or_else(|| default.to_vec());
            match ids.iter().any(|&id| id as usize >= config.vocab_size) {
                true => fields.refuse(name, &format!("below vocab_size={}", config.vocab_size)),
                false => Ok(ids),
            }
        };
        Ok(GenerationConfig {
            do_sample: fields.boolean("do_sample")?.unwrap_or(false),
            temperature: positive("temperature")?,
            top_k,
            top_p: top_p as f32,
            repetition_penalty: positive("repetition_penalty")?,
            max_new_tokens: fields.size("max_new_tokens")?,
            bos_token_id: token_ids("bos_token_id", false, config.bos_token_id.as_slice())?.first().copied(),
            eos_token_ids: token_ids("eos_token_id", true, &config.eos_token_ids)?,
            pad_token_id: token_ids("pad_token_id", false, config.pad_token_id.as_slice())?.first().copied(),
        })
    }
}
