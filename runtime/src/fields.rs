//! Typed access to the fields of a JSON object, with errors that name the field, its rule and the value.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
use crate::json::Json;

/// Maximum of every size in a configuration. Products of two sizes fit in 64 bits.
pub const MAX_SIZE: usize = 1 << 31;

/// The fields of a JSON object. A missing field and `null` both mean the default.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    entries: &'a Json,
}

impl<'a> Fields<'a> {
    /// Return the fields of an object. Fails if `json` is not an object.
    pub fn of(json: &'a Json) -> Result<Self> {
        match json {
            Json::Object(_) => Ok(Fields { entries: json }),
            other => Err(Error::Invalid(format!("a JSON object is needed, got {other}"))),
        }
    }

    /// Return a field that is there and not null.
    pub fn get(self, name: &str) -> Option<&'a Json> {
        self.entries.get(name).filter(|value| **value != Json::Null)
    }

    /// Fail because of the value of a field.
    pub fn refuse<T>(self, name: &str, rule: &str) -> Result<T> {
        let value = self.entries.get(name).map_or("nothing".to_string(), Json::to_string);
        Err(Error::Invalid(format!("{name} must be {rule}, got {value}")))
    }

    fn converted<T>(self, name: &str, rule: &str, convert: impl Fn(&'a Json) -> Option<T>) -> Result<Option<T>> {
        match self.get(name).map(convert) {
            None => Ok(None),
            Some(Some(value)) => Ok(Some(value)),
            Some(None) => self.refuse(name, rule),
        }
    }

    pub fn size(self, name: &str) -> Result<Option<usize>> {
        let accepts = |json: &Json| json.as_usize().filter(|value| (1..=MAX_SIZE).contains(value));
        self.converted(name, &format!("an integer from 1 to {MAX_SIZE}"), accepts)
    }

    /// An integer that may be 0.
    pub fn count(self, name: &str) -> Result<Option<usize>> {
        let accepts = |json: &Json| json.as_usize().filter(|value| *value <= MAX_SIZE);
        self.converted(name, &format!("an integer from 0 to {MAX_SIZE}"), accepts)
    }

    /// A finite number above `minimum`, or equal to it if `closed`.
    pub fn number(self, name: &str, minimum: f64, closed: bool) -> Result<Option<f64>> {
        let accepts = |json: &Json| {
            let inside = |value: &f64| value.is_finite() && (*value > minimum || closed && *value == minimum);
            json.as_f64().filter(inside)
        };
        self.converted(name, &format!("a finite number {} {minimum}", if closed { ">=" } else { ">" }), accepts)
    }

    pub fn boolean(self, name: &str) -> Result<Option<bool>> {
        self.converted(name, "true or false", Json::as_bool)
    }

    pub fn string(self, name: &str) -> Result<Option<&'a str>> {
        self.converted(name, "a string", Json::as_str)
    }

    pub fn numbers(self, name: &str) -> Result<Option<Vec<f64>>> {
        let accepts = |json: &Json| json.as_array()?.iter().map(Json::as_f64).collect();
        self.converted(name, "an array of numbers", accepts)
    }

    /// A token id, or an array of at least one if `many`.
    pub fn token_ids(self, name: &str, many: bool) -> Result<Option<Vec<u32>>> {
        let id = |json: &Json| json.as_usize().and_then(|id| u32::try_from(id).ok());
        let accepts = |json: &'a Json| match json {
            Json::Array(items) if many && !items.is_empty() => items.iter().map(id).collect(),
            json => id(json).map(|id| vec![id]),
        };
        self.converted(name, if many { "a token id or an array of them" } else { "a token id" }, accepts)
    }
}
