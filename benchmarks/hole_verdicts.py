"""
Measure verdicts per second on bodies of functions of real crates, against one `cargo test` for each body.

    HF_ALLOW_CODE_EVAL=1 python benchmarks/hole_verdicts.py --crates FOLDER --tasks holes.jsonl

`nanochat-ternary data holes` makes the tasks. A quarter of the bodies are their solutions, the others are stubs and
mutants, each with a comment that makes it different. The contender of the verifier is cargo in the same sandbox, with
the crate's dependencies already compiled: for each body the file is replaced and `cargo test --lib` runs the tests of
the function, by as many cargos at the same time as the verifier has workers. cargo judges only a sample of the bodies,
and both must agree on it. Bodies that never end, for which cargo has no limit, are found before and left out. The
cache has no verdict, and the dependencies of each crate are compiled before.
"""

import argparse
import os
import platform
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from reporting import Columns, add_output, add_report, new_parser, write_json

from evaluation.tables import plain_console, print_table

if __name__ == "__main__":
    parser = new_parser(__doc__)
    parser.add_argument("--crates", type=Path, required=True, help="folder of crate sources")
    parser.add_argument("--tasks", type=Path, required=True, help="hole tasks, as JSON lines")
    parser.add_argument("--max-crates", type=int, default=8, help="maximum number of crates")
    parser.add_argument("--bodies", type=int, default=256, help="number of bodies of each crate")
    parser.add_argument("--cargo-bodies", type=int, default=6, help="number of these that cargo judges as well")
    parser.add_argument(
        "--num-workers",
        type=int,
        default=len(os.sched_getaffinity(0)),
        help="number of compilers at the same time",
    )
    add_output(parser, "results/benchmarks/hole_verdicts.json")
    add_report(parser, "docs/hole_verdicts.md")
    options = parser.parse_args()

from evaluation.rust import Verdict
from evaluation.rust.crates.holes.dispatch import as_archive
from evaluation.rust.crates.holes.hole_tests import HoleTests
from evaluation.rust.crates.holes.hole_verifier import HoleVerifier
from evaluation.rust.crates.holes.manifest_for_tests import manifest_for_tests
from evaluation.rust.crates.holes.testable import OpenCrate
from evaluation.rust.crates.holes.warm import LIMITS, cargo_test
from evaluation.rust.sandbox.runner import OPT_IN, Command
from trainers.data.tasks.holes import HoleTask, read_holes
from trainers.data.tasks.wrong_bodies import mutated_bodies, stubs

PAGE = """# Judging functions of real crates

Written by

```bash
HF_ALLOW_CODE_EVAL=1 nanochat-ternary data holes --crates FOLDER --output holes.jsonl
HF_ALLOW_CODE_EVAL=1 python benchmarks/hole_verdicts.py --crates FOLDER --tasks holes.jsonl \\
    --report docs/hole_verdicts.md
```

Verdicts per second on bodies of functions (a quarter of them solutions, the others stubs and
mutants), and calls of `cargo test` per second on a sample of the same bodies, in one run:
{workers}. The file had {tasks:,} tasks from {crates:,} crates.

{table}
"""
SUMMARY = b"test result: ok. "


@dataclass(frozen=True)
class Measured:
    """Verdicts on bodies of one crate."""

    crate: str
    functions: int
    bodies: int
    valid: int
    seconds: float
    cargo_bodies: int
    cargo_seconds: float
    """Wall time of cargo for its bodies, with several at the same time."""


