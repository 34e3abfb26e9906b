"""
Measure how fast the verifier is, against one compiler call per program with the same number of workers.

    NANOCHAT_DATA=data python benchmarks/verifier.py

The contenders take turns on each workload, so that a machine that slows down slows all of them. Medians over the
rounds are reported. Caches are empty except where the cache itself is measured, and the sandbox is on except where
noted.
"""

import gzip
import json
import os
import platform
import random
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reporting import add_output, new_parser, write_json
from rich.console import Console
from rich.table import Table

from evaluation.options import add_former_name
from evaluation.rust import RustVerifier
from evaluation.rust.rustc.routing import must_compile_alone
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.rust.syntax.analysis import analyze

TOOLCHAIN = find_toolchain()


@dataclass(frozen=True)
class Workload:
    """Programs by edition, with the crate type of each."""

    name: str
    codes: dict[str, list[tuple[str, str]]]

    def __len__(self) -> int:
        return sum(map(len, self.codes.values()))

    def batched(self) -> int:
        """Number of programs that are compiled together with others."""
        return sum(
            must_compile_alone(code.encode(), analyze(code), edition, crate_type) is None
            for edition, rows in self.codes.items()
            for code, crate_type in rows
        )


def rows_of(name: str) -> list[dict]:
    """Rows of a data set in `NANOCHAT_DATA`."""
    with gzip.open(Path(os.environ["NANOCHAT_DATA"], f"{name}.jsonl.gz")) as file:
        return [json.loads(line) for line in file]


def mixed(limit: int) -> Workload:
    """The compiler documentation's own examples, good and bad."""
    programs: dict[str, list[tuple[str, str]]] = {}
    for row in [row for row in rows_of("rustc_ui") if row["edition"] in ("2021", "2024")][:limit]:
        programs.setdefault(row["edition"], []).append((row["code"], row["crate_type"]))
    return Workload("mixed: rustc's documentation", programs)


