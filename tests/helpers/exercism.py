"""Exercises of Exercism's Rust track."""


def exercism(row):
    """An exercise as one text: its tests are written for a crate of its name."""
    (code,) = row["example"].values()
    tests = "\n".join(f"mod nanochat_{index} {{\n{text}\n}}" for index, text in enumerate(row["tests"].values()))
    return code, f"extern crate self as {row['name']};\n#[cfg(test)]\nmod exercise {{\n{tests}\n}}"
