//! Handling missing values and failures with `Option` and `Result`.

use std::error::Error;
use std::fmt;
use std::num::ParseIntError;

/// Reasons why an order line could not be read.
#[derive(Debug, PartialEq)]
pub enum OrderError {
    /// A required field is absent.
    Missing(&'static str),
    /// The quantity is not a number.
    Quantity(ParseIntError),
    /// The quantity is a number, but zero.
    Empty,
}

impl fmt::Display for OrderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OrderError::Missing(field) => write!(f, "missing field: {field}"),
            OrderError::Quantity(err) => write!(f, "bad quantity: {err}"),
            OrderError::Empty => write!(f, "quantity must not be zero"),
        }
    }
}

impl Error for OrderError {}

impl From<ParseIntError> for OrderError {
    fn from(err: ParseIntError) -> Self {
        OrderError::Quantity(err)
    }
}

/// One line of an order: a product and how many of it.
#[derive(Debug, PartialEq)]
pub struct Order {
    pub product: String,
    pub quantity: u32,
}

/// Parses a line such as `"apple, 3"`.
pub fn parse_order(line: &str) -> Result<Order, OrderError> {
    let mut fields = line.split(',').map(str::trim).filter(|s| !s.is_empty());
    let product = fields.next().ok_or(OrderError::Missing("product"))?;
    let quantity = fields.next().ok_or(OrderError::Missing("quantity"))?;
    let quantity: u32 = quantity.parse()?;
    if quantity == 0 {
        return Err(OrderError::Empty);
    }
    Ok(Order {
        product: product.to_string(),
        quantity,
    })
}

/// Parses all lines and stops at the first error.
pub fn parse_orders(text: &str) -> Result<Vec<Order>, OrderError> {
    text.lines().map(parse_order).collect()
}

/// Divides, returning `None` when the divisor is zero or the result overflows.
pub fn average(total: i64, count: i64) -> Option<i64> {
    total.checked_div(count)
}

/// Returns the initials of a first and an optional last name.
pub fn initials(first: &str, last: Option<&str>) -> Option<String> {
    let mut out = String::from(first.chars().next()?);
    if let Some(c) = last.and_then(|name| name.chars().next()) {
        out.push(c);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_orders() {
        let orders = parse_orders("apple, 3\npear, 10").unwrap();
        assert_eq!(orders.len(), 2);
        assert_eq!(orders[1].product, "pear");
        assert_eq!(orders[1].quantity, 10);
    }

    #[test]
    fn bad_orders() {
        assert_eq!(parse_order(""), Err(OrderError::Missing("product")));
        assert_eq!(parse_order("fig, 0"), Err(OrderError::Empty));
        let err = parse_order("fig, x").unwrap_err();
        assert!(err.to_string().starts_with("bad quantity"));
    }

    #[test]
    fn optional_values() {
        assert_eq!(average(10, 4), Some(2));
        assert_eq!(average(10, 0), None);
        assert_eq!(initials("Ada", Some("Lovelace")).as_deref(), Some("AL"));
        assert_eq!(initials("", None), None);
    }
}
