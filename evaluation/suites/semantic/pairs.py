"""
Minimal pairs of Rust programs: one that rustc accepts and one that it rejects, which differ in one place.

The pairs are in `pairs.jsonl` beside this file, written by `write_data.py` from the templates.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evaluation.rust.syntax.tokens import tokens
from evaluation.text_files import read_text

FILE = Path(__file__).with_name("pairs.jsonl")
EDITION = "2021"
MAX_DIFFERING_TOKENS = 6
TIE = 1e-6

CATEGORIES = {
    "ownership_transfer": frozenset(
        ("E0204", "E0373", "E0382", "E0505", "E0506", "E0507", "E0509", "E0515", "E0596", "E0597", "E0716")
    ),
    "lifetime_elision": frozenset(("E0106", "E0261", "E0515", "E0597", "E0621", "E0700", "E0716", "NOCODE")),
    "trait_bounds": frozenset(("E0038", "E0277", "E0308", "E0369", "E0525", "E0599")),
    "generic_constraints": frozenset(
        (
            *("E0107", "E0207", "E0271", "E0276", "E0282", "E0283", "E0284", "E0308"),
            *("E0309", "E0310", "E0392", "E0401", "E0403", "E0597"),
        )
    ),
    "unsafe_boundary": frozenset(("E0053", "E0133", "E0199", "E0200", "E0277", "E0308", "E0793", "unsafe_code")),
}
"""
The error codes with which rustc may reject a pair of each category. `NOCODE` is an error without one, such as
"lifetime may not live long enough"; `unsafe_code` is the lint of `#![forbid(unsafe_code)]`. A code names the rule that
is broken, and one rule can follow from several kinds of knowledge: a code may therefore be in more than one category.
"""


@dataclass(frozen=True)
class MinimalPair:
    """
    Two programs that differ in one place.

    Attributes:
        name: Category, template, form and number, such as "trait_bounds/derive.equality_used/1".
        codes: Error codes with which rustc may reject the second program.
        before: Beginning of both programs.
        accepted: Text in the differing place of the program that compiles.
        rejected: The same of the other program.
        after: Rest of both programs.
    """

    name: str
    codes: Sequence[str]
    before: str
    accepted: str
    rejected: str
    after: str

    @property
    def category(self) -> str:
        """One of `CATEGORIES`."""
        return self.name.split("/")[0]

    @property
    def template(self) -> str:
        """Category and template. The two forms of a template share it."""
        return self.name.split(".")[0]

    @property
    def valid(self) -> str:
        """Program that compiles."""
        return self.before + self.accepted + self.after

    @property
    def invalid(self) -> str:
        """Program that the compiler rejects."""
        return self.before + self.rejected + self.after

    def differing_tokens(self) -> int:
        """Return the number of tokens in the differing place, in the program that has more of them."""
        return max(len(list(tokens(part))) for part in (self.accepted, self.rejected))


def credit(difference: float) -> float:
    """
    Return what a pair counts: 1 if the score of the program that compiles is higher, one half for a tie, else 0.

    Args:
        difference: Score of the program that compiles minus that of the other one; below 1e-6 it is a tie.
    """
    return 0.5 if abs(difference) < TIE else float(difference > 0)


def read_pairs(path: Path = FILE) -> list[MinimalPair]:
    """
    Read pairs from JSON Lines.

    Raises:
        ValueError: The file cannot be read.
    """
    return [MinimalPair(**json.loads(line)) for line in read_text(path).splitlines()]


def pairs_as_text(pairs: Sequence[MinimalPair]) -> str:
    """Return the pairs as JSON Lines."""
    return "".join(json.dumps(asdict(pair), ensure_ascii=False) + "\n" for pair in pairs)
