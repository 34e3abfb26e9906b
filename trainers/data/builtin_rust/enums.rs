//! An arithmetic expression tree evaluated by pattern matching.

use std::fmt;

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Add,
    Sub,
    Mul,
    Div,
}

/// An arithmetic expression over integers and one variable.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// A literal number.
    Num(i64),
    /// The variable `x`.
    Var,
    /// A negated expression.
    Neg(Box<Expr>),
    /// Two expressions joined by an operator.
    Binary {
        op: Op,
        left: Box<Expr>,
        right: Box<Expr>,
    },
}

impl Expr {
    /// Builds a binary expression.
    pub fn binary(op: Op, left: Expr, right: Expr) -> Self {
        Expr::Binary {
            op,
            left: Box::new(left),
            right: Box::new(right),
        }
    }

    /// Evaluates with the given `x`; `None` on overflow or division by zero.
    pub fn eval(&self, x: i64) -> Option<i64> {
        match self {
            Expr::Num(n) => Some(*n),
            Expr::Var => Some(x),
            Expr::Neg(inner) => inner.eval(x)?.checked_neg(),
            Expr::Binary { op, left, right } => {
                let (a, b) = (left.eval(x)?, right.eval(x)?);
                match op {
                    Op::Add => a.checked_add(b),
                    Op::Sub => a.checked_sub(b),
                    Op::Mul => a.checked_mul(b),
                    Op::Div => a.checked_div(b),
                }
            }
        }
    }

    /// Returns the height of the tree.
    pub fn depth(&self) -> usize {
        match self {
            Expr::Num(_) | Expr::Var => 1,
            Expr::Neg(inner) => 1 + inner.depth(),
            Expr::Binary { left, right, .. } => 1 + left.depth().max(right.depth()),
        }
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Num(n) => write!(f, "{n}"),
            Expr::Var => write!(f, "x"),
            Expr::Neg(inner) => write!(f, "-{inner}"),
            Expr::Binary { op, left, right } => {
                let symbol = match op {
                    Op::Add => '+',
                    Op::Sub => '-',
                    Op::Mul => '*',
                    Op::Div => '/',
                };
                write!(f, "({left} {symbol} {right})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluates_and_prints() {
        let sum = Expr::binary(Op::Add, Expr::Var, Expr::Num(2));
        let expr = Expr::binary(Op::Mul, sum, Expr::Neg(Box::new(Expr::Num(3))));
        assert_eq!(expr.to_string(), "((x + 2) * -3)");
        assert_eq!(expr.eval(4), Some(-18));
        assert_eq!(expr.depth(), 3);
    }

    #[test]
    fn failures_are_none() {
        let expr = Expr::binary(Op::Div, Expr::Num(1), Expr::Var);
        assert_eq!(expr.eval(0), None);
    }
}
