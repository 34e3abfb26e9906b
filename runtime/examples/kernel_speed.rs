//! Speed of the matrix products on this machine.
//!
//! `cargo run --release --example kernel_speed [threads]` prints one line per shape, number of rows and format: the
//! time of a product (median of runs), billions of operations per second (a multiplication and an addition are two),
//! the speed at which weights are read, and for ternary products the share of the highest speed of the integer
//! instructions on one thread, which is measured first. `NANOCHAT_ISA` chooses the instruction set.

use nanochat::cpu;
use nanochat::floats::Matrix;
use nanochat::kernels::Isa;
use nanochat::pool::Pool;
use nanochat::ternary::{QuantizedRows, TernaryMatrix};
use std::time::{Duration, Instant};

/// Outputs and inputs of the layers of the models with hidden size 768 and 1536: query, key and value; gate and up;
/// down.
const SHAPES: [(usize, usize); 6] = [(2304, 768), (4096, 768), (768, 2048), (4608, 1536), (8192, 1536), (1536, 4096)];
const ROWS: [usize; 5] = [1, 4, 16, 64, 256];
const GROUP: usize = 128;
const RUN: Duration = Duration::from_millis(12);

fn main() {
    let threads = std::env::args().nth(1).map_or(1, |text| text.parse().expect("the number of threads"));
    let pool = Pool::new(threads);
    let isa = cpu::chosen_isa().expect("an available instruction set");
    let peak = peak();
    println!("instruction set {}, {threads} threads, reading memory {:.1} GB/s per thread", isa.name(), read_speed());
    if let Some(peak) = peak {
        println!("peak of the integer products on one thread: {peak:.0} GOP/s");
    }
    println!("{:>8} {:>12} {:>5} {:>10} {:>8} {:>8} {:>6}", "format", "shape", "rows", "us", "GOP/s", "GB/s", "peak");
    for (outputs, inputs) in SHAPES {
        let codes: Vec<i8> = (0..outputs * inputs).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as i8 % 2).collect();
        let scales = vec![0.01; outputs * inputs / GROUP];
        let matrix = TernaryMatrix::from_codes(outputs, inputs, GROUP, &codes, &scales).expect("valid codes");
        for rows in ROWS {
            let x: Vec<f32> = (0..rows * inputs).map(|i| (i % 251) as f32 - 125.0).collect();
            let (mut quantized, mut y) = (QuantizedRows::new(), vec![0.0; rows * outputs]);
            quantized.quantize(&x, rows, inputs);
            let seconds = median(threads, || matrix.multiply(&pool, &quantized, &mut y));
            report("ternary", (outputs, inputs, rows), seconds, matrix.bytes(), peak.map(|peak| peak * threads as f64));
        }
    }
    let (outputs, inputs) = (16384, 768);
    let weights: Vec<f32> = (0..outputs * inputs).map(|i| (i % 113) as f32 / 113.0 - 0.5).collect();
    let bf16: Vec<u16> = weights.iter().map(|weight| (weight.to_bits() >> 16) as u16).collect();
    let heads = [
        ("f32", Matrix::f32(outputs, inputs, &weights)),
        ("bf16", Matrix::bf16(outputs, inputs, &bf16)),
        ("int8", Matrix::int8(outputs, inputs, &weights)),
    ];
    for (name, head) in heads {
        let head = head.expect("valid weights");
        for rows in [1, 4, 16] {
            let x: Vec<f32> = (0..rows * inputs).map(|i| (i % 251) as f32 - 125.0).collect();
            let mut y = vec![0.0; rows * outputs];
            let seconds = median(threads, || head.multiply(&pool, &x, rows, &mut y));
            report(name, (outputs, inputs, rows), seconds, head.bytes(), None);
        }
    }
    let x: Vec<f32> = (0..768).map(|i| (i % 251) as f32 - 125.0).collect();
    let mut rows = QuantizedRows::new();
    println!("rounding of 768 activations: {:.2} us", 1e6 * median(threads, || rows.quantize(&x, 1, 768)));
    println!("division of an empty computation: {:.2} us", 1e6 * median(threads, || pool.run(2 * threads, &|_| {})));
}

