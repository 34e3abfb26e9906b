//! Sixteen f32, one per output of a block, as the registers of each instruction set.

use super::float::{Bf16, Weight};
use super::BLOCK_ROWS;

/// Sixteen f32. The methods are inlined into functions that are compiled with the instructions.
///
/// # Safety
///
/// All unsafe methods require that the processor has the instructions of the implementation.
#[allow(clippy::missing_safety_doc)]
pub(crate) trait Lanes: Copy {
    /// Whether there are 32 registers, so that the sums of eight rows stay in them.
    const MANY: bool;
    unsafe fn zero() -> Self;
    unsafe fn load_f32(values: &[f32; BLOCK_ROWS]) -> Self;
    unsafe fn load_bf16(values: &[Bf16; BLOCK_ROWS]) -> Self;
    /// `weights * x + sums`, with one rounding where the processor has an instruction for it.
    unsafe fn multiply_add(weights: Self, x: f32, sums: Self) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn multiply(self, other: Self) -> Self;
    unsafe fn values(self) -> [f32; BLOCK_ROWS];
    /// Request memory that is read soon; any address is allowed.
    unsafe fn prefetch(_address: *const f32) {}
}

/// Plain Rust, and the registers of 64-bit Arm, all of which have fused multiply-add.
#[derive(Clone, Copy)]
pub(crate) struct Plain([f32; BLOCK_ROWS]);

impl Lanes for Plain {
    const MANY: bool = cfg!(target_arch = "aarch64");

    #[inline(always)]
    unsafe fn zero() -> Self {
        Plain([0.0; BLOCK_ROWS])
    }

    #[inline(always)]
    unsafe fn load_f32(values: &[f32; BLOCK_ROWS]) -> Self {
        Plain(*values)
    }

    #[inline(always)]
    unsafe fn load_bf16(values: &[Bf16; BLOCK_ROWS]) -> Self {
        Plain(values.map(Bf16::value))
    }

    #[inline(always)]
    unsafe fn multiply_add(weights: Self, x: f32, mut sums: Self) -> Self {
        for (sum, weight) in sums.0.iter_mut().zip(weights.0) {
            *sum = if cfg!(target_arch = "aarch64") { weight.mul_add(x, *sum) } else { weight * x + *sum };
        }
        sums
    }

    #[inline(always)]
    unsafe fn add(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a += b);
        self
    }

    #[inline(always)]
    unsafe fn multiply(mut self, other: Self) -> Self {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a *= b);
        self
    }

    #[inline(always)]
    unsafe fn values(self) -> [f32; BLOCK_ROWS] {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Bf16, Lanes, BLOCK_ROWS};
    use std::arch::x86_64::*;

    /// One AVX-512 register.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512);

    // SAFETY of all blocks below: the processor has the instructions by the contract of the trait, and each pointer is
    // that of an array with as many bytes as the instruction reads or writes.
    impl Lanes for Avx512 {
        const MANY: bool = true;

        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { Avx512(_mm512_setzero_ps()) }
        }

        #[inline(always)]
        unsafe fn load_f32(values: &[f32; BLOCK_ROWS]) -> Self {
            unsafe { Avx512(_mm512_loadu_ps(values.as_ptr())) }
        }

        #[inline(always)]
        unsafe fn load_bf16(values: &[Bf16; BLOCK_ROWS]) -> Self {
            unsafe {
                let wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(values.as_ptr().cast()));
                Avx512(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(wide)))
            }
        }

        #[inline(always)]
        unsafe fn multiply_add(weights: Self, x: f32, sums: Self) -> Self {
            unsafe { Avx512(_mm512_fmadd_ps(weights.0, _mm512_set1_ps(x), sums.0)) }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { Avx512(_mm512_add_ps(self.0, other.0)) }
        }

        #[inline(always)]
        unsafe fn multiply(self, other: Self) -> Self {
            unsafe { Avx512(_mm512_mul_ps(self.0, other.0)) }
        }

        #[inline(always)]
        unsafe fn prefetch(address: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
        }

        #[inline(always)]
        unsafe fn values(self) -> [f32; BLOCK_ROWS] {
            let mut values = [0.0; BLOCK_ROWS];
            unsafe { _mm512_storeu_ps(values.as_mut_ptr(), self.0) };
            values
        }
    }

    /// Two AVX registers.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256, __m256);

    // SAFETY of all blocks below: as above.
    impl Lanes for Avx2 {
        const MANY: bool = false;

        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { Avx2(_mm256_setzero_ps(), _mm256_setzero_ps()) }
        }

        #[inline(always)]
        unsafe fn load_f32(values: &[f32; BLOCK_ROWS]) -> Self {
            unsafe { Avx2(_mm256_loadu_ps(values.as_ptr()), _mm256_loadu_ps(values.as_ptr().add(8))) }
        }

        #[inline(always)]
        unsafe fn load_bf16(values: &[Bf16; BLOCK_ROWS]) -> Self {
            unsafe {
                let low = _mm256_cvtepu16_epi32(_mm_loadu_si128(values.as_ptr().cast()));
                let high = _mm256_cvtepu16_epi32(_mm_loadu_si128(values.as_ptr().add(8).cast()));
                let (low, high) = (_mm256_slli_epi32::<16>(low), _mm256_slli_epi32::<16>(high));
                Avx2(_mm256_castsi256_ps(low), _mm256_castsi256_ps(high))
            }
        }

        #[inline(always)]
        unsafe fn multiply_add(weights: Self, x: f32, sums: Self) -> Self {
            unsafe {
                let x = _mm256_set1_ps(x);
                Avx2(_mm256_fmadd_ps(weights.0, x, sums.0), _mm256_fmadd_ps(weights.1, x, sums.1))
            }
        }

        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            unsafe { Avx2(_mm256_add_ps(self.0, other.0), _mm256_add_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn multiply(self, other: Self) -> Self {
            unsafe { Avx2(_mm256_mul_ps(self.0, other.0), _mm256_mul_ps(self.1, other.1)) }
        }

        #[inline(always)]
        unsafe fn prefetch(address: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) }
        }

        #[inline(always)]
        unsafe fn values(self) -> [f32; BLOCK_ROWS] {
            let mut values = [0.0; BLOCK_ROWS];
            unsafe {
                _mm256_storeu_ps(values.as_mut_ptr(), self.0);
                _mm256_storeu_ps(values.as_mut_ptr().add(8), self.1);
            }
            values
        }
    }
}
