//! Byte-pair encoding of single words, in the order of the `tokenizers` library.

#![forbid(unsafe_code)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use crate::error::{Error, Result};
use crate::json::Json;

/// Words that a [`WordCache`] keeps, and their maximum length in bytes.
const CACHED_WORDS: usize = 1 << 15;
const CACHED_BYTES: usize = 64;
/// Marks a missing token or symbol.
const NONE: u32 = u32::MAX;

/// The merges of a vocabulary.
#[derive(Debug)]
pub(crate) struct Bpe {
    /// Token of each byte, or `NONE`.
    byte_tokens: [u32; 256],
    /// Rank and result of each pair.
    merges: HashMap<(u32, u32), (u32, u32)>,
    /// Tokens by their bytes, if a word that is a token is not split.
    whole_words: Option<HashMap<Vec<u8>, u32>>,
}

/// Tokens of the words that were encoded, for one text.
#[derive(Default)]
pub(crate) struct WordCache {
    tokens: HashMap<Vec<u8>, Box<[u32]>>,
}

/// Part of a word in a doubly linked list.
#[derive(Clone, Copy)]
struct Symbol {
    token: u32,
    previous: u32,
    next: u32,
}

impl Bpe {
    /// Read the merges of `model` in tokenizer.json. `ids` has the tokens of the vocabulary as they are spelled there.
    pub fn read(model: &Json, ids: &HashMap<&str, u32>) -> Result<Bpe> {
        let mut byte_tokens = [NONE; 256];
        for byte in 0..=255_u8 {
            let mut buffer = [0; 4];
            match ids.get(&*byte_character(byte).encode_utf8(&mut buffer)) {
                Some(&id) => byte_tokens[byte as usize] = id,
                // These bytes do not occur in UTF-8.
                None if matches!(byte, 0xc0 | 0xc1 | 0xf5..=0xff) => {}
                None => {
                    let character = byte_character(byte);
                    return Err(Error::Invalid(format!(
                        "model.vocab must have a token for every byte, got none for {byte:#04x} ({character:?})"
                    )));
                }
            }
        }
        let Some(entries) = model.get("merges").and_then(Json::as_array) else {
            return Err(Error::invalid("model.merges must be an array"));
        };
        let mut merges = HashMap::with_capacity(entries.len());
        let mut joined = String::new();
        for (rank, entry) in entries.iter().enumerate() {
            let pair = match entry {
                Json::String(text) => text.split_once(' '),
                Json::Array(items) if items.len() == 2 => items[0].as_str().zip(items[1].as_str()),
                _ => None,
            };
            let Some((left, right)) = pair else {
                return Err(Error::Invalid(format!("model.merges[{rank}] must be two tokens, got {entry}")));
            };
            joined.clear();
            joined.extend([left, right]);
            let id = |token: &str| {
                ids.get(token).copied().ok_or_else(|| {
                    let token = Json::String(token.to_string());
                    Error::Invalid(format!("model.merges[{rank}] must have tokens of model.vocab, got {token}"))
                })
            };
            merges.insert((id(left)?, id(right)?), (rank as u32, id(&joined)?));
        }
        let whole_words = match model.get("ignore_merges") {
            Some(Json::Bool(true)) => Some(ids.iter().map(|(token, &id)| (token_bytes(token), id)).collect()),
            _ => None,
        };
        Ok(Bpe { byte_tokens, merges, whole_words })
    }

    /// Append the tokens of a word.
    pub fn encode(&self, word: &[u8], cache: &mut WordCache, tokens: &mut Vec<u32>) {
        if word.len() > CACHED_BYTES {
            return self.merge(word, tokens);
        }
        if let Some(known) = cache.tokens.get(word) {
            return tokens.extend_from_slice(known);
        }
        let start = tokens.len();
        self.merge(word, tokens);
        if cache.tokens.len() < CACHED_WORDS {
            cache.tokens.insert(word.to_vec(), tokens[start..].into());
        }
    }