/// Median time of a call in seconds: processor time on one thread, and the time of the clock on several.
fn median(threads: usize, mut call: impl FnMut()) -> f64 {
    let mut times = Vec::new();
    for _ in 0..9 {
        let (start, start_seconds, mut count) = (Instant::now(), seconds(threads), 0);
        while start.elapsed() < RUN || count == 0 {
            call();
            count += 1;
        }
        times.push((seconds(threads) - start_seconds) / f64::from(count));
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Processor seconds of this thread on Linux if `threads` is 1, otherwise seconds of the clock.
fn seconds(threads: usize) -> f64 {
    #[cfg(all(target_os = "linux", target_pointer_width = "64"))]
    if threads == 1 {
        extern "C" {
            fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
        }
        const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
        let mut time = [0i64; 2];
        // SAFETY: the function of the C library writes two 64-bit numbers on this platform.
        let status = unsafe { clock_gettime(CLOCK_THREAD_CPUTIME_ID, &mut time) };
        assert_eq!(status, 0, "the clock of the thread can be read");
        return time[0] as f64 + 1e-9 * time[1] as f64;
    }
    let _ = threads;
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0.0, |time| time.as_secs_f64())
}

fn report(format: &str, (outputs, inputs, rows): (usize, usize, usize), seconds: f64, bytes: usize, peak: Option<f64>) {
    let speed = 2.0 * (outputs * inputs * rows) as f64 / seconds / 1e9;
    let share = peak.map_or(String::new(), |peak| format!("{:.0} %", 100.0 * speed / peak));
    let shape = format!("{outputs}x{inputs}");
    let gb = bytes as f64 / seconds / 1e9;
    println!("{format:>8} {shape:>12} {rows:>5} {:>10.1} {speed:>8.0} {gb:>8.1} {share:>6}", 1e6 * seconds);
}

/// Speed of reading memory that no cache holds, in GB/s.
fn read_speed() -> f64 {
    let values = vec![1u64; 16 << 20];
    let sum = || std::hint::black_box(values.iter().fold(0u64, |sum, value| sum.wrapping_add(*value)));
    (8 * values.len()) as f64 / median(1, || _ = sum()) / 1e9
}

/// Highest speed of the integer products and sums of the kernels on one thread, in GOP/s: `vpdpbusd`, or `vpmaddubsw`
/// and `vpaddw`.
#[cfg(target_arch = "x86_64")]
fn peak() -> Option<f64> {
    use std::arch::x86_64::*;

    const REPEATS: usize = 20_000;

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn run(seed: i32) -> i32 {
        let (a, b) = (_mm512_set1_epi32(seed), _mm512_set1_epi32(seed + 1));
        let mut sums = [_mm512_setzero_si512(); 16];
        for _ in 0..REPEATS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, a, b);
            }
        }
        sums.iter().map(|sum| _mm512_reduce_add_epi32(*sum)).fold(0, i32::wrapping_add)
    }

    #[target_feature(enable = "avx2")]
    fn run_avx2(seed: i8) -> i16 {
        let (a, b) = (_mm256_set1_epi8(seed), _mm256_set1_epi8(seed + 1));
        let mut sums = [_mm256_setzero_si256(); 8];
        for _ in 0..REPEATS {
            for sum in &mut sums {
                let mut a = a;
                // SAFETY: no instruction; the compiler must take the value for a new one, and multiply again.
                unsafe { std::arch::asm!("/* {0} */", inout(ymm_reg) a, options(nomem, nostack, preserves_flags)) }; // codespell:ignore inout
                *sum = _mm256_add_epi16(*sum, _mm256_maddubs_epi16(a, b));
            }
        }
        sums.iter().map(|sum| _mm256_extract_epi16::<0>(*sum) as i16).fold(0, i16::wrapping_add)
    }

    let isa = cpu::chosen_isa().expect("an available instruction set");
    let (operations, seconds) = match isa {
        // SAFETY: the chosen instruction set is available.
        Isa::Avx512Vnni => (16 * 128, median(1, || _ = std::hint::black_box(unsafe { run(std::hint::black_box(1)) }))),
        // SAFETY: as above.
        Isa::Avx2 => (8 * 64, median(1, || _ = std::hint::black_box(unsafe { run_avx2(std::hint::black_box(1)) }))),
        _ => return None,
    };
    Some((REPEATS * operations) as f64 / seconds / 1e9)
}

#[cfg(not(target_arch = "x86_64"))]
fn peak() -> Option<f64> {
    None
}