def mostly_valid(limit: int) -> Workload:
    """HumanEval's solutions, and every twentieth again with a word removed."""
    generator = random.Random(0)
    rows = []
    for index, row in enumerate(rows_of("humaneval_rust")[:limit]):
        code = row["declaration"] + row["canonical_solution"] + "\n" + row["support"]
        rows.append((code, "lib"))
        if index % 20 == 0:
            words = code.split(" ")
            words.pop(generator.randrange(len(words) // 2, len(words)))
            rows.append((" ".join(words), "lib"))
    return Workload("mostly valid: HumanEval, 5 % mutants", {"2021": rows})


def batched(workload: Workload, workers: int) -> float:
    """Verify with the verifier in the usual way."""
    seconds = 0.0
    for edition, rows in workload.codes.items():
        with RustVerifier(edition, workers) as verifier:
            seconds += seconds_of(lambda rows=rows: verifier.verify([code for code, _ in rows]))
    return seconds


def one_by_one(workload: Workload, workers: int) -> float:
    """Compile each program alone in the same sandbox."""
    seconds = 0.0
    for edition, rows in workload.codes.items():
        with RustVerifier(edition, workers) as verifier, ThreadPoolExecutor(workers) as pool:
            started = time.perf_counter()
            programs = [code.encode() for code, _ in rows]
            list(pool.map(verifier.resources.compiler.compile_alone, programs, [crate_type for _, crate_type in rows]))
            seconds += time.perf_counter() - started
    return seconds


def bare(workload: Workload, workers: int) -> float:
    """Compile each program alone without a sandbox, as a script would."""

    def compile_alone(row: tuple[str, str, str]):
        edition, code, crate_type = row
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "candidate.rs").write_text(code)
            command = [
                TOOLCHAIN.rustc,
                "--edition",
                edition,
                "--crate-type",
                crate_type,
                "--emit=metadata",
                "-A",
                "warnings",
            ]
            subprocess.run([*command, "--out-dir", folder, "candidate.rs"], cwd=folder, capture_output=True)

    rows = [(edition, *row) for edition, rows in workload.codes.items() for row in rows]
    with ThreadPoolExecutor(workers) as pool:
        return seconds_of(lambda: list(pool.map(compile_alone, rows)))


CONTENDERS: dict[str, Callable[[Workload, int], float]] = {
    "verifier": batched,
    "one rustc per code, sandboxed": one_by_one,
    "one rustc per code, no sandbox": bare,
}


def seconds_of(work: Callable[[], object]) -> float:
    """Seconds of wall time; the start of a verifier, once per process, is not measured."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(workload: Workload, workers: int, rounds: int) -> dict:
    """Measure all contenders in turns."""
    walls: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(rounds):
        for name, run in CONTENDERS.items():
            walls[name].append(run(workload, workers))
    medians = {name: statistics.median(values) for name, values in walls.items()}
    ratios = {
        name: statistics.median(b / a for a, b in zip(walls["verifier"], values, strict=True))
        for name, values in walls.items()
    }
    return {
        "workload": workload.name,
        "programs": len(workload),
        "batched": workload.batched(),
        "seconds": medians,
        "programs_per_second": {name: len(workload) / value for name, value in medians.items()},
        "speedup_of_the_verifier": ratios,
    }


def measure_cache(programs: Sequence[str], rounds: int) -> dict:
    """Verdicts per second from memory, and from the file as in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        with RustVerifier(cache_dir=folder) as verifier:
            verifier.verify(programs)
        many = [code for code in programs for _ in range(1 + 20_000 // len(programs))]
        with RustVerifier(cache_dir=folder) as verifier:
            verifier.verify(programs)
            memory = statistics.median(seconds_of(lambda: verifier.verify(many)) for _ in range(rounds))
            distinct = statistics.median(seconds_of(lambda: verifier.verify(programs)) for _ in range(rounds))
        disk = []
        for _ in range(rounds):
            with RustVerifier(cache_dir=folder) as verifier:
                disk.append(seconds_of(lambda: verifier.verify(programs)))
    return {
        "memory_per_second": len(many) / memory,
        "memory_distinct_per_second": len(programs) / distinct,
        "disk_per_second": len(programs) / statistics.median(disk),
    }


def measure_routing(workload: Workload, rounds: int) -> dict:
    """CPU time of parsing, measuring and routing in one thread."""
    rows = [(edition, *row) for edition, rows in workload.codes.items() for row in rows]
    kilobytes = sum(len(code.encode()) for _, code, _ in rows) / 1024
    times = []
    for _ in range(rounds):
        started = time.process_time()
        for edition, code, crate_type in rows:
            must_compile_alone(code.encode(), analyze(code), edition, crate_type)
        times.append(time.process_time() - started)
    return {"milliseconds_per_kilobyte": statistics.median(times) / kilobytes * 1000, "kilobytes": kilobytes}


def measure_floor(rounds: int) -> dict:
    """Minimum time of a compiler call: an empty library, bare and in the sandbox."""
    nothing = Workload("nothing", {"2021": [("", "lib")] * 20})
    with RustVerifier(workers=1) as verifier:
        compiler = verifier.resources.compiler
        sandboxed = [seconds_of(lambda: compiler.compile_alone(b"", "lib")) for _ in range(20 * rounds)]
    without = [bare(nothing, 1) / 20 for _ in range(rounds)]
    return {"sandboxed_ms": statistics.median(sandboxed) * 1000, "bare_ms": statistics.median(without) * 1000}


def main():
    """Measure, print a table and write the results."""
    parser = new_parser(__doc__)
    add_former_name(
        parser,
        "--workers",
        parser.add_argument(
            "--num-workers",
            type=int,
            default=len(os.sched_getaffinity(0)),
            dest="workers",
            help="number of compilers at the same time",
        ),
    )
    parser.add_argument("--rounds", type=int, default=3, help="number of rounds; medians are reported")
    parser.add_argument("--limit", type=int, default=10**6, help="maximum number of programs per workload")
    add_output(parser, "results/benchmarks/verifier.json")
    options = parser.parse_args()
    if "NANOCHAT_DATA" not in os.environ:
        parser.error("NANOCHAT_DATA must name the folder with rustc_ui.jsonl.gz and humaneval_rust.jsonl.gz")

    console = Console(highlight=False)
    workloads = [mixed(options.limit), mostly_valid(options.limit)]
    with console.status("measuring"):
        results = [measure(workload, options.workers, options.rounds) for workload in workloads]
        valid = [code for rows in workloads[1].codes.values() for code, _ in rows]
        unique = [f"{code}\n// {number}" for number in range(1 + 4000 // len(valid)) for code in valid][:4000]
        cache = measure_cache(unique, options.rounds)
        routing = measure_routing(workloads[0], options.rounds)
        floor = measure_floor(options.rounds)

    table = Table(title=f"{options.workers} workers, rustc {TOOLCHAIN.version}, medians of {options.rounds} rounds")
    for column in (
        "workload",
        "programs",
        "in batches",
        "contender",
        "programs/s",
        "per core",
        "verifier is faster by",
    ):
        table.add_column(column, justify="left" if column in ("workload", "contender") else "right")
    for result in results:
        for name in CONTENDERS:
            first = name == "verifier"
            speed = result["programs_per_second"][name]
            table.add_row(
                result["workload"] if first else "",
                str(result["programs"]) if first else "",
                f"{result['batched'] / result['programs']:.0%}" if first else "",
                name,
                f"{speed:.0f}",
                f"{speed / options.workers:.0f}",
                "" if first else f"{result['speedup_of_the_verifier'][name]:.1f}x",
            )
        table.add_section()
    console.print(table)
    console.print(
        f"cache: {cache['memory_distinct_per_second']:,.0f} verdicts/s from memory "
        f"({cache['memory_per_second']:,.0f} with repeats), {cache['disk_per_second']:,.0f} from disk\n"
        f"parsing and routing: {routing['milliseconds_per_kilobyte']:.2f} ms per KB\n"
        f"floor, an empty compiler call: {floor['bare_ms']:.0f} ms bare, {floor['sandboxed_ms']:.0f} ms sandboxed"
    )
    report = {
        "benchmark": "verifier",
        "rustc": TOOLCHAIN.identity,
        "machine": platform.machine(),
        "workers": options.workers,
        "rounds": options.rounds,
        "load": os.getloadavg(),
        "workloads": results,
        "cache": cache,
        "routing": routing,
        "floor": floor,
    }
    write_json(options.output, report)


if __name__ == "__main__":
    main()
