"""A folder with two small crates that have unit tests, for the tests of hole tasks."""

from pathlib import Path

SHAPES = {
    "Cargo.toml": """
[package]
name = "shapes"
version = "1.0.0"
edition = "2021"
license = "MIT"
description = "Several lines with `ticks`\\nand 'quotes'"
build = "build.rs"

[features]
default = ["fast", "absent"]
fast = []
absent = ["not-there"]

[dependencies.twice]
version = "0.1"

[dependencies.not-there]
version = "1"
optional = true

[dev-dependencies.also-not-there]
version = "1"

[[bench]]
name = "missing"
""",
    "build.rs": """
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    std::fs::write(format!("{out}/generated.rs"), "pub const SIDES: i64 = 4;\\n").unwrap();
    println!("cargo:rustc-cfg=built");
}
""",
    "src/lib.rs": """//! Shapes.
#![deny(warnings)]
#![allow(unexpected_cfgs)]
#![forbid(unsafe_code)]

use std::process;

pub mod area;

include!(concat!(env!("OUT_DIR"), "/generated.rs"));

/// The value, or the nearer end of the range.
pub fn clamp(value: i64, low: i64, high: i64) -> i64 {
    if value < low {
        return low;
    }
    if value > high { high } else { value }
}

#[cfg(built)]
pub fn perimeter(side: i64) -> i64 {
    let sides = SIDES;
    twice::twice(side) * sides / 2
}

/// Nothing tests what it returns.
pub fn untested(value: i64) -> i64 {
    let next = value * 3 + 1;
    next - value
}

pub fn stop(code: i32) -> i32 {
    if code > 1000 {
        process::exit(code);
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamps() {
        assert_eq!(clamp(5, 1, 3), 3);
        assert_eq!(clamp(-5, 1, 3), 1);
        assert_eq!(clamp(2, 1, 3), 2);
        assert_eq!(clamp(3, 1, 3), 3);
    }

    #[test]
    fn measures() {
        assert_eq!(perimeter(3), 12);
        assert_eq!(perimeter(5), 20);
        untested(1);
    }

    #[test]
    fn reads_a_file_of_the_crate() {
        assert!(std::fs::read_to_string("Cargo.toml").unwrap().contains("shapes"));
        assert_eq!(stop(7), 7);
    }

    #[test]
    fn fails() {
        assert_eq!(clamp(1, 1, 1), 2);
    }
}
""",
    "src/area.rs": """//! Areas.

use std::fmt;

/// A rectangle.
pub struct Rectangle {
    pub width: u32,
    pub height: u32,
}

impl Rectangle {
    /// The area.
    pub fn area(&self) -> u32 {
        let Rectangle { width, height } = self;
        width * height
    }

    /// Both sides scaled, or `None` if one is too large.
    pub fn scaled(&mut self, by: u32) -> Option<&mut Self> {
        self.width = self.width.checked_mul(by)?;
        self.height = self.height.checked_mul(by)?;
        Some(self)
    }
}

impl fmt::Display for Rectangle {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.width)?;
        write!(f, " x {}", self.height)
    }
}

#[test]
fn area_of_a_rectangle() {
    let mut rectangle = Rectangle { width: 3, height: 4 };
    assert_eq!(rectangle.area(), 12);
    assert_eq!(rectangle.scaled(2).unwrap().area(), 48);
    assert!(rectangle.scaled(u32::MAX).is_none());
    assert_eq!(Rectangle { width: 1, height: 2 }.to_string(), "1 x 2");
}
""",
}
TWICE = {
    "Cargo.toml": """
[package]
name = "twice"
version = "0.1.0"
license = "MIT"
""",
    "src/lib.rs": """#![no_std]

/// In edition 2015, without the standard library.
pub fn twice(value: i64) -> i64 {
    let first_half = value;
    let second_half = value;
    first_half + second_half
}

mod own {
    /// The same as three times the value.
    pub fn thrice(value: i64) -> i64 {
        let doubled = ::twice(value);
        doubled + value
    }
}

pub use own::thrice;

#[test]
fn doubles() {
    assert_eq!(twice(4), 8);
    assert_eq!(twice(-3), -6);
}
""",
    "tests/whole.rs": """extern crate absent;
#[macro_use]
extern crate twice;

use absent::Absent;
use twice::thrice;

#[test]
fn needs_another_crate() {
    assert_eq!(Absent::new().value, 1);
}

#[test]
fn triples() {
    let list = vec![thrice(1), twice::thrice(-2)];
    assert_eq!(list, [3, -6]);
}
""",
}


def write_crate(folder: Path, files: dict[str, str]) -> None:
    """Write the files of a crate."""
    for path, text in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def write_crates(folder: Path) -> Path:
    """Write `shapes` 1.0.0 and `twice` 0.1.0, which it depends on, into a new folder, and return the folder."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # as root, the sandbox reads it as another user
    write_crate(folder / "shapes-1.0.0", SHAPES)
    write_crate(folder / "twice-0.1.0", TWICE)
    return folder
