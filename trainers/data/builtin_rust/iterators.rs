//! Custom iterators, an adapter with an extension trait, and folds.

/// Yields the Fibonacci numbers until they no longer fit in a `u64`.
#[derive(Debug, Clone)]
pub struct Fibonacci {
    current: Option<u64>,
    next: Option<u64>,
}

impl Fibonacci {
    /// Starts the sequence at zero.
    pub fn new() -> Self {
        Fibonacci {
            current: Some(0),
            next: Some(1),
        }
    }
}

impl Default for Fibonacci {
    fn default() -> Self {
        Self::new()
    }
}

impl Iterator for Fibonacci {
    type Item = u64;

    fn next(&mut self) -> Option<Self::Item> {
        let value = self.current?;
        self.current = self.next;
        self.next = self.next.and_then(|n| n.checked_add(value));
        Some(value)
    }
}

/// Adapter that yields each pair of neighboring items.
pub struct Pairs<I: Iterator> {
    inner: I,
    previous: Option<I::Item>,
}

impl<I> Iterator for Pairs<I>
where
    I: Iterator,
    I::Item: Clone,
{
    type Item = (I::Item, I::Item);

    fn next(&mut self) -> Option<Self::Item> {
        let first = match self.previous.take() {
            Some(item) => item,
            None => self.inner.next()?,
        };
        let second = self.inner.next()?;
        self.previous = Some(second.clone());
        Some((first, second))
    }
}

/// Adds `pairs` to every iterator.
pub trait PairsExt: Iterator + Sized {
    /// Wraps `self` in a [`Pairs`] adapter.
    fn pairs(self) -> Pairs<Self> {
        Pairs {
            inner: self,
            previous: None,
        }
    }
}

impl<I: Iterator> PairsExt for I {}

/// Finds the smallest and largest value in a single pass.
pub fn min_max<I: IntoIterator<Item = i32>>(values: I) -> Option<(i32, i32)> {
    values.into_iter().fold(None, |acc, v| match acc {
        None => Some((v, v)),
        Some((low, high)) => Some((low.min(v), high.max(v))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fibonacci() {
        let first: Vec<u64> = Fibonacci::new().take(8).collect();
        assert_eq!(first, vec![0, 1, 1, 2, 3, 5, 8, 13]);
        let even: u64 = Fibonacci::new().take(10).filter(|n| n % 2 == 0).sum();
        assert_eq!(even, 44);
        assert_eq!(Fibonacci::new().count(), 94);
    }

    #[test]
    fn neighboring_pairs() {
        let steps: Vec<i32> = [1, 4, 9, 16].iter().pairs().map(|(a, b)| b - a).collect();
        assert_eq!(steps, vec![3, 5, 7]);
        assert_eq!("x".chars().pairs().next(), None);
    }

    #[test]
    fn extremes() {
        assert_eq!(min_max([3, -2, 8]), Some((-2, 8)));
        assert_eq!(min_max(Vec::new()), None);
    }
}
