"""Every command answers `--help` at once: without PyTorch, whose import takes seconds, and without a foreign word."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.helpers.paths import ROOT

HEAVY = ("torch", "transformers", "datasets", "trl", "peft", "bitsandbytes", "matplotlib")
MODULES = ("evaluation", "trainers.data", "model_cards", "recipes")  # the parsers of their subcommands are made, too
# Runs a program as `python` does, and says which of the heavy packages it has imported when it ends.
WATCHED = """
import atexit, runpy, sys
from pathlib import Path
kind, name, *sys.argv[1:] = sys.argv[1:]
atexit.register(lambda: print("imported:", [each for each in {heavy} if each in sys.modules]))
if kind == "module":
    runpy.run_module(name, run_name="__main__", alter_sys=True)
else:
    sys.argv[0], sys.path[0] = name, str(Path(name).parent)
    runpy.run_path(name, run_name="__main__")
"""


def commands():
    yield from (("module", module) for module in MODULES)
    for folder in ("recipes", "benchmarks"):
        for path in sorted((ROOT / folder).glob("**/*.py" if folder == "benchmarks" else "*.py")):
            if path.name != "__main__.py" and '__name__ == "__main__"' in path.read_text(encoding="utf-8"):
                yield ("file", str(path))


def ask(command):
    return subprocess.run(
        [sys.executable, "-c", WATCHED.format(heavy=HEAVY), *command, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


def test_help_of_every_command_comes_without_heavy_imports_and_foreign_words():
    asked = list(commands())
    assert len(asked) > 20
    with ThreadPoolExecutor(2) as pool:
        answers = dict(zip(asked, pool.map(ask, asked), strict=True))
    assert [command for command, answer in answers.items() if "usage:" not in answer.stdout or answer.returncode] == []
    assert {command: answer.stderr for command, answer in answers.items() if answer.stderr} == {}
    imported = {command: answer.stdout.splitlines()[-1] for command, answer in answers.items()}
    assert {command: line for command, line in imported.items() if line != "imported: []"} == {}
