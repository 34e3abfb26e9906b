"""
Write the pairs from the templates, and the frequencies of their tokens in a corpus of Rust.

    python -m evaluation.suites.semantic.write_data --corpus rust_corpus.jsonl.gz

Every pair is first compiled: the first program must be accepted, and the second one rejected with an error code that
its template names. The baselines are printed.
"""

import argparse
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from evaluation.options import CommandParser
from evaluation.rust import RustVerifier
from evaluation.rust.syntax.tokens import tokens
from evaluation.suites.semantic import baselines, pairs
from evaluation.suites.semantic.baselines import TokenCounts, accuracy
from evaluation.suites.semantic.pairs import CATEGORIES, EDITION, MinimalPair, pairs_as_text
from evaluation.suites.semantic.templates import all_pairs


def faults(found: Sequence[MinimalPair], verifier: RustVerifier) -> list[str]:
    """Return a line for each pair that the compiler does not judge as the template says."""
    verdicts = verifier.verify([program for pair in found for program in (pair.valid, pair.invalid)])
    lines = []
    for pair, accepted, rejected in zip(found, verdicts[::2], verdicts[1::2], strict=True):
        if not accepted.ok:
            lines.append(f"{pair.name}: must compile, got {accepted.status}, {', '.join(accepted.error_codes)}")
        if rejected.ok or not set(rejected.error_codes) <= set(pair.codes):
            lines.append(f"{pair.name}: must fail with {', '.join(pair.codes)}, got {', '.join(rejected.error_codes)}")
    return lines


def count_tokens(corpus: Path, found: Sequence[MinimalPair]) -> TokenCounts:
    """Count the tokens of a corpus: JSON Lines, gzip, with a column `text`."""
    counts: Counter[str] = Counter()
    for text in _texts(corpus):
        counts.update(token.text for token in tokens(text))
    wanted = {token.text for pair in found for program in (pair.valid, pair.invalid) for token in tokens(program)}
    return TokenCounts(counts.total(), len(counts), {token: counts[token] for token in sorted(wanted)})


def _texts(corpus: Path) -> Iterator[str]:
    with gzip.open(corpus, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Write `pairs.jsonl`, and with a corpus `token_counts.json`; return the exit status."""
    parser = CommandParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="JSON Lines, gzip, with a column text; counts are kept without it")
    given = parser.parse_args(arguments)
    found = all_pairs()
    with RustVerifier(EDITION) as verifier:
        wrong = faults(found, verifier)
    if wrong:
        print("\n".join(wrong), file=sys.stderr)
        return 1
    pairs.FILE.write_text(pairs_as_text(found), encoding="utf-8")
    if given.corpus is not None:
        counts = count_tokens(given.corpus, found)
        baselines.FILE.write_text(json.dumps(asdict(counts), ensure_ascii=False, indent=0) + "\n", encoding="utf-8")
    scores = baselines.baselines(TokenCounts.read())
    for category in (*CATEGORIES, ""):
        chosen = [pair for pair in found if category in ("", pair.category)]
        shares = ", ".join(f"{name} {accuracy(score, chosen):.1%}" for name, score in scores.items())
        print(f"{category or 'all'}, {len(chosen)} pairs: {shares}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
