//! The C boundary, for Python's ctypes.
//!
//! All functions return 0 and fill their results, or return -1 and write a message, cut to fit and ended by a zero
//! byte, into the caller's buffer of [`MESSAGE_BYTES`] bytes. A panic becomes such an error, too.

use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{c_char, c_int, CStr};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::path::Path;
use std::slice;

use crate::cache::Sequence;
use crate::config::Config;
use crate::constraint::Constraint;
use crate::cstructures::{CCompletions, CConstraint, CDepth, CSettings, CTensor};
use crate::decode::{generate, Flow, NewToken, Prompt, Settings};
use crate::error::{Error, Result};
use crate::forward::{Depth, HeadFormat, LoopLm, TensorSource};
use crate::json::Json;
use crate::layout;
use crate::pool::Pool;
use crate::safetensors::{Dtype, Tensor, Weights};
use crate::sampling::Sampling;

/// Size of the buffer for an error message.
pub const MESSAGE_BYTES: usize = 1024;

/// A model with its threads.
pub struct Engine {
    model: LoopLm,
    pool: Pool,
}

/// Called with the index of a completion and its new token. Returns 0 to go on, 1 to end this completion, 2 to end
/// all.
pub type OnToken = extern "C" fn(usize, u32) -> c_int;

/// Tensors that the caller keeps in memory while the model is built.
struct Given<'a> {
    tensors: HashMap<&'a str, (Dtype, &'a [usize], &'a [u8])>,
}

impl TensorSource for Given<'_> {
    fn tensor(&self, name: &str) -> Result<Tensor<'_>> {
        let Some((name, (dtype, shape, bytes))) = self.tensors.get_key_value(name) else {
            let found = self.tensors.len();
            return Err(Error::invalid(format!("the weights must have a tensor {name:?}, got {found} others")));
        };
        let elements = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
        if elements.and_then(|count| count.checked_mul(dtype.size())) != Some(bytes.len()) {
            return Err(Error::invalid(format!(
                "{name} must have the bytes of its shape {shape:?}, got {}",
                bytes.len()
            )));
        }
        Ok(Tensor { name, dtype: *dtype, shape, bytes: bytes.to_vec() })
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }
}

/// Open the model of a folder. `head_format`: 0 as stored, 1 bf16, 2 int8. `threads`: at least 1.
///
/// # Safety
/// `folder` is a string ended by a zero byte; `engine` can be written; `message` has [`MESSAGE_BYTES`] bytes.
#[no_mangle]
pub unsafe extern "C" fn nanochat_open(
    folder: *const c_char,
    head_format: c_int,
    threads: usize,
    engine: *mut *mut Engine,
    message: *mut c_char,
) -> c_int {
    guard(message, || {
        // SAFETY: the caller gives a string ended by a zero byte.
        let folder = Path::new(text(unsafe { CStr::from_ptr(folder) })?);
        let config = Config::read(folder)?;
        let weights = Weights::open(folder)?;
        layout::check(&config, &weights).map_err(|error| error.in_file(folder))?;
        let model = LoopLm::build(config, &weights, head(head_format)?).map_err(|error| error.in_file(folder))?;
        // SAFETY: the caller gives a pointer that can be written.
        unsafe { *engine = Box::into_raw(Box::new(Engine { model, pool: Pool::new(threads.max(1)) })) };
        Ok(())
    })
}

/// Build a model from the text of `config.json` and tensors, which are copied.
///
/// # Safety
/// `config` has `config_bytes` bytes, `tensors` has `num_tensors` elements whose pointers are valid for their sizes;
/// the rest as in [`nanochat_open`].
#[no_mangle]
#[allow(clippy::too_many_arguments)] // A flat C interface.
pub unsafe extern "C" fn nanochat_build(
    config: *const u8,
    config_bytes: usize,
    tensors: *const CTensor,
    num_tensors: usize,
    head_format: c_int,
    threads: usize,
    engine: *mut *mut Engine,
    message: *mut c_char,
) -> c_int {
    guard(message, || {
        // SAFETY: the caller gives the length of the text.
        let json = Json::parse(unsafe { slice::from_raw_parts(config, config_bytes) })?;
        let config = Config::from_json(&json)?;
        let mut given = Given { tensors: HashMap::new() };
        // SAFETY: the caller gives the number of tensors.
        for tensor in unsafe { slice::from_raw_parts(tensors, num_tensors) } {
            // SAFETY: the caller gives names, shapes and elements that stay valid during the call.
            let (name, shape, bytes) = unsafe {
                (
                    CStr::from_ptr(tensor.name),
                    slice::from_raw_parts(tensor.shape, tensor.ndim as usize),
                    slice::from_raw_parts(tensor.data.cast::<u8>(), tensor.bytes),
                )
            };
            let dtype = match tensor.dtype {
                0 => Dtype::F32,
                1 => Dtype::F16,
                2 => Dtype::Bf16,
                3 => Dtype::U8,
                other => return Err(Error::invalid(format!("the dtype of a tensor must be from 0 to 3, got {other}"))),
            };
            given.tensors.insert(text(name)?, (dtype, shape, bytes));
        }
        let model = LoopLm::build(config, &given, head(head_format)?)?;
        // SAFETY: the caller gives a pointer that can be written.
        unsafe { *engine = Box::into_raw(Box::new(Engine { model, pool: Pool::new(threads.max(1)) })) };
        Ok(())
    })
}

