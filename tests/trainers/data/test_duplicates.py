"""Near-duplicate programs: which are found, in which order, and that signatures are the same everywhere."""

import subprocess
import sys
import time

import numpy as np
import pytest

from tests.helpers.paths import ROOT
from trainers.data.duplicates import BANDS, NUM_PERMUTATIONS, NearDuplicates, band_keys, shingles, signatures


def program(count: int, start: int = 0) -> str:
    return "\n".join(f"fn item_{n}(x_{n}: u32) -> u32 {{ x_{n} + {n} }}" for n in range(start, start + count))


def find_all(*codes: str) -> list[str | None]:
    index = NearDuplicates()
    return [index.find(each, str(position)) for position, each in enumerate(signatures(codes))]


def test_comments_and_layout_do_not_matter():
    code = 'fn f() -> &\'static str {\n    // one\n    "a // b"\n}\n'
    other = '/* head /* */ fn f()->&\'static str{"a // b"}// tail'
    assert find_all(code, other) == [None, "0"]


def test_the_contents_of_strings_matter():
    assert find_all('fn f() { g("/* a */"); }', 'fn f() { g("/* b */"); }') == [None, None]


@pytest.mark.parametrize(("changed", "found"), [(1, "0"), (20, None)])
def test_a_program_is_a_duplicate_from_the_threshold_on(changed, found):
    assert find_all(program(40), program(40 - changed) + program(changed, start=1000)) == [None, found]


def test_the_first_is_kept_and_the_dropped_are_not_remembered():
    first, near, far = program(40), program(38) + program(2, 500), program(34) + program(6, 500)
    index = NearDuplicates()
    found = [index.find(each, name) for name, each in zip("abc", signatures([first, near, far]), strict=True)]
    assert found == [None, "a", None]
    assert len(index) == 2


def test_the_most_similar_document_is_named():
    other = program(33) + program(7, 500)
    assert find_all(program(40), other, other + "fn more() {}") == [None, None, "1"]


def test_programs_without_tokens_are_no_duplicates():
    assert find_all("// a", "// b", "", "fn f() {}", "fn f() {}") == [None, None, None, None, "3"]


def test_signatures_do_not_depend_on_the_batch_or_the_process():
    codes = [program(n) for n in (1, 7, 30)] + ["", "\udc80 fn f() {}"]
    together = signatures(codes)
    assert together.shape == (5, NUM_PERMUTATIONS)
    assert np.array_equal(together, np.concatenate([signatures([code]) for code in reversed(codes)])[::-1])
    script = "import sys; from trainers.data.duplicates import signatures; print(signatures([sys.stdin.read()]).sum())"
    elsewhere = subprocess.run(
        [sys.executable, "-c", script],
        input=codes[2],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"PYTHONHASHSEED": "77"},
    )
    assert int(elsewhere.stdout) == together[2].sum()


def test_no_signatures_have_no_rows():
    assert signatures([]).shape == (0, NUM_PERMUTATIONS)


def test_the_estimate_is_near_the_jaccard_index():
    first, second = program(100), program(80) + program(20, 1000)
    ours, theirs = set(shingles(first).tolist()), set(shingles(second).tolist())
    exact = len(ours & theirs) / len(ours | theirs)
    estimate = np.equal(*signatures([first, second])).mean()
    assert abs(estimate - exact) < 0.13  # three standard errors


def test_bands_with_the_same_values_differ():
    assert len(set(band_keys(np.ones(NUM_PERMUTATIONS, np.uint32)))) == BANDS


@pytest.mark.parametrize("part", ["/*", '"', 'r#"', "'", 'r"', "b'\\"])
def test_what_is_never_closed_takes_linear_time(part):
    started = time.perf_counter()
    shingles(part * 100_000)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("threshold", [0.4, 1.1, float("nan")])
def test_a_threshold_out_of_range_is_an_error(threshold):
    with pytest.raises(ValueError, match="threshold must be from 0.5 to 1, got"):
        NearDuplicates(threshold)
