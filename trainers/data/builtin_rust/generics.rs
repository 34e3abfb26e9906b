//! Traits with bounds and generic containers.

use std::fmt::Display;

/// A last-in, first-out container.
#[derive(Debug, Clone, Default)]
pub struct Stack<T> {
    items: Vec<T>,
}

impl<T> Stack<T> {
    /// Creates an empty stack.
    pub fn new() -> Self {
        Stack { items: Vec::new() }
    }

    /// Borrows the top item.
    pub fn peek(&self) -> Option<&T> {
        self.items.last()
    }
}

/// A first-in, first-out container built from two stacks.
#[derive(Debug, Clone, Default)]
pub struct Queue<T> {
    inbox: Vec<T>,
    outbox: Vec<T>,
}

/// Common behavior of containers that hand items back one by one.
pub trait Container {
    /// The type of the stored items.
    type Item;

    /// Stores an item.
    fn put(&mut self, item: Self::Item);

    /// Removes the next item.
    fn take(&mut self) -> Option<Self::Item>;

    /// Removes everything in the container's order.
    fn drain_all(&mut self) -> Vec<Self::Item> {
        std::iter::from_fn(|| self.take()).collect()
    }
}

impl<T> Container for Stack<T> {
    type Item = T;

    fn put(&mut self, item: T) {
        self.items.push(item);
    }

    fn take(&mut self) -> Option<T> {
        self.items.pop()
    }
}

impl<T> Container for Queue<T> {
    type Item = T;

    fn put(&mut self, item: T) {
        self.inbox.push(item);
    }

    fn take(&mut self) -> Option<T> {
        if self.outbox.is_empty() {
            self.outbox.extend(self.inbox.drain(..).rev());
        }
        self.outbox.pop()
    }
}

/// Returns a reference to the largest item.
pub fn largest<T: PartialOrd>(items: &[T]) -> Option<&T> {
    let mut iter = items.iter();
    let first = iter.next()?;
    Some(iter.fold(first, |best, item| if item > best { item } else { best }))
}

/// Puts all values through a container and joins what comes out.
pub fn pass_through<C>(mut container: C, values: impl IntoIterator<Item = C::Item>) -> String
where
    C: Container,
    C::Item: Display,
{
    values.into_iter().for_each(|value| container.put(value));
    let items = container.drain_all();
    let parts: Vec<String> = items.iter().map(C::Item::to_string).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_differ() {
        assert_eq!(pass_through(Stack::new(), [1, 2, 3]), "3 2 1");
        assert_eq!(pass_through(Queue::default(), ["a", "b"]), "a b");
    }

    #[test]
    fn peek_and_largest() {
        let mut stack = Stack::default();
        stack.put('x');
        assert_eq!(stack.peek(), Some(&'x'));
        assert_eq!(largest(&[1.5, 4.0, 2.5]), Some(&4.0));
    }
}
