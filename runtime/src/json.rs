//! A reader of JSON (RFC 8259) for untrusted files.
//!
//! Nesting, the number of values and the size of the text are limited, and a name that occurs twice in an object is an
//! error, so that no field has two meanings.

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};

/// Maximum depth of nested arrays and objects.
pub const MAX_DEPTH: usize = 64;
/// Maximum number of values in a text, which bounds the memory of the result.
pub const MAX_VALUES: usize = 1 << 22;
/// Maximum size of a JSON file in bytes.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number with a fraction or an exponent, or an integer beyond the range of `i64`.
    Number(f64),
    /// An integer.
    Integer(i64),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object, in the order of the text.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parse a JSON text in UTF-8.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the byte offset, if the text is not JSON, has a name twice in one object, or exceeds
    /// [`MAX_DEPTH`] or [`MAX_VALUES`].
    pub fn parse(text: &[u8]) -> Result<Json> {
        let text = std::str::from_utf8(text)
            .map_err(|error| Error::invalid(format!("JSON must be UTF-8, byte {} is not", error.valid_up_to())))?;
        let mut parser = Parser { text, position: 0, values: 0 };
        let value = parser.value(0)?;
        parser.skip_space();
        if parser.position != text.len() {
            return parser.fail("the end of the text");
        }
        Ok(value)
    }

    /// Read and parse a JSON file of at most [`MAX_FILE_BYTES`].
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, else as [`Json::parse`].
    pub fn read(path: &Path) -> Result<Json> {
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        let mut text = Vec::new();
        file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text).map_err(|error| Error::io(path, error))?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(Error::Invalid(format!("{}: a JSON file has at most {MAX_FILE_BYTES} bytes", path.display())));
        }
        Json::parse(&text).map_err(|error| error.in_file(path))
    }

    /// Return the value of a name in an object; `None` if it is missing, or if this is not an object.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.as_object()?.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// Return the text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// Return the value of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Json::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Return an integer that is not negative.
    pub fn as_usize(&self) -> Option<usize> {
        match self {
            Json::Integer(value) => usize::try_from(*value).ok(),
            _ => None,
        }
    }

    /// Return a number, integer or not.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Json::Number(value) => Some(*value),
            Json::Integer(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// Return the items of an array.
    pub fn as_array(&self) -> Option<&[Json]> {
        match self {
            Json::Array(items) => Some(items),
            _ => None,
        }
    }

    /// Return the names and values of an object.
    pub fn as_object(&self) -> Option<&[(String, Json)]> {
        match self {
            Json::Object(entries) => Some(entries),
            _ => None,
        }
    }
}

/// Short form for error messages: containers and long strings are abbreviated.
impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Json::Null => out.write_str("null"),
            Json::Bool(value) => write!(out, "{value}"),
            Json::Number(value) => write!(out, "{value}"),
            Json::Integer(value) => write!(out, "{value}"),
            Json::String(text) if text.chars().count() > 60 => {
                write!(out, "{:?}...", text.chars().take(60).collect::<String>())
            }
            Json::String(text) => write!(out, "{text:?}"),
            Json::Array(items) if items.len() <= 8 && items.iter().all(|item| item.as_f64().is_some()) => {
                let items: Vec<String> = items.iter().map(Json::to_string).collect();
                write!(out, "[{}]", items.join(", "))
            }
            Json::Array(items) => write!(out, "an array of {} items", items.len()),
            Json::Object(entries) => write!(out, "an object of {} entries", entries.len()),
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
    values: usize,
}

