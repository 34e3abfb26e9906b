"""
Number of type errors per package, which must not rise: `python -m tests.project.type_errors [--update]`.

`ty` checks all packages. Those in `CLEAN` have no errors; the others have at most the number of errors in
`type_errors.json`. When errors were fixed, `--update` writes the new numbers.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.paths import ROOT

LIMITS = Path(__file__).with_name("type_errors.json")
CLEAN = ("evaluation/rust", "modeling_nanochat", "runtime")
PACKAGES = ("benchmarks", "evaluation", *CLEAN, "model_cards", "nanochat_ternary", "recipes", "tests", "trainers")
ERROR = re.compile(r"^(?P<path>[^\s:]+):\d+:\d+: error\[", re.MULTILINE)


def package_of(path: str) -> str:
    """Return the innermost package that contains a file, given by its path from the root of the project."""
    return max((name for name in PACKAGES if path.startswith(f"{name}/")), key=len)


def count_errors(output: str) -> dict[str, int]:
    """Return the number of errors of each package in the concise output of `ty`."""
    found = Counter(package_of(match["path"]) for match in ERROR.finditer(output))
    return {name: found[name] for name in PACKAGES}


def differences(found: Mapping[str, int], allowed: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """Return a sentence for each package with more errors than allowed, and for each with fewer."""
    more, fewer = [], []
    for name, count in found.items():
        limit = 0 if name in CLEAN else allowed.get(name, 0)
        if count > limit:
            more.append(f"{name} has {count} type errors, more than {limit}: fix the new ones (`ty check {name}`)")
        elif count < limit:
            fewer.append(f"{name} has {count} type errors, fewer than {limit}: lower the limit (--update)")
    return more, fewer


def main() -> int:
    """Run `ty`, and compare the numbers of errors with the limits or write them."""
    parser = argparse.ArgumentParser(description="Check that the number of type errors per package does not rise.")
    parser.add_argument("--update", action="store_true", help="write the present numbers as the new limits")
    options = parser.parse_args()
    ty = [sys.executable, "-m", "ty", "check", "--python", sys.prefix, "--output-format", "concise", "--exit-zero"]
    folders = [name for name in PACKAGES if "/" not in name]
    # With several threads, `ty` may report other errors where types depend on each other in a circle.
    environment = os.environ | {"TY_MAX_PARALLELISM": "1"}
    finished = subprocess.run([*ty, *folders], cwd=ROOT, env=environment, capture_output=True, text=True)
    if finished.returncode != 0:
        print(finished.stderr, file=sys.stderr)
        return finished.returncode
    found = count_errors(finished.stdout)
    if options.update:
        limits = {name: count for name, count in found.items() if name not in CLEAN}
        LIMITS.write_text(json.dumps(limits, indent=2) + "\n", encoding="utf-8")
    more, fewer = differences(found, json.loads(LIMITS.read_text(encoding="utf-8")))
    print("\n".join([*more, *fewer]) or "No package has new type errors.")
    return 1 if more else 0


if __name__ == "__main__":
    sys.exit(main())
