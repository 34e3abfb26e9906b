//! Text helpers that respect Unicode where it matters.

use std::collections::BTreeMap;

/// Checks for a palindrome, ignoring case, spaces and punctuation.
pub fn is_palindrome(text: &str) -> bool {
    let letters: Vec<char> = text
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    letters.iter().eq(letters.iter().rev())
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

/// Reverses the order of the words and joins them with single spaces.
pub fn reverse_words(text: &str) -> String {
    text.split_whitespace().rev().collect::<Vec<_>>().join(" ")
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
    fn palindromes() {
        assert!(is_palindrome("Never odd or even!"));
        assert!(is_palindrome(""));
        assert!(!is_palindrome("ferris"));
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
        assert_eq!(reverse_words("  one two  three "), "three two one");
        assert_eq!(capitalize("rust"), "Rust");
    }

    #[test]
    fn runs() {
        assert_eq!(run_length("aaabcc"), "3a1b2c");
        assert_eq!(run_length(""), "");
    }
}