    /// Merge pairs by rank, and from left to right for equal ranks.
    fn merge(&self, word: &[u8], tokens: &mut Vec<u32>) {
        if let Some(&id) = self.whole_words.as_ref().and_then(|words| words.get(word)) {
            return tokens.push(id);
        }
        let length = word.len() as u32;
        let mut symbols: Vec<Symbol> = (0..length)
            .zip(word)
            .map(|(index, &byte)| Symbol {
                token: self.byte_tokens[byte as usize],
                previous: if index == 0 { NONE } else { index - 1 },
                next: if index + 1 == length { NONE } else { index + 1 },
            })
            .collect();
        // Rank, place of the left symbol, and result.
        let mut queue: BinaryHeap<Reverse<(u32, u32, u32)>> = BinaryHeap::with_capacity(word.len());
        let push = |queue: &mut BinaryHeap<_>, symbols: &[Symbol], left: u32| {
            let Symbol { token, next, .. } = symbols[left as usize];
            if next != NONE {
                if let Some(&(rank, result)) = self.merges.get(&(token, symbols[next as usize].token)) {
                    queue.push(Reverse((rank, left, result)));
                }
            }
        };
        for left in 0..length {
            push(&mut queue, &symbols, left);
        }
        while let Some(Reverse((_, left, result))) = queue.pop() {
            let Symbol { token, previous, next } = symbols[left as usize];
            // An entry is stale if its symbols have changed so that they no longer merge to its result.
            if token == NONE || next == NONE {
                continue;
            }
            let right = symbols[next as usize];
            if self.merges.get(&(token, right.token)).is_none_or(|&(_, current)| current != result) {
                continue;
            }
            symbols[left as usize] = Symbol { token: result, previous, next: right.next };
            symbols[next as usize].token = NONE;
            if right.next != NONE {
                symbols[right.next as usize].previous = left;
                push(&mut queue, &symbols, left);
            }
            if previous != NONE {
                push(&mut queue, &symbols, previous);
            }
        }
        tokens.extend(symbols.iter().map(|symbol| symbol.token).filter(|&token| token != NONE));
    }
}

/// Return the character that spells a byte in byte-level vocabularies: printable bytes spell themselves, the others
/// follow from U+0100.
pub(crate) fn byte_character(byte: u8) -> char {
    let shift = |start: u8, first: u32| char::from_u32(first + u32::from(byte - start)).unwrap_or(char::MAX);
    match byte {
        b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff => char::from(byte),
        0..=b' ' => shift(0, 0x100),
        0x7f..=0xa0 => shift(0x7f, 0x121),
        0xad => '\u{143}',
    }
}

/// Invert [`byte_character`].
fn character_byte(character: char) -> Option<u8> {
    match character as u32 {
        point @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => Some(point as u8),
        point @ 0x100..=0x120 => Some((point - 0x100) as u8),
        point @ 0x121..=0x142 => Some((point - 0x121) as u8 + 0x7f),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// Return the bytes that a token stands for. A token with a character that spells no byte stands for itself, as in the
/// `tokenizers` library.
pub(crate) fn token_bytes(token: &str) -> Vec<u8> {
    token.chars().map(character_byte).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_its_own_printable_character() {
        for byte in 0..=255_u8 {
            assert_eq!(character_byte(byte_character(byte)), Some(byte));
            assert!(!byte_character(byte).is_control() && byte_character(byte) != ' ');
        }
        assert_eq!((byte_character(b' '), byte_character(b'\n')), ('Ġ', 'Ċ'));
    }

    #[test]
    fn merges_go_by_rank_and_then_from_left_to_right() {
        let spelled: Vec<String> = (0..=255).map(|byte| byte_character(byte).to_string()).collect();
        let mut ids: HashMap<&str, u32> = spelled.iter().map(String::as_str).zip(0..).collect();
        ids.extend([("aa", 256), ("ab", 257), ("abb", 258), ("bb", 259)]);
        let model = Json::parse(br#"{"merges": [["a", "a"], "b b", ["a", "b"], ["a", "bb"], ["ab", "b"]]}"#).unwrap();
        let bpe = Bpe::read(&model, &ids).unwrap();
        let encode = |word: &str| {
            let mut tokens = Vec::new();
            bpe.encode(word.as_bytes(), &mut WordCache::default(), &mut tokens);
            tokens
        };
        assert_eq!(encode("aaa"), [256, 97]);
        assert_eq!(encode("abb"), [258]);
        assert_eq!(encode("abbb"), [258, 98]);
        assert_eq!(encode("aabbb"), [256, 259, 98]);
        assert_eq!(encode(&"a".repeat(1001)).len(), 501);
    }
}
