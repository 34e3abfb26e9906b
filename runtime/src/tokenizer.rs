//! The tokenizer of `tokenizer.json`: byte-level byte-pair encoding as the `tokenizers` library does it.

#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::path::Path;

use crate::bpe::{token_bytes, Bpe, WordCache};
use crate::error::{Error, Result};
use crate::json::Json;
use crate::split::{split_digits, words};

/// A byte-level BPE tokenizer.
#[derive(Debug)]
pub struct Tokenizer {
    bpe: Bpe,
    splits: Vec<Split>,
    /// Bytes of each token, by id; `None` for ids that are not used.
    tokens: Vec<Option<Vec<u8>>>,
    ids: HashMap<String, u32>,
    added: Vec<AddedToken>,
    /// Tokens that are put before and after every text.
    prefix: Vec<u32>,
    suffix: Vec<u32>,
}

/// A token that is found in texts before they are split.
#[derive(Debug)]
struct AddedToken {
    content: String,
    id: u32,
    special: bool,
    /// The library looks for tokens that are not normalized first, then for the others.
    normalized: bool,
}

/// A step of the pre-tokenizer.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Split {
    Digits { individual: bool },
    Words,
}

impl Tokenizer {
    /// Read `tokenizer.json` of a model folder.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read, [`Error::Invalid`] if it breaks a rule, [`Error::Unsupported`] if it is not
    /// a byte-level BPE with the pre-tokenizer of GPT-2.
    pub fn read(folder: &Path) -> Result<Tokenizer> {
        let path = folder.join("tokenizer.json");
        Tokenizer::from_json(&Json::read(&path)?).map_err(|error| error.in_file(&path))
    }

    /// Read a tokenizer from the value of `tokenizer.json`. Its `truncation` and `padding` are not applied.
    ///
    /// # Errors
    /// As [`Tokenizer::read`].
    pub fn from_json(json: &Json) -> Result<Tokenizer> {
        let model = json.get("model").unwrap_or(&Json::Null);
        check_kind(json, model)?;
        let Some(vocab) = model.get("vocab").and_then(Json::as_object) else {
            return Err(Error::invalid("model.vocab must map tokens to ids"));
        };
        let added = read_added_tokens(json)?;
        let limit = 4 * (vocab.len() + added.len()) + 1024;
        let mut ids = HashMap::with_capacity(vocab.len());
        let mut tokens: Vec<Option<Vec<u8>>> = Vec::new();
        for (token, id) in vocab {
            let shown = || Json::String(token.clone());
            let Some(id) = id.as_usize().filter(|&id| id < limit) else {
                let rule = format!("an integer from 0 to {} in a vocabulary of this size", limit - 1);
                return Err(Error::Invalid(format!("model.vocab[{}] must be {rule}, got {id}", shown())));
            };
            if !put(&mut tokens, id, token) {
                return Err(Error::Invalid(format!("model.vocab must use each id once, got {id} for {} too", shown())));
            }
            ids.insert(token.as_str(), id as u32);
        }
        let bpe = Bpe::read(model, &ids)?;
        let mut ids: HashMap<String, u32> = ids.into_iter().map(|(token, id)| (token.to_string(), id)).collect();
        for AddedToken { content, id, .. } in &added {
            let shown = Json::String(content.clone());
            match ids.get(content) {
                Some(known) if known == id => {}
                Some(known) => {
                    let rule = format!("{known} as in model.vocab");
                    return Err(Error::Invalid(format!("added_tokens: the id of {shown} must be {rule}, got {id}")));
                }
                None if (*id as usize) < limit && put(&mut tokens, *id as usize, content) => {
                    ids.insert(content.clone(), *id);
                }
                None => {
                    let rule = format!("below {limit} and not used by another token");
                    return Err(Error::Invalid(format!("added_tokens: the id of {shown} must be {rule}, got {id}")));
                }
            }
        }
        let (prefix, suffix) = read_post_processor(json.get("post_processor").unwrap_or(&Json::Null), tokens.len())?;
        let splits = read_splits(json.get("pre_tokenizer").unwrap_or(&Json::Null))?;
        Ok(Tokenizer { bpe, splits, tokens, ids, added, prefix, suffix })
    }