def bodies_of(tasks: Sequence[HoleTask], crate: OpenCrate) -> list[tuple[str, HoleTests]]:
    """Solutions, stubs and mutants for the functions of a crate; a quarter are solutions."""
    wrong = []
    for task in tasks:
        function = crate.functions[task.function]
        others = [*stubs(function.head), *mutated_bodies(function.head, function.body)]
        wrong += [(body.body, task.hole_tests) for body in others]
    right = [("{" + task.solution, task.hole_tests) for task in tasks]
    right = [right[index % len(right)] for index in range(len(wrong) // 3)]
    return right + wrong


def repeated(bodies: Sequence[tuple[str, HoleTests]], count: int) -> list[tuple[str, HoleTests]]:
    """Repeat bodies in a random order, each time with another comment, so that no two are equal."""
    chosen = list(bodies)
    random.Random(0).shuffle(chosen)
    every = [chosen[index % len(chosen)] for index in range(count)]
    return [(f"{{ // {index}\n{body[1:]}", tests) for index, (body, tests) in enumerate(every)]


def by_cargo(
    crate: OpenCrate, bodies: Sequence[tuple[str, HoleTests]], verifier: HoleVerifier
) -> tuple[list[bool], float]:
    """Judge bodies by one `cargo test` each, one after the other; return the answers and the seconds."""
    package = crate.warm.package
    manifest, features = manifest_for_tests(package, verifier.crates)
    cargo, environment = cargo_test(verifier.toolchain, verifier.warm_crates.staged, features)
    base = {"Cargo.toml": manifest.encode()} | crate.changed
    files = {"base.tar": as_archive(base)}
    commands = [
        Command(["/bin/cp", "-r", str(crate.warm.source), "{directory}/crate"]),
        Command(["/bin/rm", "-rf", "crate/Cargo.lock", "crate/.cargo"]),
        Command(["/bin/chmod", "-R", "u+w", "crate"]),
        Command(["/bin/tar", "-xf", "base.tar", "-C", "crate"]),
        Command([*cargo, "--no-run"], environment),
    ]
    prepared = len(commands)
    for index, (body, tests) in enumerate(bodies):
        function = crate.functions[tests.function]
        code = crate.sources[function.path].code
        changed = code[: function.body_start] + body.encode() + code[function.body_end :]
        files[f"{index}.tar"] = as_archive({function.path: changed})
        run = [*cargo, "--", "--exact", "--test-threads=1", *tests.tests]
        commands.append(Command(["/bin/tar", "--touch", "-xf", f"{index}.tar", "-C", "crate"]))
        commands.append(Command(["/bin/sh", "-c", '"$@" || true', "cargo", *run], environment))
        original = as_archive({function.path: code})
        files[f"{index}.original.tar"] = original
        commands.append(Command(["/bin/tar", "--touch", "-xf", f"{index}.original.tar", "-C", "crate"]))
    results = verifier.sandbox.run(files, commands, LIMITS)
    assert len(results) == len(commands), results[-1].stderr.decode()[-2000:]
    runs = results[prepared:]
    answers = [
        SUMMARY + str(len(tests.tests)).encode() + b" passed" in run.stdout
        for run, (_, tests) in zip(runs[1::3], bodies, strict=True)
    ]
    return answers, sum(run.seconds for run in runs)


def measure(tasks: Sequence[HoleTask], verifier: HoleVerifier, bodies: int, cargo_bodies: int) -> Measured:
    """Measure both on one crate; they must agree."""
    tests = [task.hole_tests for task in tasks]
    verifier.check_tests(tests)
    crate = verifier.open(verifier.crates.packages[tests[0].package])
    distinct = bodies_of(tasks, crate)
    ended = verifier.verify([body for body, _ in distinct], [test for _, test in distinct], rules="data")
    pairs = repeated(
        [pair for pair, verdict in zip(distinct, ended, strict=True) if verdict.status != "timeout"], bodies
    )
    started = time.perf_counter()
    verdicts: list[Verdict] = verifier.verify([body for body, _ in pairs], [test for _, test in pairs], rules="data")
    seconds = time.perf_counter() - started
    sample = range(cargo_bodies)
    workers = min(verifier.workers, len(sample))
    parts = [sample[start::workers] for start in range(workers)]
    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(lambda part: by_cargo(crate, [pairs[index] for index in part], verifier), parts))
    for part, (answers, _) in zip(parts, found, strict=True):
        ours = [verdicts[index].ok for index in part]
        assert ours == answers, f"{tests[0].package}: the verdicts {ours} are not those of cargo, {answers}"
    return Measured(
        tests[0].package,
        len(tasks),
        len(pairs),
        sum(verdict.ok for verdict in verdicts),
        seconds,
        len(sample),
        max(taken for _, taken in found),
    )


def main(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Measure, print a table and write the results."""
    if os.environ.get(OPT_IN) != "1":
        parser.error(f"this runs programs in the sandbox: set {OPT_IN}=1 to allow it")
    tasks = read_holes(options.tasks)
    names = list(dict.fromkeys(task.hole_tests.package for task in tasks))[: options.max_crates]
    console = plain_console()
    found: list[Measured] = []
    with HoleVerifier(options.crates, workers=options.num_workers) as verifier, console.status("measuring"):
        for name in names:
            own = [task for task in tasks if task.hole_tests.package == name]
            found.append(measure(own, verifier, options.bodies, options.cargo_bodies))
        rustc = verifier.toolchain.identity
        level = verifier.sandbox.level
    bodies, seconds = sum(each.bodies for each in found), sum(each.seconds for each in found)
    cargo_bodies, cargo_seconds = sum(each.cargo_bodies for each in found), sum(each.cargo_seconds for each in found)
    every = Measured(
        "all",
        sum(each.functions for each in found),
        bodies,
        sum(each.valid for each in found),
        seconds,
        cargo_bodies,
        cargo_seconds,
    )
    rows = []
    for each in (*found, every):
        speed, cargo_speed = each.bodies / each.seconds, each.cargo_bodies / each.cargo_seconds
        cells = [each.crate, str(each.functions), str(each.bodies), str(each.valid)]
        rows.append([*cells, f"{speed:.1f}", f"{cargo_speed:.2f}", f"{speed / cargo_speed:.0f}x"])
    titles = ("crate", "functions", "bodies", "valid", "verdicts/s", "cargo test/s", "faster by")
    table = Columns(titles, 1, rows)
    workers = f"{options.num_workers} workers, sandbox level {level}"
    print_table(console, table.rich(workers))
    if options.report:
        in_all = Counter(task.hole_tests.package for task in tasks)
        options.report.write_text(
            PAGE.format(table=table.markdown(), workers=workers, tasks=len(tasks), crates=len(in_all))
        )
    report = {
        "benchmark": "hole_verdicts",
        "rustc": rustc,
        "machine": platform.machine(),
        "workers": options.num_workers,
        "sandbox_level": level,
        "load": os.getloadavg(),
        "crates": [vars(each) for each in found],
        "verdicts_per_second": bodies / seconds,
        "cargo_tests_per_second": cargo_bodies / cargo_seconds,
    }
    write_json(options.output, report)


if __name__ == "__main__":
    main(parser, options)
