"""The parts of a mix of training data: which kind of source feeds which, and their shares."""

HIGH_QUALITY_RUST = "high_quality_rust"
"""Files of real projects that passed the filters."""
VERIFIED_EXAMPLES = "verified_examples"
"""Real code that the compiler accepted."""
SYNTHETIC_DATA = "synthetic_data"
"""Generated code that the compiler and its tests accepted."""
DOCUMENTATION = "documentation"
"""Examples of books and of doc comments."""
GENERATED_SOURCES = frozenset({"synthetic", "tasks"})
"""Sources of documents whose code is generated."""
MIX_NAMES = (HIGH_QUALITY_RUST, VERIFIED_EXAMPLES, SYNTHETIC_DATA, DOCUMENTATION)

RECIPE_MIXES = {
    "config_a": {HIGH_QUALITY_RUST: 0.40, VERIFIED_EXAMPLES: 0.30, SYNTHETIC_DATA: 0.20, DOCUMENTATION: 0.10},
    "config_b": {HIGH_QUALITY_RUST: 0.50, VERIFIED_EXAMPLES: 0.30, SYNTHETIC_DATA: 0.15, DOCUMENTATION: 0.05},
    "config_c": {HIGH_QUALITY_RUST: 0.45, VERIFIED_EXAMPLES: 0.35, SYNTHETIC_DATA: 0.15, DOCUMENTATION: 0.05},
}
"""Shares of the parts in the data of a recipe."""

SOURCE_WEIGHTS = {
    "crates": 0.30,
    "compiler-tests": 0.15,
    "rust-by-example": 0.10,
    "synthetic": 0.25,
    "documentation": 0.10,
    "exercism": 0.10,
}
"""Shares of the groups of sources where a mix is by source."""

# Group of weights and parts of a mix, by the kind of the source.
_KINDS = {
    "crates": ("crates", (HIGH_QUALITY_RUST, VERIFIED_EXAMPLES)),
    "folder": ("crates", (HIGH_QUALITY_RUST, VERIFIED_EXAMPLES)),
    "table": ("crates", (HIGH_QUALITY_RUST, VERIFIED_EXAMPLES)),
    "hub": ("crates", (HIGH_QUALITY_RUST, VERIFIED_EXAMPLES)),
    "repairs": ("crates", (HIGH_QUALITY_RUST, VERIFIED_EXAMPLES)),
    "std-sources": ("crates", (HIGH_QUALITY_RUST,)),
    "builtin": ("crates", (HIGH_QUALITY_RUST, VERIFIED_EXAMPLES)),
    "compiler-tests": ("compiler-tests", (VERIFIED_EXAMPLES,)),
    "exercism": ("exercism", (VERIFIED_EXAMPLES,)),
    "rust-by-example": ("rust-by-example", (DOCUMENTATION,)),
    "documentation": ("documentation", (DOCUMENTATION,)),
    "crate-examples": ("documentation", (DOCUMENTATION,)),
    "synthetic": ("synthetic", (SYNTHETIC_DATA,)),
}


def weight_group(kind: str) -> str:
    """Return the name in `SOURCE_WEIGHTS` that a kind of source belongs to."""
    return _KINDS[kind][0]


def parts_of_mix(kind: str, accepted: bool) -> tuple[str, ...]:
    """
    Return the parts of a mix that a row can belong to.

    Args:
        kind: Kind of its source, such as "crates".
        accepted: Whether the compiler accepted it; only then it can be one of the verified examples.
    """
    return tuple(name for name in _KINDS[kind][1] if accepted or name != VERIFIED_EXAMPLES)
