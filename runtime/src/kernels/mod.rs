//! Inner loops of the matrix products, one file per instruction set, chosen at run time.
//!
//! Ternary products of quantized rows are equal to the last bit on every path: each group's sum is an exact integer,
//! and [`crate::ternary::TernaryMatrix::multiply`] defines the order of the float operations that follow. Products
//! with floats (`float.rs`) use fused multiply-add where the processor has it, so that their last bits differ between
//! paths. No result depends on the number of rows that are multiplied together, or on the number of threads.

// Loops over registers are clearer with indices, because they walk several arrays at once.
#![allow(clippy::needless_range_loop)]

pub(crate) mod attention;
pub(crate) mod float;
pub(crate) mod int8;
pub(crate) mod lanes;
pub(crate) mod output;
pub(crate) mod pairs;
pub(crate) mod portable;

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;

use output::Columns;

/// Outputs that one block of a matrix holds side by side.
pub const BLOCK_ROWS: usize = 16;
/// Inputs per ternary block, which has `BLOCK_ROWS * BLOCK_COLS` codes in 64 bytes.
pub const BLOCK_COLS: usize = 16;
/// Bytes of a ternary block.
pub const BLOCK_BYTES: usize = BLOCK_ROWS * BLOCK_COLS / 4;
/// Distance at which weights are requested ahead: the hardware stops at the end of each page of 4 KiB.
pub(crate) const PREFETCH_BYTES: usize = 4096;

/// Arguments of a ternary kernel, with checked lengths.
pub(crate) struct TernaryProduct<'a> {
    /// Blocks `[row_blocks][cols / BLOCK_COLS]`: byte 4r + c of a block holds the codes plus one of output r and
    /// inputs c, 4 + c, 8 + c and 12 + c, from the lowest bits.
    blocks: &'a [u8],
    /// Scales `[row_blocks][groups][BLOCK_ROWS]`.
    scales: &'a [f32],
    /// Number of [`BLOCK_COLS`] per group.
    group_blocks: usize,
    groups: usize,
    /// int8 activations, `[rows][stride]`.
    codes: &'a [i8],
    stride: usize,
    /// Sums of the activations, negative, `[rows][groups]`.
    negative_sums: &'a [i32],
    /// Scales of the activations.
    row_scales: &'a [f32],
}

impl<'a> TernaryProduct<'a> {
    /// # Panics
    ///
    /// A length does not match.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        blocks: &'a [u8],
        scales: &'a [f32],
        groups: usize,
        group_blocks: usize,
        codes: &'a [i8],
        stride: usize,
        negative_sums: &'a [i32],
        row_scales: &'a [f32],
    ) -> Self {
        let row_bytes = groups * group_blocks * BLOCK_BYTES;
        assert!(row_bytes > 0 && blocks.len().is_multiple_of(row_bytes));
        assert_eq!(scales.len(), blocks.len() / row_bytes * groups * BLOCK_ROWS);
        assert!(stride >= groups * group_blocks * BLOCK_COLS && codes.len() >= row_scales.len() * stride);
        assert_eq!(negative_sums.len(), row_scales.len() * groups);
        TernaryProduct { blocks, scales, group_blocks, groups, codes, stride, negative_sums, row_scales }
    }

    fn row_blocks(&self) -> usize {
        self.scales.len() / (self.groups * BLOCK_ROWS)
    }

    /// Check the ranges of a call of a kernel.
    fn check(&self, row_blocks: &std::ops::Range<usize>, rows: &std::ops::Range<usize>, out: &Columns<'_>) {
        assert!(row_blocks.start <= row_blocks.end && row_blocks.end <= self.row_blocks());
        assert!(rows.start <= rows.end && rows.end <= self.row_scales.len() && rows.end <= out.rows());
    }
}

/// A set of instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// Plain Rust, on every processor.
    Portable,
    /// x86-64 with AVX2 and FMA.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and VNNI.
    Avx512Vnni,
    /// 64-bit Arm with the dot product instructions.
    NeonDotprod,
}

impl Isa {
    /// All instruction sets, fastest first.
    pub const ALL: [Isa; 4] = [Isa::Avx512Vnni, Isa::NeonDotprod, Isa::Avx2, Isa::Portable];

    /// Name as in `NANOCHAT_ISA`.
    pub fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512Vnni => "avx512_vnni",
            Isa::NeonDotprod => "neon_dotprod",
        }
    }

    /// Whether this processor and operating system have the instructions.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Vnni => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni")
                    && is_x86_feature_detected!("fma")
            }
            #[cfg(target_arch = "aarch64")]
            Isa::NeonDotprod => std::arch::is_aarch64_feature_detected!("dotprod"),
            #[allow(unreachable_patterns)]
            _ => false,
        }
    }

    /// Return the fastest available instruction set.
    pub fn detect() -> Isa {
        // Miri interprets the portable path only.
        if cfg!(miri) {
            return Isa::Portable;
        }
        Isa::ALL.into_iter().find(|isa| isa.is_available()).unwrap_or(Isa::Portable)
    }
}

/// Multiply the given rows of activations by the given row blocks of a ternary matrix.
///
/// # Panics
///
/// The instruction set is not available, or a range is out of bounds.
pub(crate) fn ternary(
    isa: Isa,
    product: &TernaryProduct<'_>,
    row_blocks: std::ops::Range<usize>,
    rows: std::ops::Range<usize>,
    out: &Columns<'_>,
) {
    product.check(&row_blocks, &rows, out);
    assert!(isa.is_available(), "instruction set {} is not available", isa.name());
    match isa {
        Isa::Portable => portable::ternary(product, row_blocks, rows, out),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the features were detected, and `check` has checked the ranges.
        Isa::Avx2 => unsafe { avx2::ternary(product, row_blocks, rows, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Isa::Avx512Vnni => unsafe { avx512::ternary(product, row_blocks, rows, out) },
        #[cfg(target_arch = "aarch64")]
        // SAFETY: as above.
        Isa::NeonDotprod => unsafe { neon::ternary(product, row_blocks, rows, out) },
        #[allow(unreachable_patterns)]
        _ => unreachable!("not available on this architecture"),
    }
}
