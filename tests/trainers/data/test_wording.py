"""Documentation and prompts that models learn from: checked, and printed with `pytest -s` for a person to read."""

import re
from itertools import islice

import pytest

from trainers.data.synthetic.stream import choose_families, draw_samples

VOWEL = r"\b[Aa] [aeio](?!ne\b|nce\b)\w"
CONSONANT = r"\b[Aa]n [b-df-gj-np-tv-z]\w"
BRITISH = (
    "favour|flavour|colour|neighbour|litre|metre|centre|grey|cancelled|labelled|towards|analyse|capitalis|normalis|"
    "initialis|quantis|license|catalogue|behaviour|backwards|forwards|afterwards|whilst"
)
RULES = {
    "no number of one with a plural": r"\b(first|last|least|most|than|of|every) 1 (?!to\b|or\b|and\b|from\b)\w+s\b",
    "no sentence begins like a riddle": r"(^|[.:] )(What|Of|Whether|Tells|Gives|So) ",
    "no clumsy phrase": r"\b(so many|such a|what is|for want of|that one of|of equals|be there|are there)\b",
    "an before a vowel": VOWEL,
    "a before a consonant": CONSONANT,
    "no double space": r"  ",
    "no space before a mark": r" [,.;:](?!\.)(\s|$)",
    "American spelling": rf"\b\w*({BRITISH})",
    "no word twice": r"\b([a-z]{2,}) \1\b",
}


def descriptions(code: str) -> list[str]:
    """Paragraphs of the documentation comments, each in one line."""
    found, lines = [], []
    for line in [*code.split("\n"), ""]:
        if comment := re.match(r"\s*/// ?(.*)", line):
            lines.append(comment[1])
        else:
            found += re.split(r"\n\n+", "\n".join(lines)) if lines else []
            lines = []
    return [" ".join(paragraph.split("\n")) for paragraph in found]


def faults(paragraph: str) -> list[str]:
    """Rules that a paragraph breaks; what is in backticks or quotes is Rust, or data."""
    prose = re.sub(r'`[^`]*`|"[^"]*"', "`", paragraph)
    found = [rule for rule, pattern in RULES.items() if re.search(pattern, prose)]
    if paragraph.count("`") % 2:
        found.append("balanced backticks")
    if not re.match(r"[A-Z`]", paragraph):
        found.append("capital letter at the start")
    if not paragraph.endswith("."):
        found.append("full stop at the end")
    return found


def test_documentation_and_prompts_are_plain_american_sentences():
    samples = list(islice(draw_samples(choose_families(), seed=11), 400))
    assert sum(sample.task is not None for sample in samples) > 200
    broken = []
    for sample in samples:
        # The prompt of a task is the beginning of the code.
        paragraphs = descriptions(sample.code)
        print(f"[{sample.family}]", *paragraphs, sep="\n    ")
        broken += [(sample.family, paragraph, rules) for paragraph in paragraphs if (rules := faults(paragraph))]
    assert broken == []


@pytest.mark.parametrize(
    ("paragraph", "rule"),
    [
        ("Takes the first 1 numbers out of `v`.", "no number of one with a plural"),
        ("What `i64` lacks.", "no sentence begins like a riddle"),
        ("Returns the pair, or `None` if there are not so many.", "no clumsy phrase"),
        ("Returns a odd number.", "an before a vowel"),
        ("Returns an number.", "a before a consonant"),
        ("Returns the colour.", "American spelling"),
        ("Returns the the sum.", "no word twice"),
        ("Returns `a.", "balanced backticks"),
        ("returns the sum.", "capital letter at the start"),
        ("Returns the sum", "full stop at the end"),
    ],
)
def test_each_rule_finds_its_fault(paragraph, rule):
    assert faults(paragraph) == [rule]
