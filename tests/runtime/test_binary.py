"""The command `nanochat generate` continues a text as `generate` of transformers does."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.runtime_crate import CRATE, run_cargo
from tests.helpers.tiny import tiny_model
from trainers.data.tokenizer import train_tokenizer

# Building the program takes long.
pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("cargo") is None, reason="cargo is not installed")]
PROMPT = "fn twice(x: u32) -> u32 {"


@pytest.fixture(scope="module")
def binary(target) -> Path:
    run_cargo(target, "build", "--bins")
    return target / "debug" / "nanochat"


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer([(CRATE / "src" / "json.rs").read_text()], vocab_size=400, max_length=256)


@pytest.fixture
def folder(tmp_path, tokenizer) -> Path:
    tiny_model(vocab_size=400, activation_bits=8).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def generate(binary: Path, folder: Path, *options: str) -> subprocess.CompletedProcess:
    command = [binary, "generate", "--model", folder, "--prompt", PROMPT, *options]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("packed", [False, True])
def test_the_greedy_text_is_that_of_transformers(binary, tmp_path, tokenizer, packed):
    model = tiny_model(vocab_size=400, activation_bits=8)
    if packed:
        model = model.pack()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    tokens = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    text = tokenizer.decode(model.generate(tokens, max_new_tokens=40, do_sample=False)[0], skip_special_tokens=True)
    done = generate(binary, tmp_path, "--max-new-tokens", "40", "--threads", "1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == text + "\n"
    assert len(text) > len(PROMPT)


def test_samples_depend_on_the_seed_only(binary, folder):
    sample = ["--temperature", "1", "--max-new-tokens", "20"]
    first, again, other = (
        generate(binary, folder, *sample, "--seed", seed, "--threads", threads).stdout
        for seed, threads in [("5", "1"), ("5", "2"), ("6", "1")]
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-new-tokens", "1000"], "max_new_tokens must be at most"),
        (["--top-p", "3"], "top_p must be above 0 and at most 1, got 3"),
        (["--num-loops", "0"], "num_loops must be an integer from 1"),
        (["--threads", "0"], "threads must be from 1 to 1024, got 0"),
        (["--seed", "-1"], '--seed must be an integer >= 0, got "-1"'),
        (["--tokens", "1"], "the option --tokens is not known"),
    ],
)
def test_mistakes_are_one_line(binary, folder, options, message):
    done = generate(binary, folder, *options)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(binary, folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"vocab_size": 399}))
    done = generate(binary, folder)
    assert "vocab_size must be at least the tokenizer's 400 tokens, got 399" in done.stderr
