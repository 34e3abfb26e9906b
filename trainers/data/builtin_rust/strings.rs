//! Text helpers that respect Unicode where it matters.

use std::collections::BTreeMap;

/// Returns how many bytes two strings have in common at their ends.
///
/// The result is a boundary between characters in both of them.
pub fn shared_suffix(left: &str, right: &str) -> usize {
    let pairs = left.chars().rev().zip(right.chars().rev());
    pairs
        .take_while(|(a, b)| a == b)
        .map(|(c, _)| c.len_utf8())
        .sum()
}

/// Shifts every ASCII letter forward by `shift` places.
pub fn caesar(text: &str, shift: u8) -> String {
    text.chars().map(|c| shift_char(c, shift % 26)).collect()
}

fn shift_char(c: char, shift: u8) -> char {
    let base = match c {
        'a'..='z' => b'a',
        'A'..='Z' => b'A',
        _ => return c,
    };
    char::from(base + (c as u8 - base + shift) % 26)
}

/// Counts how often each lowercase word occurs.
pub fn word_counts(text: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for word in text.split(|c: char| !c.is_alphanumeric()) {
        if !word.is_empty() {
            *counts.entry(word.to_lowercase()).or_insert(0) += 1;
        }
    }
    counts
}

/// Puts words into lines of at most `width` characters; a longer word gets a line of its own.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

/// Makes the first character uppercase and leaves the rest alone.
pub fn capitalize(word: &str) -> String {
    let mut chars = word.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => String::new(),
    }
}

/// Compresses runs of equal characters, so `"aaab"` becomes `"3a1b"`.
pub fn run_length(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut count = 1;
        while chars.next_if_eq(&c).is_some() {
            count += 1;
        }
        out.push_str(&format!("{count}{c}"));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes() {
        assert_eq!(shared_suffix("walking", "talking"), 6);
        assert_eq!(shared_suffix("café", "caffé"), "fé".len());
        assert_eq!(shared_suffix("", "ferris"), 0);
    }

    #[test]
    fn caesar_round_trip() {
        let secret = caesar("Hello, Zoo!", 3);
        assert_eq!(secret, "Khoor, Crr!");
        assert_eq!(caesar(&secret, 23), "Hello, Zoo!");
    }

    #[test]
    fn words() {
        let counts = word_counts("The cat and the hat.");
        assert_eq!(counts["the"], 2);
        assert_eq!(counts.len(), 4);
        assert_eq!(wrap("a bc def, ghijkl", 4), ["a bc", "def,", "ghijkl"]);
        assert_eq!(capitalize("rust"), "Rust");
    }

    #[test]
    fn runs() {
        assert_eq!(run_length("aaabcc"), "3a1b2c");
        assert_eq!(run_length(""), "");
    }
}