    /// Number of ids, from 0 to the largest one.
    pub fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    /// Return the id of a token as it is spelled in the vocabulary.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.ids.get(token).copied()
    }

    /// Return the bytes that a token stands for. They need not be whole UTF-8 characters.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.tokens.get(id as usize)?.as_deref()
    }

    /// Whether a token is one of the special tokens, such as bos and eos.
    pub fn is_special(&self, id: u32) -> bool {
        self.added.iter().any(|token| token.id == id && token.special)
    }

    /// Return the tokens of a text. Added tokens that are spelled in the text become one token.
    ///
    /// `add_special_tokens` also adds the tokens before and after the text, such as bos.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Vec<u32> {
        let mut tokens = if add_special_tokens { self.prefix.clone() } else { Vec::new() };
        let mut cache = WordCache::default();
        self.split_added(text, false, &mut |piece| match piece {
            Piece::Token(id) => tokens.push(id),
            Piece::Text(text) => self.split_added(text, true, &mut |piece| match piece {
                Piece::Token(id) => tokens.push(id),
                Piece::Text(text) => self.encode_text(text, &self.splits, &mut cache, &mut tokens),
            }),
        });
        if add_special_tokens {
            tokens.extend_from_slice(&self.suffix);
        }
        tokens
    }

    /// Return the text of tokens. Unknown ids are left out; bytes that are not UTF-8 become U+FFFD.
    pub fn decode(&self, tokens: &[u32], skip_special_tokens: bool) -> String {
        let kept = tokens.iter().filter(|&&id| !(skip_special_tokens && self.is_special(id)));
        let bytes: Vec<u8> = kept.filter_map(|&id| self.token_bytes(id)).flatten().copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Call a function with the added tokens that a text spells, from left to right and the longest first, and with the
    /// texts between them.
    fn split_added<'a>(&self, text: &'a str, normalized: bool, call: &mut dyn FnMut(Piece<'a>)) {
        let candidates: Vec<&AddedToken> = self.added.iter().filter(|token| token.normalized == normalized).collect();
        let mut starts = [false; 256];
        candidates.iter().for_each(|token| starts[token.content.as_bytes()[0] as usize] = true);
        let (mut start, mut position) = (0, 0);
        while position < text.len() {
            let longest = match starts[text.as_bytes()[position] as usize] {
                true => candidates
                    .iter()
                    .filter(|token| text.as_bytes()[position..].starts_with(token.content.as_bytes()))
                    .max_by_key(|token| token.content.len()),
                false => None,
            };
            match longest {
                None => position += 1,
                Some(token) => {
                    if start < position {
                        call(Piece::Text(&text[start..position]));
                    }
                    call(Piece::Token(token.id));
                    position += token.content.len();
                    start = position;
                }
            }
        }
        if start < text.len() {
            call(Piece::Text(&text[start..]));
        }
    }

    fn encode_text(&self, text: &str, splits: &[Split], cache: &mut WordCache, tokens: &mut Vec<u32>) {
        match splits.split_first() {
            None => self.bpe.encode(text.as_bytes(), cache, tokens),
            Some((Split::Words, rest)) => words(text).for_each(|word| self.encode_text(word, rest, cache, tokens)),
            Some((Split::Digits { individual }, rest)) => {
                split_digits(text, *individual).iter().for_each(|piece| self.encode_text(piece, rest, cache, tokens));
            }
        }
    }
}

/// Part of a text between the passes of the encoding.
enum Piece<'a> {
    Token(u32),
    Text(&'a str),
}

/// Texts of a stream of tokens, for output while a model generates.
///
/// A token may end within a character; its bytes are kept until the character is complete. All texts together are
/// those of [`Tokenizer::decode`].
#[derive(Debug)]
pub struct DecodeStream<'a> {
    tokenizer: &'a Tokenizer,
    skip_special_tokens: bool,
    pending: Vec<u8>,
}

