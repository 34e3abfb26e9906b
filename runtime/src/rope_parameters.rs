//! Type and parameters of the rotary embeddings, as transformers writes them in `rope_parameters`.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::fields::Fields;
use crate::json::Json;

/// Rotary embeddings of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies, `rope_theta`.
    pub theta: f64,
    /// How the frequencies are scaled for long contexts.
    pub scaling: RopeScaling,
}

/// Types of rotary embeddings, `rope_type`; the fields have the names of transformers.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum RopeScaling {
    Default,
    Linear {
        factor: f64,
    },
    Dynamic {
        factor: f64,
    },
    Yarn {
        factor: f64,
        original_max_position_embeddings: usize,
        attention_factor: Option<f64>,
        beta_fast: f64,
        beta_slow: f64,
        mscale: Option<f64>,
        mscale_all_dim: Option<f64>,
        truncate: bool,
    },
    Llama3 {
        factor: f64,
        low_freq_factor: f64,
        high_freq_factor: f64,
        original_max_position_embeddings: usize,
    },
    Longrope {
        short_factor: Vec<f64>,
        long_factor: Vec<f64>,
        factor: Option<f64>,
        attention_factor: Option<f64>,
        original_max_position_embeddings: usize,
    },
}

impl Rope {
    /// Read the rotary embeddings from a configuration: `rope_parameters`, or the older `rope_scaling` and
    /// `rope_theta`.
    pub(crate) fn read(config: Fields<'_>, head_dim: usize, max_position_embeddings: usize) -> Result<Rope> {
        let (name, parameters) = match (config.get("rope_parameters"), config.get("rope_scaling")) {
            (_, Some(scaling)) => ("rope_scaling", scaling),
            (parameters, None) => ("rope_parameters", parameters.unwrap_or(&EMPTY)),
        };
        let fields = Fields::of(parameters).map_err(|_| {
            let rule = format!("{name} must be an object of numbers, got {parameters}");
            Error::Invalid(rule)
        })?;
        let read = || -> Result<Rope> {
            let theta = match fields.number("rope_theta", 0.0, false)? {
                Some(theta) => theta,
                None => config.number("rope_theta", 0.0, false)?.unwrap_or(10_000.0),
            };
            let partial = match fields.number("partial_rotary_factor", 0.0, false)? {
                Some(factor) => factor,
                None => config.number("partial_rotary_factor", 0.0, false)?.unwrap_or(1.0),
            };
            if partial != 1.0 {
                return Err(Error::Unsupported(format!("partial_rotary_factor must be 1, got {partial}")));
            }
            Ok(Rope { theta, scaling: RopeScaling::read(fields, head_dim, max_position_embeddings)? })
        };
        read().map_err(|error| match error {
            Error::Invalid(text) => Error::Invalid(format!("{name}.{text}")),
            Error::Unsupported(text) => Error::Unsupported(format!("{name}.{text}")),
            other => other,
        })
    }
}

static EMPTY: Json = Json::Object(Vec::new());

impl RopeScaling {
    fn read(fields: Fields<'_>, head_dim: usize, max_position_embeddings: usize) -> Result<RopeScaling> {
        let needed = |name: &str| -> Result<f64> {
            match fields.number(name, 0.0, false)? {
                Some(value) => Ok(value),
                None => fields.refuse(name, "a finite number > 0"),
            }
        };
        let at_least_one = |name: &str| -> Result<f64> {
            match fields.number(name, 1.0, true)? {
                Some(value) => Ok(value),
                None => fields.refuse(name, "a finite number >= 1"),
            }
        };
        let optional = |name: &str| fields.number(name, 0.0, false);
        let original = || -> Result<usize> {
            Ok(fields.size("original_max_position_embeddings")?.unwrap_or(max_position_embeddings))
        };
        let frequencies = |name: &str| -> Result<Vec<f64>> {
            let valid = |values: &Vec<f64>| values.len() == head_dim / 2 && values.iter().all(|value| *value > 0.0);
            match fields.numbers(name)?.filter(valid) {
                Some(values) => Ok(values),
                None => fields.refuse(name, &format!("an array of head_dim / 2 = {} numbers > 0", head_dim / 2)),
            }
        };
        let name = match fields.string("rope_type")? {
            Some(name) => name,
            None => fields.string("type")?.unwrap_or("default"),
        };
        Ok(match name {
            "default" => RopeScaling::Default,
            "linear" => RopeScaling::Linear { factor: at_least_one("factor")? },
            "dynamic" if head_dim == 2 => return fields.refuse("rope_type", "another one for head_dim=2"),
            "dynamic" => RopeScaling::Dynamic { factor: at_least_one("factor")? },
            "yarn" => RopeScaling::Yarn {
                factor: at_least_one("factor")?,
                original_max_position_embeddings: original()?,
                attention_factor: optional("attention_factor")?,
                beta_fast: optional("beta_fast")?.unwrap_or(32.0),
                beta_slow: optional("beta_slow")?.unwrap_or(1.0),
                mscale: optional("mscale")?,
                mscale_all_dim: optional("mscale_all_dim")?,
                truncate: fields.boolean("truncate")?.unwrap_or(true),
            },
            "llama3" => {
                let (low_freq_factor, high_freq_factor) = (needed("low_freq_factor")?, needed("high_freq_factor")?);
                if high_freq_factor <= low_freq_factor {
                    return fields.refuse("high_freq_factor", &format!("above low_freq_factor={low_freq_factor}"));
                }
                RopeScaling::Llama3 {
                    factor: at_least_one("factor")?,
                    low_freq_factor,
                    high_freq_factor,
                    original_max_position_embeddings: original()?,
                }
            }
            "longrope" => RopeScaling::Longrope {
                short_factor: frequencies("short_factor")?,
                long_factor: frequencies("long_factor")?,
                factor: fields.number("factor", 1.0, true)?,
                attention_factor: optional("attention_factor")?,
                original_max_position_embeddings: original()?,
            },
            other => {
                return Err(Error::Unsupported(format!(
                    "rope_type must be default, linear, dynamic, yarn, llama3 or longrope, got {other:?}"
                )))
            }
        })
    }
}
