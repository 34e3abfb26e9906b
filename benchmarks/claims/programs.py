"""Whole programs to train on: those that the compiler accepts, as they come, few of them, and variants of the few."""

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from datasets import Dataset
from reporting import replace_json
from retrofit_training import Corpus
from transformers import PreTrainedTokenizerFast

from claims.settings import ACCEPTED, FEW, SEQ_LEN, UNFILTERED, VARIANTS
from evaluation.rust import RustVerifier
from evaluation.rust.rustc.toolchain import EDITIONS
from evaluation.rust.syntax.analysis import analyze
from trainers.data.augment import KINDS, Augmentation, Original, make_variants
from trainers.data.pack import pack_blocks
from trainers.data.sources.rustdoc import rustdoc_program
from trainers.data.verify import decided

HELD_OUT_SHARE, FEW_SHARE = 0.08, 0.12
HELD_OUT_BLOCKS = 64
HELD_OUT = "held_out"
NUMBERS = re.compile(r"\b(?:[iuf](?:8|16|32|64|128|size)|\d\w*)\b")


@dataclass(frozen=True)
class Program:
    """
    A program.

    Attributes:
        code: Its text, with a `main`.
        page: Page or file of documentation that it is from; those of a page are held out together.
        edition: Edition of Rust.
        accepted: Whether the compiler accepts it.
    """

    code: str
    page: str
    edition: str
    accepted: bool = False

    @property
    def is_held_out(self) -> bool:
        """Whether no training reads its page."""
        return _place(f"page {self.page}") < HELD_OUT_SHARE

    @property
    def is_one_of_few(self) -> bool:
        """Whether it is one of the few, if it is not held out."""
        return _place(f"few {self.code}") < FEW_SHARE


def _place(text: str) -> float:
    """A hash from 0 to 1; salted, because data sets are selected by hashes of code, too."""
    return int.from_bytes(sha256(f"claims {text}".encode()).digest()[:8]) / 2**64


def program_corpora(files: Sequence[Path], tokenizer: PreTrainedTokenizerFast, folder: Path) -> dict[str, Corpus]:
    """
    Compile the programs of files and pack them, or read what an earlier call made of them.

    Args:
        files: Compressed JSON lines with the columns `code` and `edition`, and `id` ("page#number") or `path`.
        tokenizer: Tokenizer of all trainings.
        folder: Folder to keep the blocks in.

    Returns:
        For each of `ACCEPTED`, `UNFILTERED`, `FEW` and `VARIANTS` its text; accepted programs are held out.

    Raises:
        ValueError: The folder has blocks of other files or of another tokenizer.
    """
    names = (ACCEPTED, UNFILTERED, FEW, VARIANTS)
    made_of = {"files": [digest_of(file) for file in files], "tokenizer": sha256(_words(tokenizer)).hexdigest()}
    complete = folder / "made_of.json"
    if complete.exists() and json.loads(complete.read_text()) != made_of:
        raise ValueError(f"{folder} must hold programs of the same files and tokenizer, got others: delete it")
    if not complete.exists():
        programs = _compiled(_read(files))
        training = [program for program in programs if not program.is_held_out]
        accepted = [program for program in training if program.accepted]
        few = [program for program in accepted if program.is_one_of_few]
        texts = {
            ACCEPTED: [program.code for program in accepted],
            UNFILTERED: [program.code for program in training],
            FEW: [program.code for program in few],
            VARIANTS: [*(program.code for program in few), *_variants(few)],
            HELD_OUT: [program.code for program in programs if program.is_held_out and program.accepted],
        }
        for name, each in texts.items():
            blocks = pack_blocks(each, tokenizer, SEQ_LEN).shuffle(seed=0)
            print(f"{name}: {len(each):,} programs, {len(blocks) * SEQ_LEN:,} tokens", flush=True)
            shown = range(min(HELD_OUT_BLOCKS, len(blocks))) if name == HELD_OUT else range(len(blocks))
            blocks.select(shown).flatten_indices().save_to_disk(folder / name)
        replace_json(complete, made_of)
    blocks = {name: Dataset.load_from_disk(str(folder / name)) for name in (*names, HELD_OUT)}
    return {name: Corpus(tokenizer, blocks[name], blocks[HELD_OUT]) for name in names}


def digest_of(file: Path) -> str:
    """SHA-256 of a file."""
    return sha256(file.read_bytes()).hexdigest()


def _words(tokenizer: PreTrainedTokenizerFast) -> bytes:
    return json.dumps(tokenizer.get_vocab(), sort_keys=True).encode()


def _read(files: Sequence[Path]) -> list[Program]:
    """Return the programs; of those that differ only in numbers and their types, the first."""
    found: dict[str, Program] = {}
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if row["edition"] in EDITIONS:
                    page = str(row.get("id") or row["path"]).partition("#")[0]
                    program = Program(rustdoc_program(row["code"]), page, row["edition"])
                    found.setdefault(NUMBERS.sub("0", program.code), program)
    return list(found.values())


def _compiled(programs: Sequence[Program]) -> list[Program]:
    """Return the programs with what the compiler says about them."""
    found = []
    for edition, each in _by_edition(programs).items():
        with RustVerifier(edition) as verifier:
            verdicts = decided(verifier.verify([program.code for program in each], progress=True))
        found += [replace(program, accepted=verdict.ok) for program, verdict in zip(each, verdicts, strict=True)]
    return found


def _by_edition(programs: Sequence[Program]) -> dict[str, list[Program]]:
    found: dict[str, list[Program]] = defaultdict(list)
    for program in programs:
        found[program.edition].append(program)
    return found


def _variants(programs: Sequence[Program]) -> list[str]:
    """Return the variants that the compiler accepts, up to one of each kind for each program."""
    found = []
    # tree-sitter cannot read all that the compiler accepts.
    readable = [program for program in programs if not analyze(program.code).has_error]
    for edition, each in _by_edition(readable).items():
        with RustVerifier(edition) as verifier:
            wanted = [(Original(program.code, program.code), kind) for program in each for kind in KINDS]
            made = make_variants(wanted, Augmentation(), verifier)
        found += [variant.code for variant in made if variant.kept and variant.code]
    return found