/// Free a model.
///
/// # Safety
/// `engine` comes from [`nanochat_open`] or [`nanochat_build`] and is not used afterwards; null is allowed.
#[no_mangle]
pub unsafe extern "C" fn nanochat_free(engine: *mut Engine) {
    if !engine.is_null() {
        // SAFETY: the pointer was made by `Box::into_raw`, and the caller gives it back once.
        drop(unsafe { Box::from_raw(engine) });
    }
}

/// Return the bytes of the weights in memory.
///
/// # Safety
/// `engine` is a model that is not freed.
#[no_mangle]
pub unsafe extern "C" fn nanochat_bytes(engine: *const Engine) -> usize {
    // SAFETY: the caller gives a model that is not freed.
    unsafe { &*engine }.model.bytes()
}

/// Compute the logits of one text, `[tokens][vocab]`, or with `only_last` those of its last token. The first
/// `prompt_length` tokens run all loops, in one pass; each of the others is computed in a pass of its own, and may
/// leave early.
///
/// # Safety
/// `engine` is a model that is not freed; `tokens` has `count` elements, `logits` has `rows * vocab_size` and
/// `loops_used` has `rows`, where `rows` is `count`, or 1 with `only_last`; `message` has [`MESSAGE_BYTES`] bytes.
#[no_mangle]
#[allow(clippy::too_many_arguments)] // A flat C interface.
pub unsafe extern "C" fn nanochat_logits(
    engine: *const Engine,
    tokens: *const u32,
    count: usize,
    prompt_length: usize,
    only_last: bool,
    depth: CDepth,
    logits: *mut f32,
    loops_used: *mut u32,
    message: *mut c_char,
) -> c_int {
    guard(message, || {
        let rows = if only_last { 1 } else { count };
        // SAFETY: the caller gives a model that is not freed, and arrays of these lengths.
        let (Engine { model, pool }, tokens, loops_used) =
            unsafe { (&*engine, slice::from_raw_parts(tokens, count), slice::from_raw_parts_mut(loops_used, rows)) };
        // SAFETY: as above.
        let logits = unsafe { slice::from_raw_parts_mut(logits, rows * model.config().vocab_size) };
        if prompt_length == 0 || prompt_length > count {
            return Err(Error::invalid(format!("prompt_length must be from 1 to {count}, got {prompt_length}")));
        }
        model.check_tokens(tokens)?;
        let depth = read_depth(model.config(), depth)?;
        let mut sequence = Sequence::new(model.cache_shape(depth), count);
        let states = model.prompt(pool, &mut sequence, &tokens[..prompt_length], depth, only_last)?;
        let (mut hidden, mut loops) = (states.hidden, states.loops_used);
        for &token in &tokens[prompt_length..] {
            let found = model.next(pool, &mut sequence, token, depth);
            if only_last {
                hidden.clear();
                loops.clear();
            }
            hidden.extend(found.hidden);
            loops.extend(found.loops_used);
        }
        let (width, vocab) = (model.config().hidden_size, model.config().vocab_size);
        // In blocks, so that nothing of the size of `logits` is copied at once.
        for (hidden, logits) in hidden.chunks(64 * width).zip(logits.chunks_mut(64 * vocab)) {
            logits.copy_from_slice(&model.logits(pool, hidden));
        }
        loops_used.iter_mut().zip(loops).for_each(|(target, loops)| *target = loops as u32);
        Ok(())
    })
}

