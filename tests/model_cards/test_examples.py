"""The Rust programs that are published with every model compile without warnings, run, and fail with a sentence."""

import copy
import os
import subprocess
import sys

import pytest

from evaluation.models.llama_server import ServerSettings, llama_process
from model_cards.card.rust_usage import rust_usage
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from model_cards.snapshot.write import examples_folder, write_snapshot
from tests.helpers.gguf_models import TOKENIZER
from tests.helpers.memorized import COMPILES, FAILS, memorized_model

STANDARD_LIBRARY = ("server_usage", "semantic_verification", "compiler_integration")
NOWHERE = "127.0.0.1:9"


@pytest.fixture(scope="module")
def model():
    return memorized_model()


@pytest.fixture(scope="module")
def published(tmp_path_factory, model):
    """A packed model as it is published."""
    folder = tmp_path_factory.mktemp("published")
    packed = copy.deepcopy(model).pack()
    packed.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    write_snapshot(folder, folder, [], "you/it")
    return folder


@pytest.fixture(scope="module")
def built(published, tmp_path_factory):
    """All programs, and that of the card, built by cargo in the published folder."""
    target = tmp_path_factory.mktemp("target")
    manifest = published / "examples" / "Cargo.toml"
    (published / "examples" / "card.rs").write_text(rust_usage(COMPILES[0]))
    manifest.write_text(manifest.read_text() + '\n[[bin]]\nname = "card"\npath = "card.rs"\n')
    command = ["cargo", "build", "--offline", "--quiet", "--bins", "--manifest-path", manifest]
    environment = os.environ | {"CARGO_TARGET_DIR": str(target), "RUSTFLAGS": "-D warnings -C debuginfo=0"}
    subprocess.run(command, check=True, env=environment)
    return target / "debug"


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    for name in STANDARD_LIBRARY:
        source = examples_folder() / "examples" / f"{name}.rs"
        command = ["rustc", "--edition", "2021", "-D", "warnings", source, "-o", folder / name]
        subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("gguf") / "memorized.gguf"
    export_gguf(LoopLMCheckpoint.from_model(model), TOKENIZER, path, type="q4_0")
    with llama_process(path, ServerSettings()) as running:
        yield running.address.removeprefix("http://")


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The command of this project, where it is not on the PATH."""
    path = tmp_path_factory.mktemp("bin") / "verify"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nanochat_ternary "$@"\n')
    path.chmod(0o755)
    return path


def run(program, *arguments, command=None, folder=None):
    environment = os.environ | ({} if command is None else {"NANOCHAT_TERNARY": str(command)})
    command = [program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, cwd=folder)


@pytest.mark.slow
def test_basic_usage_prints_what_the_model_continues(built, published, model):
    tokens = TOKENIZER(COMPILES[0], return_tensors="pt")["input_ids"]
    expected = TOKENIZER.decode(model.generate(tokens, max_new_tokens=200)[0], skip_special_tokens=True)
    done = run(built / "basic_usage", COMPILES[0], ".", folder=published)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", expected + "\n")
    assert COMPILES[0] + COMPILES[1] in done.stdout
    assert run(built / "basic_usage", COMPILES[0], folder=published).stdout == done.stdout, "the folder is the default"


@pytest.mark.slow
def test_the_program_of_the_card_prints_what_the_model_continues(built, published):
    done = run(built / "card", folder=published)
    assert done.returncode == 0 and COMPILES[0] + COMPILES[1] in done.stdout


@pytest.mark.slow
def test_a_folder_without_a_model_is_one_sentence(built, tmp_path):
    done = run(built / "basic_usage", "fn main() {", str(tmp_path))
    assert done.returncode == 1 and "config.json" in done.stderr and done.stderr.count("\n") == 1


def test_server_usage_prints_what_the_model_continues(programs, server):
    done = run(programs / "server_usage", COMPILES[0], server)
    assert done.returncode == 0 and COMPILES[0] + COMPILES[1] in done.stdout


def test_a_server_that_is_not_there_is_one_sentence(programs):
    done = run(programs / "server_usage", "fn main() {", NOWHERE)
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
    none = run(programs / "compiler_integration", FAILS[0], "1", server, command=command)
    assert none.returncode == 1 and none.stdout == "" and "none of 1 completions compiles" in none.stderr
