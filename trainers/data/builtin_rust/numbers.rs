//! Small number theory helpers: divisors, primes and decimal digits.

/// Returns the greatest common divisor of `a` and `b`.
pub fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

/// Returns the least common multiple, or `None` on overflow.
pub fn lcm(a: u64, b: u64) -> Option<u64> {
    if a == 0 || b == 0 {
        return Some(0);
    }
    (a / gcd(a, b)).checked_mul(b)
}

/// Checks primality by trial division.
pub fn is_prime(n: u64) -> bool {
    if n < 2 {
        return false;
    }
    (2..).take_while(|&d| d <= n / d).all(|d| n % d != 0)
}

/// Lists all primes up to and including `limit`.
pub fn sieve(limit: usize) -> Vec<usize> {
    let mut composite = vec![false; limit + 1];
    let mut primes = Vec::new();
    for n in 2..=limit {
        if composite[n] {
            continue;
        }
        primes.push(n);
        for multiple in (n * n..=limit).step_by(n) {
            composite[multiple] = true;
        }
    }
    primes
}

/// Splits `n` into its prime factors in ascending order.
pub fn factorize(mut n: u64) -> Vec<u64> {
    let mut factors = Vec::new();
    let mut divisor = 2;
    while divisor <= n / divisor {
        while n % divisor == 0 {
            factors.push(divisor);
            n /= divisor;
        }
        divisor += 1;
    }
    if n > 1 {
        factors.push(n);
    }
    factors
}

/// Returns the decimal digits of `n`, most significant first.
pub fn digits(mut n: u64) -> Vec<u8> {
    let mut out = vec![(n % 10) as u8];
    while n >= 10 {
        n /= 10;
        out.push((n % 10) as u8);
    }
    out.reverse();
    out
}

/// Adds up the decimal digits of `n`.
pub fn digit_sum(n: u64) -> u64 {
    digits(n).into_iter().map(u64::from).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors() {
        assert_eq!(gcd(48, 36), 12);
        assert_eq!(gcd(7, 0), 7);
        assert_eq!(lcm(4, 6), Some(12));
        assert_eq!(lcm(u64::MAX, 2), None);
    }

    #[test]
    fn primes_agree() {
        let by_division: Vec<usize> = (0..=50).filter(|&n| is_prime(n as u64)).collect();
        assert_eq!(sieve(50), by_division);
        assert_eq!(factorize(360), vec![2, 2, 2, 3, 3, 5]);
    }

    #[test]
    fn decimal_digits() {
        assert_eq!(digits(0), vec![0]);
        assert_eq!(digits(9075), vec![9, 0, 7, 5]);
        assert_eq!(digit_sum(9075), 21);
    }
}