/// Generate completions, see [`generate`]. `constraints` and `on_token` may be null.
///
/// # Safety
/// `engine` is a model that is not freed; `prompts` has the tokens of all prompts and `lengths` their `num_prompts`
/// numbers; `constraints` has `num_prompts` elements, whose arrays have the lengths that they name; the arrays of `completions` have room for `num_prompts * num_return_sequences` rows; `message` has
/// [`MESSAGE_BYTES`] bytes.
#[no_mangle]
#[allow(clippy::too_many_arguments)] // A flat C interface.
pub unsafe extern "C" fn nanochat_generate(
    engine: *const Engine,
    prompts: *const u32,
    lengths: *const usize,
    num_prompts: usize,
    constraints: *const CConstraint,
    settings: *const CSettings,
    on_token: Option<OnToken>,
    completions: *const CCompletions,
    message: *mut c_char,
) -> c_int {
    guard(message, || {
        // SAFETY: the caller gives a model that is not freed, and valid structures.
        let (Engine { model, pool }, given, target, lengths) =
            unsafe { (&*engine, &*settings, &*completions, slice::from_raw_parts(lengths, num_prompts)) };
        // SAFETY: the caller gives as many tokens as the lengths say.
        let mut rest = unsafe { slice::from_raw_parts(prompts, lengths.iter().sum()) };
        let mut texts = Vec::with_capacity(num_prompts);
        for (index, &length) in lengths.iter().enumerate() {
            let (tokens, after) = rest.split_at(length);
            let constraint = match constraints.is_null() {
                true => None,
                // SAFETY: the caller gives a constraint for each prompt, with arrays of the lengths that it names.
                false => unsafe { read_constraint(&*constraints.add(index), model.config().vocab_size) }
                    .map_err(|error| Error::invalid(format!("{error} (prompt {index})")))?,
            };
            texts.push(Prompt { tokens, constraint });
            rest = after;
        }
        // SAFETY: the caller gives the number of end tokens; the pointer is not null.
        let end_tokens = unsafe { slice::from_raw_parts(given.end_tokens, given.num_end_tokens) }.to_vec();
        let settings = Settings {
            sampling: Sampling {
                temperature: given.temperature,
                top_k: given.top_k,
                top_p: given.top_p,
                repetition_penalty: given.repetition_penalty,
                seed: given.seed,
            },
            depth: read_depth(model.config(), given.depth)?,
            max_new_tokens: given.max_new_tokens,
            num_return_sequences: given.num_return_sequences,
            end_tokens,
            batch_size: given.batch_size,
        };
        let failed = Cell::new(false);
        let mut ask = |new: NewToken| match on_token.map_or(0, |on_token| on_token(new.completion, new.token)) {
            0 => Flow::Continue,
            1 => Flow::End,
            2 => Flow::EndAll,
            _ => {
                failed.set(true);
                Flow::EndAll
            }
        };
        let found = generate(model, pool, &texts, &settings, &mut ask)?;
        if failed.get() {
            return Err(Error::invalid("on_token must return 0, 1 or 2, got another number"));
        }
        for (row, completion) in found.iter().enumerate() {
            let (start, count) = (row * settings.max_new_tokens, completion.tokens.len());
            // SAFETY: the caller's arrays have `max_new_tokens` elements for each row.
            unsafe {
                slice::from_raw_parts_mut(target.tokens.add(start), count).copy_from_slice(&completion.tokens);
                slice::from_raw_parts_mut(target.log_probabilities.add(start), count)
                    .copy_from_slice(&completion.log_probabilities);
                let loops = slice::from_raw_parts_mut(target.loops_used.add(start), count);
                loops.iter_mut().zip(&completion.loops_used).for_each(|(target, loops)| *target = *loops as u32);
                *target.lengths.add(row) = count;
            }
        }
        Ok(())
    })
}

fn head(format: c_int) -> Result<HeadFormat> {
    match format {
        0 => Ok(HeadFormat::Stored),
        1 => Ok(HeadFormat::Bf16),
        2 => Ok(HeadFormat::Int8),
        other => Err(Error::invalid(format!("head_format must be from 0 to 2, got {other}"))),
    }
}

fn read_depth(config: &Config, depth: CDepth) -> Result<Depth> {
    let given = |value: usize| (value != 0).then_some(value);
    let threshold = (!depth.exit_threshold.is_nan()).then_some(depth.exit_threshold);
    Depth::new(config, given(depth.num_loops), threshold, given(depth.exit_at_loop))
}

/// Return a checked constraint.
///
/// # Safety
/// The arrays have the lengths that the structure names, and stay valid.
unsafe fn read_constraint(given: &CConstraint, vocab_size: usize) -> Result<Option<Constraint<'_>>> {
    let (nodes, entries) = (given.num_nodes, given.num_entries);
    if nodes == 0 {
        return Ok(None);
    }
    if entries == 0 {
        return Err(Error::invalid("a constraint must have at least one entry, got none"));
    }
    // SAFETY: the caller gives arrays of these lengths, which are not 0.
    let (starts, tokens, additions, following) = unsafe {
        (
            slice::from_raw_parts(given.starts, nodes + 1),
            slice::from_raw_parts(given.tokens, entries),
            slice::from_raw_parts(given.additions, entries),
            slice::from_raw_parts(given.following, entries),
        )
    };
    Constraint::new(starts, tokens, additions, following, vocab_size).map(Some)
}

fn text(string: &CStr) -> Result<&str> {
    string.to_str().map_err(|_| Error::invalid("names and paths must be valid UTF-8"))
}

/// Run a function and turn errors and panics into a message and -1.
fn guard(message: *mut c_char, work: impl FnOnce() -> Result<()>) -> c_int {
    let text = match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(())) => return 0,
        Ok(Err(error)) => error.to_string(),
        Err(panic) => {
            let known = panic.downcast_ref::<String>().map(String::as_str);
            let known = known.or_else(|| panic.downcast_ref::<&str>().copied());
            format!("the runtime panicked: {}", known.unwrap_or("unknown reason"))
        }
    };
    let bytes: Vec<u8> = text.bytes().filter(|byte| *byte != 0).take(MESSAGE_BYTES - 1).chain([0]).collect();
    // SAFETY: the caller's buffer has `MESSAGE_BYTES` bytes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), message.cast::<u8>(), bytes.len()) };
    -1
}
