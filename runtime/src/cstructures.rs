//! Structures of the C boundary; the arrays that they point to are read in `capi.rs`.

#![forbid(unsafe_code)]

use std::ffi::{c_char, c_int, c_void};

/// A tensor of the caller, in row-major order.
#[repr(C)]
pub struct CTensor {
    /// Name, ended by a zero byte.
    pub name: *const c_char,
    /// 0 for f32, 1 for f16, 2 for bf16, 3 for uint8.
    pub dtype: c_int,
    /// Number of dimensions.
    pub ndim: c_int,
    /// Shape.
    pub shape: *const usize,
    /// Elements.
    pub data: *const c_void,
    /// Bytes of the elements.
    pub bytes: usize,
}

/// Depth of a call; 0 and NaN take the value of the configuration.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CDepth {
    /// See [`Depth::new`](crate::forward::Depth::new).
    pub num_loops: usize,
    /// See [`Depth::new`](crate::forward::Depth::new).
    pub exit_at_loop: usize,
    /// See [`Depth::new`](crate::forward::Depth::new).
    pub exit_threshold: f32,
}

/// Settings of a generation, see [`Settings`](crate::decode::Settings) and [`Sampling`](crate::sampling::Sampling).
#[repr(C)]
#[allow(missing_docs)]
pub struct CSettings {
    pub depth: CDepth,
    pub temperature: f32,
    pub top_p: f32,
    pub repetition_penalty: f32,
    pub top_k: usize,
    pub seed: u64,
    pub max_new_tokens: usize,
    pub num_return_sequences: usize,
    pub batch_size: usize,
    pub end_tokens: *const u32,
    pub num_end_tokens: usize,
}

/// The tokens with which the completions of a prompt may begin, see
/// [`Constraint::new`](crate::constraint::Constraint::new).
#[repr(C)]
#[allow(missing_docs)]
pub struct CConstraint {
    pub starts: *const usize,
    /// Number of nodes, one less than there are starts; 0 for a prompt without a constraint.
    pub num_nodes: usize,
    pub tokens: *const u32,
    pub additions: *const f32,
    pub following: *const i64,
    pub num_entries: usize,
}

/// Where the completions are written: `[completions][max_new_tokens]`, and their lengths.
#[repr(C)]
#[allow(missing_docs)]
pub struct CCompletions {
    pub tokens: *mut u32,
    pub log_probabilities: *mut f32,
    pub loops_used: *mut u32,
    pub lengths: *mut usize,
}
