"""Whole programs to train on: those that the compiler accepts, as they come, few of them, and variants of the few."""

import gzip
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from datasets import Dataset
from retrofit_training import Corpus
from transformers import PreTrainedTokenizerFast

from claims.settings import ACCEPTED, FEW, SEQ_LEN, UNFILTERED, VARIANTS
from evaluation.rust import RustVerifier
from evaluation.rust.rustc.toolchain import EDITIONS
from trainers.data.augment import KINDS, Augmentation, Original, make_variants
from trainers.data.pack import pack_blocks
from trainers.data.sources.rustdoc import rustdoc_program
from trainers.data.verify import decided

HELD_OUT_SHARE, FEW_SHARE = 0.08, 0.12
HELD_OUT_BLOCKS = 64


@dataclass(frozen=True)
class Program:
    """
    A program.

    Attributes:
        code: Its text, with a `main`.
        edition: Edition of Rust.
        accepted: Whether the compiler accepts it.
    """

    code: str
    edition: str
    accepted: bool

    @property
    def place(self) -> float:
        """A hash from 0 to 1, by which it is held out or taken as one of the few."""
        return int.from_bytes(sha256(self.code.encode()).digest()[:8]) / 2**64


def program_corpora(files: Sequence[Path], tokenizer: PreTrainedTokenizerFast, folder: Path) -> dict[str, Corpus]:
    """
    Compile the programs of files and pack them, or read what an earlier call made of them.

    Args:
        files: Compressed JSON lines with the columns `code` and `edition`.
        tokenizer: Tokenizer of all trainings.
        folder: Folder to keep the blocks in.

    Returns:
        For each of `ACCEPTED`, `UNFILTERED`, `FEW` and `VARIANTS` its text; accepted programs are held out.
    """
    names = (ACCEPTED, UNFILTERED, FEW, VARIANTS)
    if not (folder / "held_out").exists():
        programs = _compiled(_read(files))
        training = [program for program in programs if program.place >= HELD_OUT_SHARE]
        accepted = [program for program in training if program.accepted]
        few = [program for program in accepted if program.place < HELD_OUT_SHARE + FEW_SHARE]
        texts = {
            ACCEPTED: [program.code for program in accepted],
            UNFILTERED: [program.code for program in training],
            FEW: [program.code for program in few],
            VARIANTS: [*(program.code for program in few), *_variants(few)],
            "held_out": [program.code for program in programs if program.place < HELD_OUT_SHARE and program.accepted],
        }
        for name, each in texts.items():
            blocks = pack_blocks(each, tokenizer, SEQ_LEN).shuffle(seed=0)
            print(f"{name}: {len(each):,} programs, {len(blocks) * SEQ_LEN:,} tokens", flush=True)
            shown = range(min(HELD_OUT_BLOCKS, len(blocks))) if name == "held_out" else range(len(blocks))
            blocks.select(shown).flatten_indices().save_to_disk(folder / name)
    held_out = Dataset.load_from_disk(str(folder / "held_out"))
    return {name: Corpus(tokenizer, Dataset.load_from_disk(str(folder / name)), held_out) for name in names}


def _read(files: Sequence[Path]) -> dict[str, str]:
    """Return the edition of each program."""
    found: dict[str, str] = {}
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                if row["edition"] in EDITIONS:
                    found.setdefault(rustdoc_program(row["code"]), row["edition"])
    return found


def _compiled(editions: dict[str, str]) -> list[Program]:
    by_edition: dict[str, list[str]] = defaultdict(list)
    for code, edition in editions.items():
        by_edition[edition].append(code)
    programs = []
    for edition, codes in by_edition.items():
        with RustVerifier(edition) as verifier:
            verdicts = decided(verifier.verify(codes, progress=True))
        programs += [Program(code, edition, verdict.ok) for code, verdict in zip(codes, verdicts, strict=True)]
    return programs


def _variants(programs: Sequence[Program]) -> list[str]:
    """Return the variants that the compiler accepts, up to one of each kind for each program."""
    augmentation, found = Augmentation(), []
    by_edition: dict[str, list[Original]] = defaultdict(list)
    for program in programs:
        by_edition[program.edition].append(Original(program.code, program.code))
    for edition, originals in by_edition.items():
        with RustVerifier(edition) as verifier:
            wanted = [(original, kind) for original in originals for kind in KINDS]
            found += [each.code for each in make_variants(wanted, augmentation, verifier) if each.kept and each.code]
    return found
