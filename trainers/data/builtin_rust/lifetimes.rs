//! Functions and structs that hold references.

/// Returns the longer string, or the first one if they tie.
pub fn longest<'a>(a: &'a str, b: &'a str) -> &'a str {
    if b.len() > a.len() {
        b
    } else {
        a
    }
}

/// Splits a line at its comment, which begins with `#`, and trims both parts.
pub fn without_comment(line: &str) -> (&str, Option<&str>) {
    match line.split_once('#') {
        Some((code, comment)) => (code.trim_end(), Some(comment.trim())),
        None => (line.trim_end(), None),
    }
}

/// Iterates over the parts of a string between delimiters.
///
/// The two lifetimes are separate, so the parts may outlive the delimiter.
pub struct Splitter<'t, 'd> {
    rest: Option<&'t str>,
    delimiter: &'d str,
}

impl<'t, 'd> Splitter<'t, 'd> {
    /// Creates a splitter; the delimiter must not be empty.
    pub fn new(text: &'t str, delimiter: &'d str) -> Self {
        assert!(!delimiter.is_empty(), "delimiter must not be empty");
        Splitter {
            rest: Some(text),
            delimiter,
        }
    }
}

impl<'t> Iterator for Splitter<'t, '_> {
    type Item = &'t str;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        match rest.split_once(self.delimiter) {
            Some((part, tail)) => {
                self.rest = Some(tail);
                Some(part)
            }
            None => Some(rest),
        }
    }
}

/// A highlighted range inside a borrowed document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Excerpt<'a> {
    document: &'a str,
    start: usize,
    end: usize,
}

impl<'a> Excerpt<'a> {
    /// Highlights the first occurrence of `needle`.
    pub fn find(document: &'a str, needle: &str) -> Option<Self> {
        let start = document.find(needle)?;
        let end = start + needle.len();
        Some(Excerpt {
            document,
            start,
            end,
        })
    }

    /// Returns the text before, inside and after the highlight.
    pub fn parts(&self) -> (&'a str, &'a str, &'a str) {
        let (before, rest) = self.document.split_at(self.start);
        let (inside, after) = rest.split_at(self.end - self.start);
        (before, inside, after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borrowed_results() {
        assert_eq!(longest("short", "longer"), "longer");
        assert_eq!(longest("same", "size"), "same");
        assert_eq!(without_comment("let x; # why "), ("let x;", Some("why")));
    }

    #[test]
    fn parts_outlive_the_delimiter() {
        let text = String::from("a, b, , c");
        let parts: Vec<&str> = {
            let delimiter = String::from(", ");
            Splitter::new(&text, &delimiter).collect()
        };
        assert_eq!(parts, vec!["a", "b", "", "c"]);
    }

    #[test]
    fn excerpts() {
        let excerpt = Excerpt::find("one two three", "two").unwrap();
        assert_eq!(excerpt.parts(), ("one ", "two", " three"));
        assert_eq!(Excerpt::find("one", "four"), None);
    }
}