impl<'a> DecodeStream<'a> {
    /// Start a stream.
    pub fn new(tokenizer: &'a Tokenizer, skip_special_tokens: bool) -> Self {
        DecodeStream { tokenizer, skip_special_tokens, pending: Vec::new() }
    }

    /// Add a token and return the text that it completes, which may be empty.
    pub fn push(&mut self, token: u32) -> String {
        if !(self.skip_special_tokens && self.tokenizer.is_special(token)) {
            self.pending.extend_from_slice(self.tokenizer.token_bytes(token).unwrap_or_default());
        }
        let incomplete = match self.pending.utf8_chunks().last() {
            // At most three bytes that may begin a character; an invalid sequence is followed by an empty chunk or text.
            Some(chunk) => incomplete_length(chunk.invalid()),
            None => 0,
        };
        let rest = self.pending.split_off(self.pending.len() - incomplete);
        let complete = std::mem::replace(&mut self.pending, rest);
        String::from_utf8_lossy(&complete).into_owned()
    }

    /// End the stream and return the text of bytes that do not form a character, which may be empty.
    pub fn finish(self) -> String {
        String::from_utf8_lossy(&self.pending).into_owned()
    }
}

/// Return the length of the invalid bytes at the end of a text if more bytes could complete them, else 0.
fn incomplete_length(invalid: &[u8]) -> usize {
    match std::str::from_utf8(invalid) {
        Err(error) if error.error_len().is_none() => invalid.len(),
        _ => 0,
    }
}

/// Put a token at its id. Returns whether the id was free.
fn put(tokens: &mut Vec<Option<Vec<u8>>>, id: usize, token: &str) -> bool {
    if tokens.len() <= id {
        tokens.resize(id + 1, None);
    }
    let free = tokens[id].is_none();
    tokens[id] = Some(token_bytes(token));
    free
}

/// Check the parts of tokenizer.json of which this crate knows one form only.
fn check_kind(json: &Json, model: &Json) -> Result<()> {
    let refuse = |name: &str, rule: &str, value: &Json| {
        Err(Error::Unsupported(format!("{name} must be {rule} (byte-level BPE), got {}", kind(value))))
    };
    if model.get("type").and_then(Json::as_str).unwrap_or("BPE") != "BPE" || model == &Json::Null {
        return refuse("model", "BPE", model);
    }
    let normalizer = json.get("normalizer").unwrap_or(&Json::Null);
    if normalizer != &Json::Null {
        return refuse("normalizer", "null", normalizer);
    }
    let decoder = json.get("decoder").unwrap_or(&Json::Null);
    if decoder.get("type").and_then(Json::as_str) != Some("ByteLevel") {
        return refuse("decoder", "ByteLevel", decoder);
    }
    for name in ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"] {
        let value = model.get(name).unwrap_or(&Json::Null);
        let unset = matches!(value, Json::Null | Json::Bool(false)) || value.as_str() == Some("");
        if !unset {
            return refuse(&format!("model.{name}"), "unset", value);
        }
    }
    Ok(())
}

/// Return the type of a part of tokenizer.json for messages.
fn kind(value: &Json) -> String {
    value.get("type").unwrap_or(value).to_string()
}

fn read_added_tokens(json: &Json) -> Result<Vec<AddedToken>> {
    let mut added: Vec<AddedToken> = Vec::new();
    for entry in json.get("added_tokens").and_then(Json::as_array).unwrap_or_default() {
        let flag = |name: &str| entry.get(name).and_then(Json::as_bool).unwrap_or(false);
        let content = entry.get("content").and_then(Json::as_str).filter(|content| !content.is_empty());
        let id = entry.get("id").and_then(Json::as_usize).and_then(|id| u32::try_from(id).ok());
        let (Some(content), Some(id)) = (content, id) else {
            return Err(Error::Invalid(format!("added_tokens must each have a content and an id, got {entry}")));
        };
        for name in ["single_word", "lstrip", "rstrip"] {
            if flag(name) {
                return Err(Error::Unsupported(format!(
                    "added_tokens: {name} must be false, got true for {content:?}"
                )));
            }
        }
        if added.iter().any(|token| token.content == content) {
            return Err(Error::Invalid(format!("added_tokens must have each content once, got {content:?} twice")));
        }
        let (special, normalized) = (flag("special"), flag("normalized"));
        added.push(AddedToken { content: content.to_string(), id, special, normalized });
    }
    Ok(added)
}