impl Parser<'_> {
    fn fail<T>(&self, expected: &str) -> Result<T> {
        let found = match self.text[self.position..].chars().next() {
            Some(character) => format!("{character:?}"),
            None => "the end of the text".to_string(),
        };
        Err(Error::Invalid(format!("JSON must have {expected} at byte {}, got {found}", self.position)))
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    /// Skip a byte if it is next.
    fn skip(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.position += usize::from(found);
        found
    }

    fn value(&mut self, depth: usize) -> Result<Json> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(Error::Invalid(format!("JSON must have at most {MAX_VALUES} values")));
        }
        self.skip_space();
        match self.peek() {
            Some(b'{' | b'[') if depth == MAX_DEPTH => Err(Error::Invalid(format!(
                "JSON must be nested at most {MAX_DEPTH} deep, byte {} is deeper",
                self.position
            ))),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Json::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => {
                for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
                    if self.text[self.position..].starts_with(word) {
                        self.position += word.len();
                        return Ok(value);
                    }
                }
                self.fail("a value")
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json> {
        self.position += 1;
        let mut items = Vec::new();
        self.skip_space();
        if self.skip(b']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.skip(b']') {
                return Ok(Json::Array(items));
            }
            if !self.skip(b',') {
                return self.fail("\",\" or \"]\"");
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json> {
        self.position += 1;
        let mut entries: Vec<(String, Json)> = Vec::new();
        self.skip_space();
        if !self.skip(b'}') {
            loop {
                self.skip_space();
                if self.peek() != Some(b'"') {
                    return self.fail("a name");
                }
                let name = self.string()?;
                self.skip_space();
                if !self.skip(b':') {
                    return self.fail("\":\"");
                }
                entries.push((name, self.value(depth + 1)?));
                self.skip_space();
                if self.skip(b'}') {
                    break;
                }
                if !self.skip(b',') {
                    return self.fail("\",\" or \"}\"");
                }
            }
        }
        let mut names = HashSet::with_capacity(entries.len());
        if let Some((name, _)) = entries.iter().find(|(name, _)| !names.insert(name.as_str())) {
            let name = Json::String(name.clone());
            return Err(Error::Invalid(format!("JSON must have each name once per object, got {name} twice")));
        }
        Ok(Json::Object(entries))
    }

    fn string(&mut self) -> Result<String> {
        self.position += 1;
        let mut result = String::new();
        loop {
            let rest = &self.text[self.position..];
            let Some(length) = rest.find(|c: char| c == '"' || c == '\\' || c < ' ') else {
                self.position = self.text.len();
                return self.fail("a closing quote");
            };
            result.push_str(&rest[..length]);
            self.position += length;
            if self.skip(b'"') {
                return Ok(result);
            }
            if !self.skip(b'\\') {
                return self.fail("no control character in a string");
            }
            result.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char> {
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let unit = self.hexadecimal()?;
                let code = if (0xd800..0xdc00).contains(&unit) {
                    if !self.skip(b'\\') || self.peek() != Some(b'u') {
                        return self.fail("the second half of a surrogate pair");
                    }
                    let low = self.hexadecimal()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return self.fail("the second half of a surrogate pair before this");
                    }
                    0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    unit
                };
                return match char::from_u32(code) {
                    Some(character) => Ok(character),
                    None => self.fail("a Unicode character before this"),
                };
            }
            _ => return self.fail("a known escape"),
        };
        self.position += 1;
        Ok(character)
    }

    /// Read the letter `u` and four hexadecimal digits.
    fn hexadecimal(&mut self) -> Result<u32> {
        self.position += 1;
        let digits = self.text.as_bytes().get(self.position..self.position + 4);
        let Some(digits) = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit)) else {
            return self.fail("four hexadecimal digits");
        };
        self.position += 4;
        Ok(digits.iter().fold(0, |unit, &digit| unit * 16 + (digit as char).to_digit(16).unwrap_or(0)))
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.position;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        if self.position == start {
            return self.fail("a digit");
        }
        Ok(())
    }

    fn number(&mut self) -> Result<Json> {
        let start = self.position;
        self.skip(b'-');
        if !self.skip(b'0') {
            self.digits()?;
        }
        let integer_end = self.position;
        if self.skip(b'.') {
            self.digits()?;
        }
        if self.skip(b'e') || self.skip(b'E') {
            let _sign = self.skip(b'-') || self.skip(b'+');
            self.digits()?;
        }
        let text = &self.text[start..self.position];
        if self.position == integer_end {
            if let Ok(value) = text.parse() {
                return Ok(Json::Integer(value));
            }
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Json::Number(value)),
            _ => Err(Error::Invalid(format!("JSON must have finite numbers, byte {start} starts one that is not"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_every_kind() {
        let json = Json::parse(br#" {"a": [1, -2.5e1, true, null, "\u00e9\ud83d\ude00\n\/"], "b": {}} "#).unwrap();
        let items = json.get("a").unwrap().as_array().unwrap();
        assert_eq!(items[0], Json::Integer(1));
        assert_eq!(items[1], Json::Number(-25.0));
        assert_eq!(items[4].as_str(), Some("é😀\n/"));
        assert_eq!(json.get("b").unwrap().as_object().unwrap().len(), 0);
        assert_eq!(Json::parse(b"9223372036854775808").unwrap(), Json::Number(9223372036854775808.0));
    }

    #[test]
    fn invalid_texts_are_errors_and_not_panics() {
        let texts: [&[u8]; 25] = [
            b"",
            b"{",
            b"[1,]",
            b"{\"a\":1,}",
            b"01",
            b"+1",
            b"1.",
            b".5",
            b"1e",
            b"-",
            b"NaN",
            b"nul",
            b"\"",
            b"\"\\x\"",
            b"\"\\u12\"",
            b"\"\\ud800\"",
            b"\"\\ud800\\u0041\"",
            b"\"\\udc00\"",
            b"\"\n\"",
            b"1 2",
            b"{\"a\" 1}",
            b"{1:2}",
            b"1e999",
            b"\xff",
            "\"\\u12é\"".as_bytes(),
        ];
        for text in texts {
            let error = Json::parse(text).expect_err(&String::from_utf8_lossy(text)).to_string();
            assert!(error.starts_with("JSON must "), "{error}");
        }
    }

    #[test]
    fn deep_nesting_and_repeated_names_are_errors() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Json::parse(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(Json::parse(nested(MAX_DEPTH + 1).as_bytes()).unwrap_err().to_string().contains("at most 64 deep"));
        assert!(Json::parse("[".repeat(1 << 20).as_bytes()).is_err());
        let error = Json::parse(br#"{"a": 1, "b": 2, "\u0061": 3}"#).unwrap_err().to_string();
        assert!(error.contains("got \"a\" twice"), "{error}");
    }
}
