//! Linked with every program that runs hidden tests; `harness.py` generates the rest of these programs.
//!
//! Where the signature allows it, a candidate runs in its own process (`serving`), which calls its functions on request
//! and returns their results. The tests run in another process (`checks`), in which functions of the same signatures
//! call that process (`calls`). No code of a candidate is ever in the process that compares and counts, and no expected
//! value is ever in the process of the candidate. Other tests are linked with the candidate and share its process.

mod calls;
mod checks;
mod confinement;
pub mod libtest;
mod serving;
mod wire;

pub use calls::Call;
pub use checks::{count, run_checks};
pub use serving::{serve, Answer, Question};
pub use wire::{Decode, Encode, Input, Update};

/// One case: an expression that is true if the candidate is correct; a panic is a failure.
#[macro_export]
macro_rules! check {
    ($($holds:tt)+) => { $crate::count(line!(), ::std::boxed::Box::new(|| -> ::std::primitive::bool { $($holds)+ })) };
}
