"""Exercises of Exercism's Rust track."""


def exercism(row):
    """Solution and tests of an exercise; the tests expect a crate with its name."""
    (code,) = row["example"].values()
    tests = "\n".join(f"mod nanochat_{index} {{\n{text}\n}}" for index, text in enumerate(row["tests"].values()))
    return code, f"extern crate self as {row['name']};\n#[cfg(test)]\nmod exercise {{\n{tests}\n}}"
