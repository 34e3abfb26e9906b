//! Splitting of a text into words before byte-pair encoding.
//!
//! [`words`] is the regular expression of GPT-2, written by hand:
//! `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`.

#![forbid(unsafe_code)]

use crate::unicode_table::{LETTERS, NUMBERS, SPACES};

/// Class of a character in the regular expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

const ASCII: [Class; 128] = ascii_classes();

const fn ascii_classes() -> [Class; 128] {
    let mut classes = [Class::Other; 128];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            b'0'..=b'9' => Class::Number,
            b' ' | b'\t'..=b'\r' => Class::Space,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
}

fn class(character: char) -> Class {
    let point = character as u32;
    if point < 128 {
        return ASCII[point as usize];
    }
    let inside = |ranges: &[(u32, u32)]| {
        let after = ranges.partition_point(|&(first, _)| first <= point);
        after > 0 && point <= ranges[after - 1].1
    };
    if inside(&LETTERS) {
        Class::Letter
    } else if inside(&NUMBERS) {
        Class::Number
    } else if inside(&SPACES) {
        Class::Space
    } else {
        Class::Other
    }
}

/// Return the words of a text, which together are the text.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (word, remaining) = rest.split_at(word_length(rest));
        rest = remaining;
        (!word.is_empty()).then_some(word)
    })
}

/// Return the length in bytes of the first word of a text; 0 if the text is empty.
fn word_length(text: &str) -> usize {
    if let Some(rest) = text.strip_prefix('\'') {
        for suffix in ["s", "t", "re", "ve", "m", "ll", "d"] {
            if rest.starts_with(suffix) {
                return 1 + suffix.len();
            }
        }
    }
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return 0 };
    let start = class(first);
    if start != Class::Space {
        return run_length(text, start);
    }
    if first == ' ' {
        match characters.next().map(class) {
            Some(Class::Space) | None => {}
            Some(next) => return 1 + run_length(&text[1..], next),
        }
    }
    // `\s+(?!\S)` leaves the last space to the next word, if there is one and the run has more than one space.
    let run = run_length(text, Class::Space);
    if run == text.len() {
        return run;
    }
    let last = text[..run].chars().next_back().map_or(0, char::len_utf8);
    if run > last {
        run - last
    } else {
        run
    }
}

/// Return the length in bytes of the characters of a class at the start of a text.
fn run_length(text: &str, of: Class) -> usize {
    text.char_indices().find(|&(_, character)| class(character) != of).map_or(text.len(), |(index, _)| index)
}

/// Split a text at its digits: each alone, or each run of them.
pub(crate) fn split_digits(text: &str, individual: bool) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut previous = None;
    for (index, character) in text.char_indices() {
        let numeric = character.is_numeric();
        if previous.is_some_and(|previous| previous != numeric || (numeric && individual)) {
            pieces.push(&text[start..index]);
            start = index;
        }
        previous = Some(numeric);
    }
    if start < text.len() {
        pieces.push(&text[start..]);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        words(text).collect()
    }

    #[test]
    fn words_are_those_of_the_regular_expression() {
        assert_eq!(split("fn main() {"), ["fn", " main", "()", " {"]);
        assert_eq!(split("it's we'll 'tis ''s"), ["it", "'s", " we", "'ll", " '", "tis", " ''", "s"]);
        assert_eq!(split("a  b\n\n    c\t \n"), ["a", " ", " b", "\n\n   ", " c", "\t \n"]);
        assert_eq!(split("x\n\ny\n"), ["x", "\n", "\n", "y", "\n"]);
        assert_eq!(split("v1.25é٣²_"), ["v", "1", ".", "25", "é", "٣²", "_"]);
        assert_eq!(split("\u{a0}a\u{3000}\u{3000}b"), ["\u{a0}", "a", "\u{3000}", "\u{3000}", "b"]);
        assert_eq!(split("e\u{301}\0 \u{200b}"), ["e", "\u{301}\0", " \u{200b}"]);
        assert_eq!(split("  "), ["  "]);
        assert!(split("").is_empty());
    }

    #[test]
    fn digits_are_split_alone_or_in_runs() {
        assert_eq!(split_digits("a12b", true), ["a", "1", "2", "b"]);
        assert_eq!(split_digits("a12b", false), ["a", "12", "b"]);
        assert!(split_digits("", true).is_empty());
    }

    #[test]
    fn tables_are_sorted_and_agree_with_ascii() {
        for table in [&LETTERS[..], &NUMBERS, &SPACES] {
            assert!(table.iter().all(|(first, last)| first <= last));
            assert!(table.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
        for byte in 0..128_u8 {
            let inside = |table: &[(u32, u32)]| table.iter().any(|&(a, b)| (a..=b).contains(&u32::from(byte)));
            assert_eq!(inside(&LETTERS), ASCII[byte as usize] == Class::Letter);
            assert_eq!(inside(&NUMBERS), ASCII[byte as usize] == Class::Number);
            assert_eq!(inside(&SPACES), ASCII[byte as usize] == Class::Space);
        }
    }
}
