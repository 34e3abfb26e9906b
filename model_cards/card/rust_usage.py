"""A Rust program that loads a model and continues a prompt, for the model card."""

import tomllib

from runtime.build import FOLDER

PROGRAM = r"""use nanochat::{Model, Result};

fn main() -> Result<()> {
    let model = Model::from_pretrained(".")?;
    println!("{}", model.generate("PROMPT", 200)?);
    Ok(())
}"""


def rust_usage(prompt: str) -> str:
    """
    Return a program that continues a prompt by the model of the present folder, with the crate `nanochat`.

    Args:
        prompt: Beginning of some code, escaped as in Rust's strings.
    """
    return PROGRAM.replace("PROMPT", prompt)


def oldest_rust() -> str:
    """Return the oldest version of Rust that compiles the crate `nanochat`."""
    return tomllib.loads((FOLDER / "Cargo.toml").read_text(encoding="utf-8"))["package"]["rust-version"]
