//! Properties of the matrix products: every instruction set, number of threads and batch gives the same result.

use nanochat::floats::Matrix;
use nanochat::kernels::Isa;
use nanochat::pool::Pool;
use nanochat::ternary::{QuantizedRows, TernaryMatrix};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Numbers from -2 to 2.
    fn floats(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (self.next() >> 40) as f32 / (1u64 << 22) as f32 - 2.0).collect()
    }
}

struct Case {
    rows: usize,
    cols: usize,
    group: usize,
    codes: Vec<i8>,
    scales: Vec<f32>,
}

impl Case {
    fn new(random: &mut Random, rows: usize, cols: usize, group: usize) -> Self {
        let codes = (0..rows * cols).map(|_| random.below(3) as i8 - 1).collect();
        let scales = random.floats(rows * (cols / group)).iter().map(|scale| scale.abs() / 64.0).collect();
        Case { rows, cols, group, codes, scales }
    }

    fn random(random: &mut Random) -> Self {
        let (rows, cols) = (1 + random.below(70), 4 * (1 + random.below(60)));
        let divisors: Vec<_> = (1..=cols).filter(|group| cols % group == 0).collect();
        let group = divisors[random.below(divisors.len())];
        Self::new(random, rows, cols, group)
    }

    fn matrix(&self) -> TernaryMatrix {
        TernaryMatrix::from_codes(self.rows, self.cols, self.group, &self.codes, &self.scales).unwrap()
    }

    /// The definition in the documentation of `TernaryMatrix::multiply`.
    fn expected(&self, x: &QuantizedRows) -> Vec<f32> {
        let mut y = Vec::new();
        for row in 0..x.rows() {
            for output in 0..self.rows {
                let mut total = 0f32;
                for group in 0..self.cols / self.group {
                    let inputs = group * self.group..(group + 1) * self.group;
                    let product =
                        |col: usize| i32::from(self.codes[output * self.cols + col]) * i32::from(x.codes(row)[col]);
                    let sum: i32 = inputs.map(product).sum();
                    total += sum as f32 * self.scales[output * (self.cols / self.group) + group];
                }
                y.push(total * x.scales()[row]);
            }
        }
        y
    }
}

