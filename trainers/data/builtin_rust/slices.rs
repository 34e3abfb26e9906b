//! Classic algorithms on slices.

use std::cmp::Ordering;
use std::collections::HashMap;

/// Finds the index of `target` in a sorted slice.
pub fn binary_search<T: Ord>(items: &[T], target: &T) -> Option<usize> {
    let (mut low, mut high) = (0, items.len());
    while low < high {
        let mid = low + (high - low) / 2;
        match items[mid].cmp(target) {
            Ordering::Equal => return Some(mid),
            Ordering::Less => low = mid + 1,
            Ordering::Greater => high = mid,
        }
    }
    None
}

/// Rotates the slice left by `k` places using three reversals.
pub fn rotate_left<T>(items: &mut [T], k: usize) {
    if items.is_empty() {
        return;
    }
    let k = k % items.len();
    items[..k].reverse();
    items[k..].reverse();
    items.reverse();
}

/// Returns the largest sum of `width` neighboring values.
pub fn max_window_sum(values: &[i32], width: usize) -> Option<i32> {
    if width == 0 {
        return None;
    }
    values.windows(width).map(|w| w.iter().sum()).max()
}

/// Finds two indices whose values add up to `target`.
pub fn two_sum(values: &[i32], target: i32) -> Option<(usize, usize)> {
    let mut seen = HashMap::new();
    for (i, &value) in values.iter().enumerate() {
        if let Some(&j) = seen.get(&(target - value)) {
            return Some((j, i));
        }
        seen.insert(value, i);
    }
    None
}

/// Checks that every element is at most its successor.
pub fn is_sorted<T: PartialOrd>(items: &[T]) -> bool {
    items.windows(2).all(|pair| pair[0] <= pair[1])
}

/// Sorts in place by inserting each element into the sorted prefix.
pub fn insertion_sort<T: PartialOrd>(items: &mut [T]) {
    for i in 1..items.len() {
        let mut j = i;
        while j > 0 && items[j - 1] > items[j] {
            items.swap(j - 1, j);
            j -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searching() {
        let items = [1, 3, 5, 7, 9];
        assert_eq!(binary_search(&items, &7), Some(3));
        assert_eq!(binary_search(&items, &4), None);
        assert_eq!(binary_search::<i32>(&[], &1), None);
    }

    #[test]
    fn rotating() {
        let mut items = ['a', 'b', 'c', 'd', 'e'];
        rotate_left(&mut items, 7);
        assert_eq!(items, ['c', 'd', 'e', 'a', 'b']);
    }

    #[test]
    fn windows_and_pairs() {
        assert_eq!(max_window_sum(&[2, -1, 4, 3], 2), Some(7));
        assert_eq!(max_window_sum(&[1], 2), None);
        assert_eq!(two_sum(&[2, 7, 11, 15], 18), Some((1, 2)));
    }

    #[test]
    fn sorting() {
        let mut items = [2.5, -1.0, 9.0, 0.0];
        assert!(!is_sorted(&items));
        insertion_sort(&mut items);
        assert!(is_sorted(&items));
    }
}
