//! A tiny tokenizer and a parser for `key = value` settings.

use std::collections::BTreeMap;

/// A piece of an arithmetic expression.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    Number(f64),
    Ident(String),
    Symbol(char),
}

/// Splits `input` into tokens, or reports the first bad piece.
pub fn tokenize(input: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = input.trim_start();
    while let Some(c) = rest.chars().next() {
        let (token, len) = match c {
            '0'..='9' => {
                let len = prefix_len(rest, |c| c.is_ascii_digit() || c == '.');
                let number = rest[..len]
                    .parse()
                    .map_err(|_| format!("bad number: {}", &rest[..len]))?;
                (Token::Number(number), len)
            }
            c if c.is_alphabetic() || c == '_' => {
                let len = prefix_len(rest, |c| c.is_alphanumeric() || c == '_');
                (Token::Ident(rest[..len].to_string()), len)
            }
            '+' | '-' | '*' | '/' | '(' | ')' => (Token::Symbol(c), 1),
            other => return Err(format!("unexpected character: {other}")),
        };
        tokens.push(token);
        rest = rest[len..].trim_start();
    }
    Ok(tokens)
}

fn prefix_len(text: &str, accept: impl Fn(char) -> bool) -> usize {
    text.find(|c| !accept(c)).unwrap_or(text.len())
}

/// Parses one setting per line; `#` starts a comment.
pub fn parse_settings(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut settings = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("").trim();
        if line.is_empty() {
            continue;
        }
        let (key, value) = line
            .split_once('=')
            .ok_or_else(|| format!("line {}: expected `=`", index + 1))?;
        let key = key.trim();
        if key.is_empty() {
            return Err(format!("line {}: empty key", index + 1));
        }
        let value = value.trim().trim_matches('"');
        settings.insert(key.to_string(), value.to_string());
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let tokens = tokenize(" 2.5*(rate_1 - 4)").unwrap();
        assert_eq!(tokens.len(), 7);
        assert_eq!(tokens[0], Token::Number(2.5));
        assert_eq!(tokens[1], Token::Symbol('*'));
        assert_eq!(tokens[3], Token::Ident("rate_1".to_string()));
    }

    #[test]
    fn token_errors() {
        assert_eq!(tokenize("1.2.3").unwrap_err(), "bad number: 1.2.3");
        assert!(tokenize("a ? b").is_err());
    }

    #[test]
    fn settings() {
        let text = "# server\nhost = \"localhost\"\n\nport = 8080 # default\n";
        let settings = parse_settings(text).unwrap();
        assert_eq!(settings["host"], "localhost");
        assert_eq!(settings["port"], "8080");
    }

    #[test]
    fn setting_errors() {
        let err = parse_settings("a = 1\nb").unwrap_err();
        assert_eq!(err, "line 2: expected `=`");
        assert!(parse_settings(" = 3").is_err());
    }
}