fn available() -> impl Iterator<Item = Isa> {
    Isa::ALL.into_iter().filter(|isa| isa.is_available())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn quantized(x: &[f32], rows: usize, cols: usize) -> QuantizedRows {
    let mut result = QuantizedRows::new();
    result.quantize(x, rows, cols);
    result
}

#[test]
fn ternary_products_equal_their_definition_bit_by_bit_on_every_instruction_set() {
    let mut random = Random(1);
    let pools = [Pool::new(1), Pool::new(3)];
    for round in 0..if cfg!(miri) { 3 } else { 120 } {
        let case = Case::random(&mut random);
        let rows = 1 + random.below(21);
        let x = quantized(&random.floats(rows * case.cols), rows, case.cols);
        let expected = case.expected(&x);
        for isa in available() {
            let matrix = case.matrix().with_isa(isa);
            let mut y = vec![f32::NAN; rows * case.rows];
            matrix.multiply(&pools[round % 2], &x, &mut y);
            let shape = (case.rows, case.cols, case.group, rows);
            assert_eq!(bits(&y), bits(&expected), "{isa:?}, (outputs, inputs, group, rows) {shape:?}");
        }
    }
}

#[test]
fn large_sums_do_not_overflow_on_any_instruction_set() {
    let cols = if cfg!(miri) { 512 } else { 40_000 };
    let case = Case { rows: 17, cols, group: cols, codes: vec![1; 17 * cols], scales: vec![0.5; 17] };
    let x = quantized(&vec![-3.0; 9 * cols], 9, cols);
    for isa in available() {
        let mut y = vec![0.0; 9 * 17];
        case.matrix().with_isa(isa).multiply(&Pool::new(1), &x, &mut y);
        assert_eq!(bits(&y), bits(&case.expected(&x)), "{isa:?}");
    }
}

#[test]
fn large_products_on_many_threads_equal_those_of_single_rows() {
    if cfg!(miri) {
        return;
    }
    let mut random = Random(2);
    let case = Case::new(&mut random, 600, 512, 128);
    let floats = random.floats(300 * 512);
    let (matrix, pool) = (case.matrix(), Pool::new(4));
    let (mut together, mut alone) = (vec![0.0; 300 * 600], vec![0.0; 600]);
    matrix.multiply(&pool, &quantized(&floats, 300, 512), &mut together);
    for row in [0, 7, 131, 299] {
        matrix.multiply(&Pool::new(1), &quantized(&floats[row * 512..][..512], 1, 512), &mut alone);
        assert_eq!(bits(&together[row * 600..][..600]), bits(&alone), "row {row}");
    }
}

#[test]
fn packed_codes_give_the_same_matrix() {
    let mut random = Random(3);
    let case = Case::new(&mut random, 19, 60, 12);
    let byte = |codes: &[i8]| (0..4).fold(0, |byte, i| byte | ((codes[i] + 1) as u8) << (2 * i));
    let packed: Vec<u8> = case.codes.chunks(4).map(byte).collect();
    let matrix = TernaryMatrix::from_packed(19, 60, 12, &packed, &case.scales).unwrap();
    for (place, &code) in case.codes.iter().enumerate() {
        assert_eq!(matrix.code(place / 60, place % 60), code);
    }
    let mut wrong = packed;
    wrong[70] |= 0b1100;
    assert!(TernaryMatrix::from_packed(19, 60, 12, &wrong, &case.scales).unwrap_err().to_string().contains("got 3"));
}

#[test]
fn wrong_sizes_and_numbers_are_errors() {
    let text = |result: nanochat::Result<TernaryMatrix>| result.unwrap_err().to_string();
    assert!(text(TernaryMatrix::from_codes(2, 4, 3, &[0; 8], &[1.0])).contains("group size 3"));
    assert!(text(TernaryMatrix::from_codes(2, 4, 4, &[0; 7], &[1.0])).contains("got 7"));
    assert!(text(TernaryMatrix::from_codes(2, 4, 2, &[0; 8], &[1.0; 3])).contains("got 3"));
    assert!(text(TernaryMatrix::from_codes(1, 4, 4, &[0, 2, 0, 0], &[1.0])).contains("got 2"));
    assert!(text(TernaryMatrix::from_codes(1, 4, 4, &[0; 4], &[f32::NAN])).contains("NaN"));
    assert!(text(TernaryMatrix::from_packed(1, 6, 6, &[0; 2], &[1.0])).contains("multiple of 4"));
    assert!(text(TernaryMatrix::from_codes(usize::MAX, 4, 4, &[0; 4], &[1.0, 2.0])).contains("must match"));
    assert!(text(TernaryMatrix::from_codes(usize::MAX / 8, 1 << 10, 1 << 10, &[0; 4], &[1.0])).contains("memory"));
    assert!(Matrix::f32(2, 3, &[0.0; 5]).is_err());
    assert!(Matrix::int8(1, 2, &[f32::INFINITY, 0.0]).is_err());
}

#[test]
fn one_scale_serves_the_whole_matrix() {
    let case = Case::new(&mut Random(4), 20, 36, 36);
    let one = TernaryMatrix::from_codes(20, 36, 36, &case.codes, &[0.25]).unwrap();
    let each = TernaryMatrix::from_codes(20, 36, 36, &case.codes, &[0.25; 20]).unwrap();
    let x = quantized(&Random(5).floats(36), 1, 36);
    let (mut y, mut expected) = (vec![0.0; 20], vec![1.0; 20]);
    one.multiply(&Pool::new(1), &x, &mut y);
    each.multiply(&Pool::new(1), &x, &mut expected);
    assert_eq!(y, expected);
}

/// Check products with float rows against sums in f64, up to an error for each input, and that a row does not depend
/// on the others.
fn check_float(
    name: &str,
    error: f64,
    cols: usize,
    rows: usize,
    x: &[f32],
    weights: &[f32],
    multiply: &dyn Fn(&[f32], &mut [f32]),
) {
    let outputs = weights.len() / cols;
    let (mut y, mut alone) = (vec![f32::NAN; rows * outputs], vec![f32::NAN; outputs]);
    multiply(x, &mut y);
    for row in 0..rows {
        let x = &x[row * cols..][..cols];
        multiply(x, &mut alone);
        assert_eq!(bits(&y[row * outputs..][..outputs]), bits(&alone), "{name}, row {row}");
        for output in 0..outputs {
            let pairs = x.iter().zip(&weights[output * cols..][..cols]);
            let sum: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            assert!((sum - f64::from(alone[output])).abs() < error * cols as f64, "{name}, {sum}");
        }
    }
}

#[test]
fn float_products_are_sums_of_their_weights_in_every_format() {
    let mut random = Random(6);
    for (outputs, cols, rows) in [(1, 5, 1), (70, 33, 13), (130, 64, 3)] {
        let weights = random.floats(outputs * cols);
        let bf16: Vec<u16> = weights.iter().map(|weight| (weight.to_bits() >> 16) as u16).collect();
        let x = random.floats(rows * cols);
        let matrices = [
            Matrix::f32(outputs, cols, &weights).unwrap(),
            Matrix::bf16(outputs, cols, &bf16).unwrap(),
            Matrix::int8(outputs, cols, &weights).unwrap(),
        ];
        // Inputs of int8 weights are rounded to 16 bits.
        let tolerances = [(0.0, 4e-6), (1.0 / 64.0, 4e-6), (1.0 / 100.0, 4e-5)];
        for (matrix, (tolerance, error)) in matrices.iter().zip(tolerances) {
            let mut used = vec![0.0; outputs * cols];
            used.chunks_exact_mut(cols).enumerate().for_each(|(row, values)| matrix.copy_row(row, values));
            assert!(used.iter().zip(&weights).all(|(a, b)| (a - b).abs() <= tolerance));
            for isa in available() {
                let matrix = matrix.clone().with_isa(isa);
                check_float(&format!("{isa:?}"), error, cols, rows, &x, &used, &|x, y| {
                    matrix.multiply(&Pool::new(2), x, x.len() / cols, y);
                });
            }
        }
    }
}

#[test]
fn ternary_products_with_float_rows_are_sums_of_their_weights() {
    let mut random = Random(7);
    for _ in 0..if cfg!(miri) { 2 } else { 20 } {
        let case = Case::random(&mut random);
        let weight = |place: usize| f32::from(case.codes[place]) * case.scales[place / case.group];
        let weights: Vec<f32> = (0..case.rows * case.cols).map(weight).collect();
        let rows = 1 + random.below(10);
        let x = random.floats(rows * case.cols);
        for isa in available() {
            let matrix = case.matrix().with_isa(isa);
            check_float(&format!("{isa:?}"), 4e-6, case.cols, rows, &x, &weights, &|x, y| {
                matrix.multiply_float(&Pool::new(1), x, x.len() / case.cols, y);
            });
        }
    }
}

#[test]
fn int8_products_are_equal_bit_by_bit_on_every_instruction_set() {
    let mut random = Random(8);
    for (outputs, cols, rows) in [(1, 1, 1), (70, 33, 13), (40, 1400, 6)] {
        let matrix = Matrix::int8(outputs, cols, &random.floats(outputs * cols)).unwrap();
        let x = random.floats(rows * cols);
        let product = |isa| {
            let mut y = vec![f32::NAN; rows * outputs];
            matrix.clone().with_isa(isa).multiply(&Pool::new(1), &x, rows, &mut y);
            bits(&y)
        };
        for isa in available() {
            assert_eq!(product(isa), product(Isa::Portable), "{isa:?}, {outputs} x {cols}");
        }
    }
}

#[test]
fn the_largest_int8_products_do_not_overflow_and_small_ones_do_not_vanish() {
    let cols = 5000;
    for (value, weight) in [(3.0, 2.0), (-3.0, 2.0), (1e-30, 1e-5)] {
        let matrix = Matrix::int8(1, cols, &vec![weight; cols]).unwrap();
        for isa in available() {
            let mut y = [0.0];
            matrix.clone().with_isa(isa).multiply(&Pool::new(1), &vec![value; cols], 1, &mut y);
            let expected = value * weight * cols as f32;
            assert!((y[0] - expected).abs() <= 1e-5 * expected.abs(), "{isa:?}: {} instead of {expected}", y[0]);
        }
    }
}

#[test]
fn a_row_that_is_not_finite_has_no_finite_int8_product() {
    let matrix = Matrix::int8(1, 3, &[1.0, -2.0, 3.0]).unwrap();
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for isa in available() {
            let mut y = [0.0];
            matrix.clone().with_isa(isa).multiply(&Pool::new(1), &[1.0, value, 0.5], 1, &mut y);
            assert!(!y[0].is_finite(), "{isa:?}, {value}: {}", y[0]);
        }
    }
}
