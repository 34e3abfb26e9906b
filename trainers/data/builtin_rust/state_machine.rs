//! State machines as enums: a traffic light, a turnstile and a lexer.

/// The colors of a traffic light.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Light {
    Red,
    Green,
    Yellow,
}

impl Light {
    /// Returns the color that follows.
    pub fn next(self) -> Self {
        match self {
            Light::Red => Light::Green,
            Light::Green => Light::Yellow,
            Light::Yellow => Light::Red,
        }
    }
}

/// A gate that opens once per payment and remembers spare coins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turnstile {
    Locked,
    Unlocked { spare: u32 },
}

/// Something that happens to a turnstile.
#[derive(Debug, Clone, Copy)]
pub enum Event {
    Coin,
    Push,
}

impl Turnstile {
    /// Consumes the current state and returns the next one.
    pub fn on(self, event: Event) -> Self {
        use Turnstile::{Locked, Unlocked};
        match (self, event) {
            (Locked, Event::Coin) => Unlocked { spare: 0 },
            (Locked, Event::Push) => Locked,
            (Unlocked { spare }, Event::Coin) => Unlocked { spare: spare + 1 },
            (Unlocked { spare: 0 }, Event::Push) => Locked,
            (Unlocked { spare }, Event::Push) => Unlocked { spare: spare - 1 },
        }
    }
}

enum Lexer {
    Outside,
    Word(String),
    Quoted(String),
}

/// Splits a command line into words; quotes keep spaces together.
///
/// Returns `None` when a quote is left open.
pub fn split_words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut state = Lexer::Outside;
    for c in line.chars() {
        state = match (state, c) {
            (Lexer::Outside, '"') => Lexer::Quoted(String::new()),
            (Lexer::Outside, c) if c.is_whitespace() => Lexer::Outside,
            (Lexer::Outside, c) => Lexer::Word(c.to_string()),
            (Lexer::Word(word), c) if c.is_whitespace() => {
                words.push(word);
                Lexer::Outside
            }
            (Lexer::Word(word), c) => Lexer::Word(word + c.encode_utf8(&mut [0; 4])),
            (Lexer::Quoted(word), '"') => {
                words.push(word);
                Lexer::Outside
            }
            (Lexer::Quoted(word), c) => Lexer::Quoted(word + c.encode_utf8(&mut [0; 4])),
        };
    }
    match state {
        Lexer::Outside => {}
        Lexer::Word(word) => words.push(word),
        Lexer::Quoted(_) => return None,
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_cycle() {
        let lights = [Light::Red, Light::Red.next(), Light::Red.next().next()];
        assert_eq!(lights[2].next(), Light::Red);
        assert_eq!(lights, [Light::Red, Light::Green, Light::Yellow]);
    }

    #[test]
    fn turnstile_and_lexer() {
        let events = [Event::Push, Event::Coin, Event::Coin, Event::Push];
        let gate = events.into_iter().fold(Turnstile::Locked, Turnstile::on);
        assert_eq!(gate, Turnstile::Unlocked { spare: 0 });
        assert_eq!(split_words("cp \"a b\" c").unwrap(), ["cp", "a b", "c"]);
        assert_eq!(split_words("say \"hi"), None);
    }
}
