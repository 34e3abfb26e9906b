//! Choice of the instruction set for this process.

#![forbid(unsafe_code)]

use crate::error::{Error, Result};
pub use crate::kernels::Isa;

/// Environment variable that forces an instruction set, for tests and comparisons.
pub const ISA_VARIABLE: &str = "NANOCHAT_ISA";

/// Return the instruction set of the environment variable `NANOCHAT_ISA`, or the fastest one of this processor.
///
/// # Errors
///
/// The variable names an instruction set that does not exist or that this processor does not have.
pub fn chosen_isa() -> Result<Isa> {
    match std::env::var_os(ISA_VARIABLE) {
        None => Ok(Isa::detect()),
        Some(name) => isa_named(&name.to_string_lossy()),
    }
}

/// Return an available instruction set by its name.
///
/// # Errors
///
/// No instruction set has this name, or this processor does not have it.
pub fn isa_named(name: &str) -> Result<Isa> {
    let found = Isa::ALL.into_iter().find(|isa| isa.name() == name && isa.is_available());
    found.ok_or_else(|| {
        let names: Vec<_> = Isa::ALL.into_iter().filter(|isa| isa.is_available()).map(Isa::name).collect();
        Error::invalid(format!("{ISA_VARIABLE} must be one of {} on this processor, got {name:?}", names.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_instruction_set_is_an_error_with_the_valid_names() {
        assert_eq!(isa_named("portable").unwrap(), Isa::Portable);
        assert!(isa_named("mmx").unwrap_err().to_string().contains("portable"));
    }
}
