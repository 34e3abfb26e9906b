"""The Rust programs that are published with every model compile without warnings, run, and fail with a sentence."""

import os
import subprocess
import sys

import pytest

from evaluation.models.llama_server import ServerSettings, llama_process
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from model_cards.snapshot.write import examples_folder
from tests.helpers.gguf_models import TOKENIZER
from tests.helpers.memorized import COMPILES, memorized_model

PROGRAMS = ("basic_usage", "semantic_verification", "compiler_integration")
NOWHERE = "127.0.0.1:9"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    for name in PROGRAMS:
        source = examples_folder() / "examples" / f"{name}.rs"
        command = ["rustc", "--edition", "2021", "-D", "warnings", source, "-o", folder / name]
        subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "memorized.gguf"
    export_gguf(LoopLMCheckpoint.from_model(memorized_model()), TOKENIZER, path, type="q4_0")
    with llama_process(path, ServerSettings()) as running:
        yield running.address.removeprefix("http://")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command of this project, where it is not on the PATH."""
    path = tmp_path_factory.mktemp("bin") / "verify"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nanochat_ternary "$@"\n')
    path.chmod(0o755)
    return path


def run(program, *arguments, command=None):
    environment = os.environ | ({} if command is None else {"NANOCHAT_TERNARY": str(command)})
    return subprocess.run([program, *arguments], capture_output=True, text=True, env=environment, timeout=120)


def test_basic_usage_prints_what_the_model_continues(programs, server):
    done = run(programs / "basic_usage", COMPILES[0], server)
    assert done.returncode == 0 and COMPILES[0] + COMPILES[1] in done.stdout


def test_a_server_that_is_not_there_is_one_sentence(programs):
    done = run(programs / "basic_usage", "fn main() {", NOWHERE)
    assert done.returncode == 1 and done.stderr.startswith(f"{NOWHERE} does not answer: ")
    assert done.stderr.count("\n") == 1


def test_semantic_verification_names_the_rule_that_a_program_breaks_at_its_line(programs, command):
    done = run(programs / "semantic_verification", command=command)
    assert done.returncode == 0, done.stderr
    assert "E0382 ownership: borrow of moved value: `names`" in done.stdout
    assert done.stdout.splitlines()[6] == "valid" and done.stdout.splitlines()[-1] == "semantic_error"


def test_without_the_command_it_says_how_to_name_it(programs, tmp_path):
    done = run(programs / "semantic_verification", command=tmp_path / "nothing")
    assert done.returncode == 1 and "cannot be started" in done.stderr and "set NANOCHAT_TERNARY" in done.stderr


def test_the_first_completion_that_compiles_is_printed_and_nothing_else(programs, server, command):
    done = run(programs / "compiler_integration", COMPILES[0], "8", server, command=command)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith(COMPILES[0]) and done.stderr.strip().endswith(": valid")
    none = run(programs / "compiler_integration", "fn broken(x: i32) -> i32 {", "1", server, command=command)
    assert none.returncode == 1 and none.stdout == "" and "none of 1 completions compiles" in none.stderr
