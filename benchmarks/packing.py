"""
Measure how fast Rust text is packed into blocks, and how much memory it takes.

Three ways are compared on the .rs files of a folder: `pack_documents`, which writes to the disk; the call of the
tokenizer with all texts, which keeps all token ids in Python lists; and `encode_batch_fast` of the library tokenizers,
which is the part that any way with this library has at least. All must give the same tokens. Each runs in a process of
its own with one thread, reading the files included, and they take turns. Seconds are those of the processor, medians
over the rounds.
"""

import argparse
import multiprocessing
import os
import platform
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

from reporting import Columns, add_output, new_parser, write_json
from rich.console import Console

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("--text", type=Path, required=True, help="folder with .rs files")
    parser.add_argument("--megabytes", type=float, default=25.0, help="maximum amount of text to pack, in MB")
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds; medians are reported")
    parser.add_argument("--vocab-size", type=int, default=16384, help="tokens of the tokenizer to train")
    parser.add_argument("--training-megabytes", type=float, default=10.0, help="text to train the tokenizer on, in MB")
    add_output(parser, "results/benchmarks/packing.json")
    options = parser.parse_args()

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from evaluation.rust_files import rust_files
from trainers.data.manifest import PackSettings
from trainers.data.mix import MixedDocument
from trainers.data.pack import pack_documents
from trainers.data.sources import Document
from trainers.data.tokenizer import train_tokenizer

SEQ_LEN = 2048


@dataclass(frozen=True)
class Text:
    """Files to pack, the maximum number of characters to read of them, and the folder of the tokenizer."""

    paths: tuple[Path, ...]
    length: float
    tokenizer: Path

    def codes(self) -> Iterator[str]:
        """Yield the text of each file that is UTF-8."""
        remaining = self.length
        for path in self.paths:
            try:
                code = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            remaining -= len(code)
            if remaining < 0:
                return
            yield code


@dataclass(frozen=True)
class Found:
    """Seconds of the processor, memory at its peak and before in bytes, tokens and their hash, of one run."""

    seconds: float
    peak: int
    before: int
    tokens: int
    sha256: str


def to_disk(text: Text, folder: Path) -> tuple[int, str]:
    """Pack with `pack_documents`; return the number of tokens and their hash."""
    documents = (
        MixedDocument(Document(str(index), "text", "", "file", "unknown", code), "text")
        for index, code in enumerate(text.codes())
    )
    manifest = pack_documents(
        folder, documents, PreTrainedTokenizerFast.from_pretrained(text.tokenizer), PackSettings(SEQ_LEN)
    )
    return manifest.total.tokens, manifest.tokens_sha256


def in_lists(text: Text, folder: Path) -> tuple[int, str]:
    """Call the tokenizer with all texts."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(text.tokenizer)
    settings = {"verbose": False, "return_attention_mask": False, "split_special_tokens": True}
    stream: list[int] = []
    for token_ids in tokenizer(list(text.codes()), **settings)["input_ids"]:
        stream += [*token_ids, tokenizer.eos_token_id]
    array = np.array(stream, dtype=np.uint16)
    return len(array), sha256(array.tobytes()).hexdigest()


def in_batches(text: Text, folder: Path) -> tuple[int, str]:
    """Encode batches with the library tokenizers."""
    tokenizer = PreTrainedTokenizerFast.from_pretrained(text.tokenizer)
    backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    backend.encode_special_tokens = True
    digest, tokens, codes = sha256(), 0, text.codes()
    while batch := list(islice(codes, 64)):
        for encoding in backend.encode_batch_fast(batch):
            array = np.array([*encoding.ids, tokenizer.eos_token_id], dtype=np.uint16)
            digest.update(array.tobytes())
            tokens += len(array)
    return tokens, digest.hexdigest()


CONTENDERS: dict[str, Callable[[Text, Path], tuple[int, str]]] = {
    "pack_documents": to_disk,
    "tokenizer, all texts": in_lists,
    "encode_batch_fast": in_batches,
}


def run(name: str, text: Text) -> Found:
    """Measure one contender in the present process."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    before = peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        tokens, digest = CONTENDERS[name](text, Path(folder))
        seconds = time.process_time() - started
    return Found(seconds, peak_memory(), before, tokens, digest)


def peak_memory() -> int:
    """Memory of the present process at its peak, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure(text: Text, rounds: int) -> dict[str, list[Found]]:
    """Measure all contenders in turns; they must agree on the tokens."""
    found: dict[str, list[Found]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name in CONTENDERS:
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                found[name].append(pool.submit(run, name, text).result())
    different = {(each.tokens, each.sha256) for runs in found.values() for each in runs}
    assert len(different) == 1, f"all ways give the same tokens, not {different}"
    return found


def main(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Measure, print a table and write the results."""
    paths = list(rust_files(options.text).paths)
    # So that a part of the files is one of all folders.
    random.Random(0).shuffle(paths)
    if not paths:
        parser.error(f"--text must be a folder with .rs files, got {options.text}")
    with tempfile.TemporaryDirectory() as place:
        text = Text(tuple(paths), options.megabytes * 1e6, Path(place))
        num_bytes = sum(len(code.encode()) for code in text.codes())
        # Other files where there are enough, so that packing meets new words.
        sample = Text(tuple(paths[::-1]), options.training_megabytes * 1e6, Path(place)).codes()
        train_tokenizer(sample, options.vocab_size, SEQ_LEN).save_pretrained(place)
        found = measure(text, options.rounds)
    medians = {
        name: {
            "seconds": statistics.median(each.seconds for each in runs),
            "megabytes_per_second": num_bytes / 1e6 / statistics.median(each.seconds for each in runs),
            "peak_megabytes": max(each.peak for each in runs) / 1e6,
            "megabytes_before": max(each.before for each in runs) / 1e6,
        }
        for name, runs in found.items()
    }
    columns = Columns(
        ("way", "MB/s per core", "CPU seconds", "peak memory, MB", "before, MB"),
        1,
        [
            [name, *(f"{each[key]:,.1f}" for key in ("megabytes_per_second", "seconds"))]
            + [f"{each[key]:,.0f}" for key in ("peak_megabytes", "megabytes_before")]
            for name, each in medians.items()
        ],
    )
    tokens = found["pack_documents"][0].tokens
    title = f"{num_bytes / 1e6:,.1f} MB of Rust, {tokens:,} tokens, medians of {options.rounds} rounds"
    Console(highlight=False).print(columns.rich(title))
    write_json(
        options.output,
        {
            "benchmark": "packing",
            "machine": platform.machine(),
            "load": os.getloadavg(),
            "bytes": num_bytes,
            "tokens": tokens,
            "vocab_size": options.vocab_size,
            "rounds": options.rounds,
            "ways": medians,
        },
    )


if __name__ == "__main__":
    main(parser, options)
