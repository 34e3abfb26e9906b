//! Operator overloading for vectors, matrices and fractions.

use std::fmt;
use std::ops::{Add, Index, IndexMut, Mul};

/// A point or direction in the plane.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Vector {
    pub x: f64,
    pub y: f64,
}

impl Add for Vector {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Vector {
            x: self.x + other.x,
            y: self.y + other.y,
        }
    }
}

/// A 2x2 matrix indexed by `(row, column)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matrix([[f64; 2]; 2]);

impl Index<(usize, usize)> for Matrix {
    type Output = f64;

    fn index(&self, (row, col): (usize, usize)) -> &f64 {
        &self.0[row][col]
    }
}

impl IndexMut<(usize, usize)> for Matrix {
    fn index_mut(&mut self, (row, col): (usize, usize)) -> &mut f64 {
        &mut self.0[row][col]
    }
}

impl Mul<Vector> for Matrix {
    type Output = Vector;

    fn mul(self, v: Vector) -> Vector {
        let [x, y] = self.0.map(|row| row[0] * v.x + row[1] * v.y);
        Vector { x, y }
    }
}

/// A fraction in lowest terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fraction {
    num: u32,
    den: u32,
}

impl Fraction {
    /// Reduces `num / den`; panics if `den` is zero.
    pub fn new(num: u32, den: u32) -> Self {
        assert!(den != 0, "denominator must not be zero");
        let (mut a, mut b) = (num, den);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Fraction {
            num: num / a,
            den: den / a,
        }
    }
}

impl Add for Fraction {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let num = self.num * other.den + other.num * self.den;
        Fraction::new(num, self.den * other.den)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.den {
            1 => write!(f, "{}", self.num),
            den => write!(f, "{}/{}", self.num, den),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_algebra() {
        let v = Vector { x: 1.0, y: 2.0 } + Vector { x: 2.0, y: 0.0 };
        let mut turn = Matrix([[0.0, -1.0], [1.0, 0.0]]);
        assert_eq!(turn * v, Vector { x: -2.0, y: 3.0 });
        turn[(0, 1)] = 5.0;
        assert_eq!((turn * v).x, 10.0);
    }

    #[test]
    fn fractions() {
        let sum = Fraction::new(1, 6) + Fraction::new(2, 6);
        assert_eq!(sum.to_string(), "1/2");
        assert_eq!((sum + sum).to_string(), "1");
    }
}
