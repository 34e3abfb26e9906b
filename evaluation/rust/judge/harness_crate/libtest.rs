//! The rules by which libtest reports a test as passed, for published tests that were converted into hidden ones.

use std::panic::catch_unwind;
use std::process::{ExitCode, Termination};

/// A test without a result. Not generic, so that it is compiled only once.
pub fn passes(test: fn()) -> bool {
    test();
    true
}

/// A test that returns a value: it passes with `Ok(())` or `ExitCode::SUCCESS`.
pub fn succeeds<T: Termination>(test: fn() -> T) -> bool {
    test().report() == ExitCode::SUCCESS
}

/// A test that should panic, with a message that contains the text, if any.
pub fn panics(test: fn(), expected: Option<&str>) -> bool {
    let Err(payload) = catch_unwind(test) else { return false };
    let text = payload.downcast_ref::<&'static str>().copied();
    let text = text.or(payload.downcast_ref::<String>().map(String::as_str));
    let holds = expected.map_or(true, |expected| text.is_some_and(|text| text.contains(expected)));
    std::mem::forget(payload); // to drop it may run code of the candidate
    holds
}
