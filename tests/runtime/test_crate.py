"""The crate passes its own tests, and its tokenizer gives the ids of the `tokenizers` library."""

import gzip
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import AddedToken, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tests.helpers.runtime_crate import CRATE, build_example, run_cargo
from tests.helpers.stored import DATA, needs_data
from trainers.data.tokenizer import train_tokenizer

pytestmark = pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")
CHARACTERS = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
FRAGMENTS = [" ", "  ", "\n", "\t", "'", "'s", "'ll", "a", "fn", "B", "1", "42", "²", "é", "\u3000", "\u0301"]
FRAGMENTS += ["<|bos|>", "<|eos|>", "<|bos", "<|fim_middle|>", "::<>", "//", "_"]


def random_text(size: int, seed: int) -> str:
    """Text of about this many bytes from all of Unicode and from fragments that the splitting treats differently."""
    chosen, parts, length = random.Random(seed), [], 0
    while length < size:
        parts.append(chosen.choice(CHARACTERS if chosen.random() < 0.4 else FRAGMENTS))
        length += len(parts[-1].encode())
    return "".join(parts)


def rust_ids(example: Path, folder: Path, text: str) -> list[int]:
    """Token ids of a text by the crate."""
    done = subprocess.run([example, folder], input=text.encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return [int(token) for token in done.stdout.split()]


def with_digits(tokenizer: PreTrainedTokenizerFast) -> None:
    """Split every digit, as the tokenizers of Ouro's checkpoints do."""
    words = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(True), words])


def with_overlapping_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    """Add tokens that begin alike, and tokens that are looked for before and after the others."""
    tokenizer.add_tokens(["//", AddedToken("fn::<>", normalized=False), AddedToken("fn::", normalized=True), "::<>_"])


def as_trained(tokenizer: PreTrainedTokenizerFast) -> None:
    """Change nothing."""


@pytest.mark.slow
def test_the_crate_passes_its_own_tests(target):
    run_cargo(target, "test")


@pytest.mark.parametrize("change", [as_trained, with_digits, with_overlapping_tokens])
def test_ids_equal_those_of_the_tokenizers_library(
    target, tmp_path, change: Callable[[PreTrainedTokenizerFast], None]
):
    rust = "\n".join(path.read_text() for path in sorted((CRATE / "src").glob("*.rs")))
    tokenizer = train_tokenizer([rust], vocab_size=700, max_length=64, fill_in_the_middle=True)
    change(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    text = rust[:60_000] + random_text(140_000, seed=0)
    assert rust_ids(build_example(target, "tokenize"), tmp_path, text) == tokenizer(text, verbose=False)["input_ids"]


@pytest.mark.slow
@needs_data
def test_ids_are_equal_on_ten_megabytes(target):
    assert DATA is not None
    folder, rows, size = Path(DATA, "nano_h100"), [], 0
    with gzip.open(Path(DATA, "rust_corpus.jsonl.gz"), "rt") as lines:
        for line in lines:
            rows.append(json.loads(line)["text"])
            size += len(rows[-1].encode())
            if size > 7_000_000:
                break
    text = "".join(rows) + random_text(10_000_000 - size, seed=1) + "".join(f"{one} {one}a" for one in CHARACTERS)
    assert len(text.encode()) > 10_000_000
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    ids = tokenizer(text, verbose=False)["input_ids"]
    assert rust_ids(build_example(target, "tokenize", release=True), folder, text) == ids


@pytest.mark.slow
def test_the_character_classes_are_those_of_the_installed_tokenizers_library():
    done = subprocess.run([sys.executable, CRATE / "unicode_table.py"], capture_output=True, text=True, check=True)
    assert done.stdout == (CRATE / "src" / "unicode_table.rs").read_text()


def test_unsafe_code_is_in_the_kernels_the_pool_and_the_c_boundary_only():
    sources = [path.relative_to(CRATE / "src") for path in (CRATE / "src").rglob("*.rs")]
    others = [path for path in sources if path.parts[0] not in ("kernels", "pool.rs", "capi.rs")]
    assert Path("tokenizer.rs") in others
    unsafe = re.compile(r"^(?!\s*//).*\bunsafe\s*(\{|fn|impl|extern|trait)", re.MULTILINE)
    assert [str(path) for path in others if unsafe.search((CRATE / "src" / path).read_text())] == []


def test_a_tokenizer_of_another_kind_is_refused_with_its_field(target, tmp_path):
    tokenizer = train_tokenizer(["fn main() {}"], vocab_size=300, max_length=64)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save_pretrained(tmp_path)
    done = subprocess.run([build_example(target, "tokenize"), tmp_path], input=b"fn", capture_output=True)
    assert done.returncode == 1
    assert b"tokenizer.json: pre_tokenizer must be ByteLevel, or Digits and ByteLevel, got" in done.stderr
