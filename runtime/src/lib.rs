//! Inference of ternary looped language models (LoopLM) on CPUs.
//!
//! The crate reads a model folder as Hugging Face transformers saves it: `config.json`, `generation_config.json`,
//! `tokenizer.json` and `*.safetensors`. It has no dependencies outside the standard library.
//!
//! Files are untrusted input. Every reader checks lengths, offsets, shapes and numbers before it uses them, and
//! returns one [`Error`] that names the file, the field, its rule and the value.

#![deny(unsafe_op_in_unsafe_fn)]

mod bpe;
pub mod cache;
pub mod capi;
pub mod config;
pub mod constraint;
pub mod cpu;
pub mod cstructures;
pub mod decode;
pub mod error;
mod fields;
pub mod floats;
pub mod forward;
pub mod generation_config;
pub mod json;
pub mod kernels;
pub mod layout;
pub mod pool;
pub mod pretrained;
pub mod quantized;
pub mod rope_parameters;
pub mod safetensors;
pub mod sampling;
mod split;
pub mod ternary;
pub mod tokenizer;
mod unicode_table;

pub use config::Config;
pub use error::{Error, Result};
pub use generation_config::GenerationConfig;
pub use pretrained::{Model, Options};
pub use tokenizer::Tokenizer;
