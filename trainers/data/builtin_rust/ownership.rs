//! Moving, borrowing and replacing values.

use std::borrow::Cow;
use std::mem;

/// A list of messages that can be handed over in batches.
#[derive(Debug, Default)]
pub struct Outbox {
    pending: Vec<String>,
    sent: usize,
}

impl Outbox {
    /// Takes ownership of a message.
    pub fn push(&mut self, message: impl Into<String>) {
        self.pending.push(message.into());
    }

    /// Borrows the oldest pending message.
    pub fn first(&self) -> Option<&str> {
        self.pending.first().map(String::as_str)
    }

    /// Borrows the newest pending message for editing.
    pub fn last_mut(&mut self) -> Option<&mut String> {
        self.pending.last_mut()
    }

    /// Moves all pending messages out and leaves the list empty.
    pub fn flush(&mut self) -> Vec<String> {
        let batch = mem::take(&mut self.pending);
        self.sent += batch.len();
        batch
    }

    /// Consumes the outbox and returns how many messages were sent.
    pub fn close(self) -> usize {
        self.sent
    }
}

/// Replaces tabs with spaces, allocating only when there is a tab.
pub fn expand_tabs(line: &str) -> Cow<'_, str> {
    if line.contains('\t') {
        Cow::Owned(line.replace('\t', "    "))
    } else {
        Cow::Borrowed(line)
    }
}

/// Takes a vector by value, doubles it in place and gives it back.
pub fn doubled(mut values: Vec<i32>) -> Vec<i32> {
    for value in &mut values {
        *value *= 2;
    }
    values
}

/// Stores `name` in the slot and returns what was there before.
pub fn rename(slot: &mut String, name: &str) -> String {
    mem::replace(slot, name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flush_moves_messages_out() {
        let mut outbox = Outbox::default();
        outbox.push("hello");
        outbox.push(String::from("world"));
        if let Some(last) = outbox.last_mut() {
            last.push('!');
        }
        assert_eq!(outbox.first(), Some("hello"));
        assert_eq!(outbox.flush(), vec!["hello", "world!"]);
        assert_eq!(outbox.first(), None);
        assert_eq!(outbox.close(), 2);
    }

    #[test]
    fn cow_borrows_when_possible() {
        assert!(matches!(expand_tabs("plain"), Cow::Borrowed("plain")));
        let owned: String = expand_tabs("a\tb").into_owned();
        assert_eq!(owned, "a    b");
    }

    #[test]
    fn values_move_through() {
        let values = vec![1, 2, 3];
        let copy = values.clone();
        assert_eq!(doubled(values), vec![2, 4, 6]);
        assert_eq!(copy.len(), 3);

        let mut name = String::from("old");
        assert_eq!(rename(&mut name, "new"), "old");
        assert_eq!(name, "new");
    }
}
