//! Everyday uses of the standard collections.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::hash::Hash;

/// Returns the most frequent item; ties go to the one seen first.
pub fn mode<T: Eq + Hash>(items: &[T]) -> Option<&T> {
    let mut counts: HashMap<&T, usize> = HashMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    items.iter().rev().max_by_key(|item| counts[item])
}

/// Groups words by their length, shortest first.
pub fn group_by_length<'a>(words: &[&'a str]) -> BTreeMap<usize, Vec<&'a str>> {
    let mut groups: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for word in words {
        groups.entry(word.len()).or_default().push(word);
    }
    groups
}

/// Removes duplicates while keeping the original order.
pub fn unique<T: Eq + Hash + Clone>(items: &[T]) -> Vec<T> {
    let mut seen = HashSet::new();
    items
        .iter()
        .filter(|item| seen.insert(*item))
        .cloned()
        .collect()
}

/// Keeps the average of the last few values.
#[derive(Debug)]
pub struct MovingAverage {
    window: VecDeque<f64>,
    size: usize,
}

impl MovingAverage {
    /// Creates an average over at most `size` values (at least one).
    pub fn new(size: usize) -> Self {
        let size = size.max(1);
        MovingAverage {
            window: VecDeque::with_capacity(size),
            size,
        }
    }

    /// Adds a value and returns the current average.
    pub fn push(&mut self, value: f64) -> f64 {
        if self.window.len() == self.size {
            self.window.pop_front();
        }
        self.window.push_back(value);
        self.window.iter().sum::<f64>() / self.window.len() as f64
    }
}

/// A directed graph stored as adjacency lists.
pub type Graph = HashMap<u32, Vec<u32>>;

/// Visits every node reachable from `start`, nearest first.
pub fn breadth_first(graph: &Graph, start: u32) -> Vec<u32> {
    let mut seen = HashSet::from([start]);
    let mut queue = VecDeque::from([start]);
    let mut order = Vec::new();
    while let Some(node) = queue.pop_front() {
        order.push(node);
        for &next in graph.get(&node).into_iter().flatten() {
            if seen.insert(next) {
                queue.push_back(next);
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_and_grouping() {
        assert_eq!(mode(&[3, 1, 2, 1, 3]), Some(&3));
        assert_eq!(unique(&['b', 'a', 'b', 'c', 'a']), vec!['b', 'a', 'c']);
        let groups = group_by_length(&["one", "three", "two"]);
        assert_eq!(groups[&3], vec!["one", "two"]);
        assert_eq!(groups.keys().next_back(), Some(&5));
    }

    #[test]
    fn sliding_average() {
        let mut average = MovingAverage::new(2);
        assert_eq!(average.push(1.0), 1.0);
        assert_eq!(average.push(3.0), 2.0);
        assert_eq!(average.push(5.0), 4.0);
    }

    #[test]
    fn graph_walk() {
        let graph = Graph::from([(1, vec![2, 3]), (2, vec![4]), (3, vec![4, 1])]);
        assert_eq!(breadth_first(&graph, 1), vec![1, 2, 3, 4]);
        assert_eq!(breadth_first(&graph, 9), vec![9]);
    }
}
