//! Sixteen i32 sums of products of pairs, one per output of a block, as the registers of each instruction set.

use super::int8::Weights;
use super::BLOCK_ROWS;

/// Sums of 16 outputs. The methods are inlined into functions that are compiled with the instructions.
///
/// # Safety
///
/// All unsafe methods require that the processor has the instructions of the implementation.
#[allow(clippy::missing_safety_doc)]
pub(crate) trait Pairs: Copy {
    /// Weights of two inputs, as 16-bit numbers.
    type Weights: Copy;
    unsafe fn zero() -> Self;
    unsafe fn load(weights: &Weights) -> Self::Weights;
    /// Request weights that are needed soon; any address is allowed.
    unsafe fn prefetch(_weights: *const Weights) {}
    /// Add the products with two activations to the sums.
    unsafe fn multiply_add(weights: Self::Weights, pair: [i16; 2], sums: Self) -> Self;
    unsafe fn values(self) -> [i32; BLOCK_ROWS];
}

/// Plain Rust.
#[derive(Clone, Copy)]
pub(crate) struct Plain([i32; BLOCK_ROWS]);

impl Pairs for Plain {
    type Weights = Weights;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Plain([0; BLOCK_ROWS])
    }

    #[inline(always)]
    unsafe fn load(weights: &Weights) -> Weights {
        *weights
    }

    #[inline(always)]
    unsafe fn multiply_add(weights: Weights, pair: [i16; 2], mut sums: Self) -> Self {
        for (sum, weights) in sums.0.iter_mut().zip(weights) {
            *sum += i32::from(weights[0]) * i32::from(pair[0]) + i32::from(weights[1]) * i32::from(pair[1]);
        }
        sums
    }

    #[inline(always)]
    unsafe fn values(self) -> [i32; BLOCK_ROWS] {
        self.0
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Pairs, Weights, BLOCK_ROWS};
    use std::arch::x86_64::*;

    /// Both activations of a pair in each 32 bits.
    #[inline(always)]
    fn joined(pair: [i16; 2]) -> i32 {
        i32::from(pair[1]) << 16 | i32::from(pair[0] as u16)
    }

    /// One AVX-512 register.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512i);

    // SAFETY of all blocks below: the processor has the instructions by the contract of the trait, and each pointer is
    // that of an array with as many bytes as the instruction reads or writes.
    impl Pairs for Avx512 {
        type Weights = __m512i;

        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { Avx512(_mm512_setzero_si512()) }
        }

        #[inline(always)]
        unsafe fn load(weights: &Weights) -> __m512i {
            unsafe { _mm512_cvtepi8_epi16(_mm256_loadu_si256(weights.as_ptr().cast())) }
        }

        #[inline(always)]
        unsafe fn prefetch(weights: *const Weights) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(weights.cast()) }
        }

        #[inline(always)]
        unsafe fn multiply_add(weights: __m512i, pair: [i16; 2], sums: Self) -> Self {
            unsafe { Avx512(_mm512_dpwssd_epi32(sums.0, weights, _mm512_set1_epi32(joined(pair)))) }
        }

        #[inline(always)]
        unsafe fn values(self) -> [i32; BLOCK_ROWS] {
            let mut values = [0; BLOCK_ROWS];
            unsafe { _mm512_storeu_si512(values.as_mut_ptr().cast(), self.0) };
            values
        }
    }

    /// Two AVX registers.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256i, __m256i);

    // SAFETY of all blocks below: as above.
    impl Pairs for Avx2 {
        type Weights = (__m256i, __m256i);

        #[inline(always)]
        unsafe fn zero() -> Self {
            unsafe { Avx2(_mm256_setzero_si256(), _mm256_setzero_si256()) }
        }

        #[inline(always)]
        unsafe fn load(weights: &Weights) -> Self::Weights {
            let pointer = weights.as_ptr().cast::<__m128i>();
            unsafe {
                let (low, high) = (_mm_loadu_si128(pointer), _mm_loadu_si128(pointer.add(1)));
                (_mm256_cvtepi8_epi16(low), _mm256_cvtepi8_epi16(high))
            }
        }

        #[inline(always)]
        unsafe fn prefetch(weights: *const Weights) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(weights.cast()) }
        }

        #[inline(always)]
        unsafe fn multiply_add(weights: Self::Weights, pair: [i16; 2], sums: Self) -> Self {
            unsafe {
                let pair = _mm256_set1_epi32(joined(pair));
                let (low, high) = (_mm256_madd_epi16(weights.0, pair), _mm256_madd_epi16(weights.1, pair));
                Avx2(_mm256_add_epi32(sums.0, low), _mm256_add_epi32(sums.1, high))
            }
        }

        #[inline(always)]
        unsafe fn values(self) -> [i32; BLOCK_ROWS] {
            let mut values = [0i32; BLOCK_ROWS];
            unsafe {
                _mm256_storeu_si256(values.as_mut_ptr().cast(), self.0);
                _mm256_storeu_si256(values.as_mut_ptr().add(8).cast(), self.1);
            }
            values
        }
    }
}
