"""Find which unit tests of a crate call which of its functions, by running every test in a process of its own."""

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from evaluation.rust.crates.holes.dispatch import marked
from evaluation.rust.crates.holes.functions import Function
from evaluation.rust.crates.holes.hole_verifier import HoleVerifier
from evaluation.rust.crates.holes.programs import Program
from evaluation.rust.crates.holes.testable import OpenCrate
from evaluation.rust.crates.holes.warm import NotBuilt
from evaluation.rust.judge.appended import passed_of_libtest
from evaluation.rust.sandbox.runner import Limits

MAX_TESTS = 2000
RUNS = 2  # a test must pass in each, and reach the same functions


def tests_of_functions(
    verifier: HoleVerifier, crate: OpenCrate, most: int, seconds: float
) -> dict[Function, tuple[str, ...]]:
    """
    Return the unit tests that reach each function. Those that reach the fewest functions come first.

    Args:
        verifier: Builds and runs the tests; several at the same time, as it has workers.
        crate: The crate.
        most: Maximum number of tests of a function.
        seconds: Maximum time of the tests of a function together, in seconds. Slower tests are left out.

    Raises:
        NotBuilt: The crate does not compile with the marks, or has no unit tests.
        SandboxFailure: The sandbox failed.
    """
    functions = list(crate.functions.values())
    changes = marked(crate.sources, crate.warm.package.library_path, functions)
    compilation, program = verifier.programs.build(crate.warm, crate.changed | changes, {})
    if program is None:
        told = [error.message for error in compilation.unplaced] or [compilation.reason]
        raise NotBuilt(f"its functions cannot be marked: {told[0]}")
    limits = verifier.run_limits
    try:
        names = verifier.programs.listed(program, limits)[:MAX_TESTS]
        if not names:
            raise NotBuilt("it has no tests")
        with ThreadPoolExecutor(verifier.workers) as pool:
            found = list(pool.map(lambda name: _reached(verifier, program, name, limits), names))
    finally:
        program.remove()
    reaching: dict[Function, list[tuple[int, str, float]]] = defaultdict(list)
    for name, (reached, took) in zip(names, found, strict=True):
        for number in reached:
            if number < len(functions):
                reaching[functions[number]].append((len(reached), name, took))
    chosen = {function: _specific(reaching[function], most, seconds) for function in functions if reaching[function]}
    return {function: tests for function, tests in chosen.items() if tests}


def _reached(verifier: HoleVerifier, program: Program, name: str, limits: Limits) -> tuple[set[int], float]:
    """Return the functions that a test always reaches, none if it does not always pass, and its seconds."""
    common: set[int] | None = None
    took = 0.0
    for _ in range(RUNS):
        completed, numbers = verifier.programs.run_marked(program, name, limits)
        passed = passed_of_libtest(completed.stdout.decode("utf-8", "replace"))
        if completed.status != 0 or passed != 1:
            return set(), 0.0
        common = set(numbers) if common is None else common & set(numbers)
        took = max(took, completed.seconds)
    return common or set(), took


def _specific(tests: Sequence[tuple[int, str, float]], most: int, seconds: float) -> tuple[str, ...]:
    chosen, left = [], seconds
    for _, name, took in sorted(tests)[:most]:
        if took <= left:
            chosen.append(name)
            left -= took
    return tuple(chosen)
