//! JSON as these examples need it: reading an answer, and writing a text as a string.

// Each program uses a part of it.
#![allow(dead_code)]

#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parse a text that holds one value.
    pub fn parse(text: &str) -> Result<Json, String> {
        let mut parser = Parser { text, place: 0 };
        let value = parser.value(0)?;
        parser.space();
        match parser.peek() {
            None => Ok(value),
            Some(_) => Err(parser.error("the end of the text")),
        }
    }

    /// The member of an object with this name.
    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Json::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            Json::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The elements of a list; none for any other value.
    pub fn list(&self) -> &[Json] {
        match self {
            Json::List(elements) => elements,
            _ => &[],
        }
    }
}

/// Write a text as a JSON string, with its quotes.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out + "\""
}

const MAX_DEPTH: usize = 64;

struct Parser<'a> {
    text: &'a str,
    place: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.place..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.place += c.len_utf8();
        Some(c)
    }

    fn space(&mut self) {
        while self.peek().is_some_and(|c| c.is_ascii_whitespace()) {
            self.place += 1;
        }
    }

    fn error(&self, expected: &str) -> String {
        format!("the answer is not JSON: expected {expected} at byte {}", self.place)
    }

    fn take(&mut self, word: &str) -> Result<(), String> {
        if !self.text[self.place..].starts_with(word) {
            return Err(self.error(word));
        }
        self.place += word.len();
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > MAX_DEPTH {
            return Err(self.error("fewer levels"));
        }
        self.space();
        match self.peek() {
            Some('"') => Ok(Json::Text(self.string()?)),
            Some('[') => self.elements(']', |parser| parser.value(depth + 1)).map(Json::List),
            Some('{') => self.elements('}', |parser| parser.member(depth + 1)).map(Json::Object),
            Some('t') => self.take("true").map(|()| Json::Bool(true)),
            Some('f') => self.take("false").map(|()| Json::Bool(false)),
            Some('n') => self.take("null").map(|()| Json::Null),
            _ => self.number(),
        }
    }

    fn member(&mut self, depth: usize) -> Result<(String, Json), String> {
        self.space();
        let name = self.string()?;
        self.space();
        self.take(":")?;
        Ok((name, self.value(depth)?))
    }

    fn elements<T>(&mut self, end: char, read: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        self.next();
        self.space();
        let mut found = Vec::new();
        if self.peek() == Some(end) {
            self.next();
            return Ok(found);
        }
        loop {
            found.push(read(self)?);
            self.space();
            match self.next() {
                Some(',') => {}
                Some(c) if c == end => return Ok(found),
                _ => return Err(self.error("a comma")),
            }
        }
    }

    fn number(&mut self) -> Result<Json, String> {
        let rest = &self.text[self.place..];
        let length = rest
            .find(|c: char| !"+-.0123456789eE".contains(c))
            .unwrap_or(rest.len());
        let number = rest[..length].parse().map_err(|_| self.error("a value"))?;
        self.place += length;
        Ok(Json::Number(number))
    }

    fn string(&mut self) -> Result<String, String> {
        self.take("\"")?;
        let mut out = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(out),
                Some('\\') => out.push(self.escape()?),
                Some(c) => out.push(c),
                None => return Err(self.error("the end of a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        match self.next() {
            Some('n') => Ok('\n'),
            Some('t') => Ok('\t'),
            Some('r') => Ok('\r'),
            Some('b') => Ok('\u{8}'),
            Some('f') => Ok('\u{c}'),
            Some('u') => {
                let first = self.code_unit()?;
                // Characters beyond the first plane are written as two code units.
                let code = if (0xD800..0xDC00).contains(&first) && self.take("\\u").is_ok() {
                    0x10000 + ((first - 0xD800) << 10) + (self.code_unit()?.wrapping_sub(0xDC00) & 0x3FF)
                } else {
                    first
                };
                Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            Some(c) => Ok(c),
            None => Err(self.error("an escape")),
        }
    }

    fn code_unit(&mut self) -> Result<u32, String> {
        let digits = self
            .text
            .get(self.place..self.place + 4)
            .ok_or_else(|| self.error("four digits"))?;
        let unit = u32::from_str_radix(digits, 16).map_err(|_| self.error("four digits"))?;
        self.place += 4;
        Ok(unit)
    }
}