/// Read the pre-tokenizer: `ByteLevel`, `Digits`, or a sequence of them.
fn read_splits(json: &Json) -> Result<Vec<Split>> {
    let single = std::slice::from_ref(json);
    let parts = match json.get("type").and_then(Json::as_str) {
        Some("Sequence") => json.get("pretokenizers").and_then(Json::as_array).unwrap_or_default(),
        _ => single,
    };
    let mut splits = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let flag = |name: &str, default| part.get(name).and_then(Json::as_bool).unwrap_or(default);
        let last = index + 1 == parts.len();
        match part.get("type").and_then(Json::as_str) {
            Some("Digits") if !last => splits.push(Split::Digits { individual: flag("individual_digits", false) }),
            Some("ByteLevel") if last && flag("add_prefix_space", true) => {
                return Err(Error::Unsupported("pre_tokenizer: add_prefix_space must be false, got true".to_string()));
            }
            Some("ByteLevel") if last && flag("use_regex", true) => splits.push(Split::Words),
            Some("ByteLevel") if last => {}
            _ => {
                let text = format!("pre_tokenizer must be ByteLevel, or Digits and ByteLevel, got {}", kind(part));
                return Err(Error::Unsupported(text));
            }
        }
    }
    if parts.is_empty() {
        return Err(Error::Unsupported("pre_tokenizer must be ByteLevel, got an empty sequence".to_string()));
    }
    Ok(splits)
}

/// Read the tokens before and after a text.
fn read_post_processor(json: &Json, vocab_size: usize) -> Result<(Vec<u32>, Vec<u32>)> {
    let name = json.get("type").and_then(Json::as_str);
    match name {
        None if json == &Json::Null => return Ok((Vec::new(), Vec::new())),
        // This changes offsets only.
        Some("ByteLevel") => return Ok((Vec::new(), Vec::new())),
        Some("Sequence") => {
            let (mut prefix, mut suffix) = (Vec::new(), Vec::new());
            for processor in json.get("processors").and_then(Json::as_array).unwrap_or_default() {
                if processor.get("type").and_then(Json::as_str) == Some("Sequence") {
                    return Err(Error::Unsupported("post_processor must not be nested, got a nested one".to_string()));
                }
                let (before, after) = read_post_processor(processor, vocab_size)?;
                prefix.splice(0..0, before);
                suffix.extend(after);
            }
            return Ok((prefix, suffix));
        }
        Some("TemplateProcessing") => {}
        _ => {
            let text = format!("post_processor must be TemplateProcessing, ByteLevel or null, got {}", kind(json));
            return Err(Error::Unsupported(text));
        }
    }
    let Some(single) = json.get("single").and_then(Json::as_array) else {
        return Err(Error::invalid("post_processor.single must be an array"));
    };
    let (mut prefix, mut suffix, mut sequences) = (Vec::new(), Vec::new(), 0);
    for part in single {
        if part.get("Sequence").is_some() {
            sequences += 1;
            continue;
        }
        let name = part.get("SpecialToken").and_then(|token| token.get("id")).and_then(Json::as_str);
        let special = name.and_then(|name| json.get("special_tokens")?.get(name)?.get("ids")?.as_array());
        let ids: Option<Vec<u32>> = special.and_then(|ids| {
            ids.iter().map(|id| id.as_usize().filter(|&id| id < vocab_size).map(|id| id as u32)).collect()
        });
        let Some(ids) = ids else {
            let text =
                format!("post_processor.single must name special_tokens with ids below {vocab_size}, got {part}");
            return Err(Error::Invalid(text));
        };
        if sequences == 0 { &mut prefix } else { &mut suffix }.extend(ids);
    }
    if sequences != 1 {
        return Err(Error::Invalid(format!("post_processor.single must have one sequence, got {sequences}")));
    }
    Ok((prefix, suffix))
}
