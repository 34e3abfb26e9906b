"""
Measure the filters of training data: near-duplicates and decontamination.

    NANOCHAT_DATA=data python benchmarks/data_filters.py data/rust_corpus.jsonl.gz ~/.cargo/registry/src

Reads JSON lines with a column `code` or `text`, and folders of .rs files. Prints for each the documents and bytes, the
speed on one core, the peak memory, what each filter drops, and a random sample of it to look at.
"""

import argparse
import gzip
import json
import random
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from reporting import add_output, new_parser, write_json

from evaluation.options import add_seed

if __name__ == "__main__":
    # `--help` needs no PyTorch.
    parser = new_parser(__doc__)
    parser.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="JSON lines, or folder of .rs files")
    parser.add_argument("--samples", type=int, default=20, help="dropped documents to print for each filter")
    add_seed(parser, "seed of the sample")
    add_output(parser, "results/benchmarks/data_filters.json")
    options = parser.parse_args()

from evaluation.tables import plain_console
from trainers.data.benchmark_problems import load_benchmarks
from trainers.data.decontamination import Contamination, ContaminationReport, controls
from trainers.data.duplicates import NearDuplicates, signatures

BATCH = 64


@dataclass(frozen=True)
class Measurement:
    """
    Results of one input.

    Attributes:
        documents: Number of documents.
        bytes: Of their text in UTF-8.
        signature_seconds: Processor time for the signatures.
        search_seconds: Processor time to search for near-duplicates in the signatures.
        check_seconds: Processor time to search for benchmark problems.
        duplicates: Number of near-duplicates.
        duplicate_bytes: Their bytes.
        contaminated: Number of documents to drop, by problem of a benchmark with scores.
        matches: Number of documents by benchmark and rule, without scores included.
        peak_megabytes: Peak memory of the process so far.
    """

    documents: int
    bytes: int
    signature_seconds: float
    search_seconds: float
    check_seconds: float
    duplicates: int
    duplicate_bytes: int
    contaminated: dict[str, int]
    matches: dict[str, int]
    peak_megabytes: float


def documents(path: Path) -> Iterator[tuple[str, str]]:
    """Yield names and texts, one document at a time."""
    if path.is_dir():
        for file in sorted(path.rglob("*.rs")):
            text = file.read_bytes().decode("utf-8", "replace")
            yield str(file.relative_to(path)), text
        return
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for number, line in enumerate(lines, 1):
            row = json.loads(line)
            text = row["code"] if "code" in row else row["text"]
            yield f"{row.get('repo', '')}/{row.get('path', number)}", text


def measure(path: Path, contamination: Contamination, samples: int, seed: int) -> Measurement:
    """Run both filters on an input, and print a sample of what they drop."""
    index, report = NearDuplicates(), ContaminationReport()
    duplicates: list[str] = []
    dropped: list[str] = []
    problems: dict[str, int] = {}
    size = duplicate_bytes = count = 0
    signing = searching = checking = 0.0
    stream = documents(path)
    while batch := list(islice(stream, BATCH)):
        count += len(batch)
        size += sum(len(text.encode()) for _, text in batch)
        started = time.process_time()
        rows = signatures([text for _, text in batch])
        signed = time.process_time()
        for (name, text), row in zip(batch, rows, strict=True):
            other = index.find(row, name)
            if other is not None:
                duplicates.append(f"{name} = {other}")
                duplicate_bytes += len(text.encode())
        searched = time.process_time()
        for name, text in batch:
            match = contamination.check(text)
            report.add(match)
            if match is not None and match.scored:
                dropped.append(f"{name}: {match.benchmark} {match.problem} by {match.rule}: {match.words}")
                problem = f"{match.benchmark} {match.problem}"
                problems[problem] = problems.get(problem, 0) + 1
        signing += signed - started
        searching += searched - signed
        checking += time.process_time() - searched
    print(f"{path}: {count:,} documents, {size / 1e6:.1f} MB")
    print(f"signatures {size / 1e6 / signing:.1f} MB/s, search {count / searching:,.0f} documents/s")
    print(f"benchmarks {size / 1e6 / checking:.1f} MB/s")
    plain_console().print(report.table(contamination.benchmarks))
    generator = random.Random(seed)
    for title, names in (("near-duplicates", duplicates), ("contaminated", dropped)):
        print(f"{len(names):,} {title}, among them:")
        for name in generator.sample(names, min(samples, len(names))):
            print(f"  {name}")
    return Measurement(
        count,
        size,
        signing,
        searching,
        checking,
        len(duplicates),
        duplicate_bytes,
        problems,
        {" ".join(key): found for key, found in sorted(report.matches.items())},
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    )


def main(options: argparse.Namespace) -> None:
    """Measure all inputs."""
    loaded = load_benchmarks()
    print(loaded.coverage())
    contamination = Contamination(loaded.benchmarks)
    print(controls(contamination))
    found = {str(path): measure(path, contamination, options.samples, options.seed) for path in options.inputs}
    write_json(options.output, {name: vars(measurement) for name, measurement in found.items()})


if __name__ == "__main__":
    main(options)
