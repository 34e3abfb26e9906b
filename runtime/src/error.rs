//! The error type of the crate.

#![forbid(unsafe_code)]

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Reason why a model cannot be loaded or run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    Io {
        /// Path of the file.
        path: PathBuf,
        /// Error of the operating system.
        source: io::Error,
    },
    /// A file or an argument breaks a rule. The text names the field, the rule and the value.
    Invalid(String),
    /// A valid model or option that this crate does not implement.
    Unsupported(String),
}

/// Result of the functions of this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Return an error about reading `path`.
    pub fn io(path: &Path, source: io::Error) -> Self {
        Error::Io { path: path.to_path_buf(), source }
    }

    /// Return an [`Error::Invalid`] with this text.
    pub fn invalid(text: impl Into<String>) -> Self {
        Error::Invalid(text.into())
    }

    /// Put the path of the file in front of the text, unless the error names it already.
    pub fn in_file(self, path: &Path) -> Self {
        match self {
            Error::Io { .. } => self,
            Error::Invalid(text) => Error::Invalid(format!("{}: {text}", path.display())),
            Error::Unsupported(text) => Error::Unsupported(format!("{}: {text}", path.display())),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, source } => write!(out, "cannot read {}: {source}", path.display()),
            Error::Invalid(text) => out.write_str(text),
            Error::Unsupported(text) => write!(out, "not supported: {text}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
