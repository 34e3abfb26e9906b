"""A GGUF file runs in a process of its own, which ends with its parent, and answers as behind any server."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from evaluation.__main__ import main
from evaluation.generation_settings import GenerationSettings
from evaluation.likelihood import log_likelihoods
from evaluation.models.digest import file_digest
from evaluation.models.gguf_model import open_gguf_model
from evaluation.models.llama_server import ServerSettings, llama_process
from evaluation.models.openai_server import open_server
from evaluation.models.served_model import SuiteDoesNotFit
from evaluation.rust.syntax.completion import completed_function
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from tests.helpers.memorized import COMPILES, FAILS, memorized_model
from tests.helpers.paths import ROOT

GREEDY = GenerationSettings(temperature=0, max_new_tokens=30, batch_size=2)
STARTED_AND_KILLED = """
import sys
from pathlib import Path
from evaluation.models.llama_server import ServerSettings, llama_process
with llama_process(Path(sys.argv[1]), ServerSettings()) as server:
    print(server.address, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("gguf") / "memorized.gguf"
    return export_gguf(LoopLMCheckpoint.from_model(memorized_model()), TOKENIZER, path, type="q4_0").path


@pytest.fixture(scope="module")
def model(file):
    with open_gguf_model(file, GREEDY) as model:
        yield model


def servers() -> list[psutil.Process]:
    """Running processes of llama.cpp that this one started."""
    return [
        each for each in psutil.Process().children(recursive=True) if "llama_server.py" in " ".join(each.cmdline())
    ]


def test_texts_are_continued_as_the_model_knows_them(model):
    prompts = [COMPILES[0] + "\n", FAILS[0]]
    found = model.complete(prompts, GREEDY, 0, completed_function)
    assert [each.text for each in found] == [COMPILES[1].removeprefix("\n"), FAILS[1]]
    assert all(each.finished and 3 <= each.tokens <= 10 for each in found)


def test_a_text_that_reaches_its_limit_says_so(model):
    (found,) = model.complete(
        [COMPILES[0]], GenerationSettings(temperature=0, max_new_tokens=3), 0, completed_function
    )
    assert (found.finished, found.reached_limit, found.tokens) == (False, True, 3)


def test_equal_seeds_give_equal_texts_and_others_differ(model):
    settings = GenerationSettings(temperature=2.0, top_p=1.0, max_new_tokens=8, batch_size=2)
    texts = [
        [each.text for each in model.complete([COMPILES[0]] * 2, settings, seed, completed_function)]
        for seed in (1, 1, 3)
    ]
    assert texts[0] == texts[1] and len({*texts[0], *texts[2]}) == 4


def test_probabilities_are_those_of_the_model_that_the_file_was_made_from(tmp_path, monkeypatch):
    # With one loop a LoopLM is a Llama, whose files Transformers can read.
    monkeypatch.setattr("model_cards.gguf.export.ARCHITECTURE", "llama")
    looplm = gguf_model(num_loops=1, activation_bits=None).eval()
    path = tmp_path / "llama.gguf"
    export_gguf(LoopLMCheckpoint.from_model(looplm), TOKENIZER, path, type="f32")
    texts = ["fn main() {\n    let x = 1_000;\n}\n", "  naïve 日本語 it's"]
    with open_gguf_model(path, GREEDY) as model:
        found = log_likelihoods(*model.in_memory(), texts)
    wanted = log_likelihoods(looplm, TOKENIZER, texts)
    assert [each.tokens for each in found] == [each.tokens for each in wanted]
    assert [each.nats for each in found] == pytest.approx([each.nats for each in wanted], abs=1e-3)


def test_a_file_that_transformers_cannot_read_names_the_folder_as_the_way_out(model):
    with pytest.raises(SuiteDoesNotFit, match="nanbeige.* Evaluate the folder that the file was made from"):
        model.in_memory()


def test_the_results_say_which_file_it_was(model, file):
    assert (model.name, model.digest) == (str(file), file_digest(file))
    described = model.describe()
    assert described["model_type"] == "nanbeige" and described["server"] == "llamacpp"
    assert described["parameters"] > 10_000


def test_the_same_file_behind_a_port_gives_the_same_texts(model, file):
    with llama_process(file, ServerSettings(context_length=512, num_threads=1)) as server:
        with open_server(f"{server.address}/v1") as served:
            prompts = [COMPILES[0], FAILS[0]]
            found = served.complete(prompts, GREEDY, 0, completed_function)
            assert found == model.complete(prompts, GREEDY, 0, completed_function)
            (beyond,) = served.complete([COMPILES[0] * 100], GREEDY, 0, completed_function)
            assert (beyond.text, beyond.finished, beyond.reached_limit) == ("", False, True)
    before = servers()
    assert len(before) <= 1


def test_a_model_without_a_chat_template_is_not_asked_in_one(file, tmp_path, capsys):
    options = ["--suite", "compile-rate", "--limit", "1", "--chat", "--output-dir", str(tmp_path / "out")]
    assert main(["run", "--model", str(file), *options]) == 2
    assert "must have a chat template for --chat, and has none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [b"", b"GGUF", b"not a model", b"GGUF\x03\0\0\0" + b"\xff" * 40])
def test_a_damaged_file_is_refused_by_its_name(content, tmp_path, capsys):
    path = tmp_path / "damaged.gguf"
    path.write_bytes(content)
    assert main(["run", "--model", str(path), "--suite", "compile-rate", "--output-dir", str(tmp_path / "out")]) == 2
    assert str(path) in capsys.readouterr().err


def test_a_file_that_llama_cpp_refuses_leaves_no_process(file, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes()[:-5000])
    before = servers()
    with pytest.raises(ValueError, match="llama.cpp must be able to load .*cut.gguf"):
        with llama_process(cut, ServerSettings()):
            pass
    assert servers() == before


def test_without_the_extra_one_sentence_says_how_to_install_it(file, tmp_path, capsys, monkeypatch):
    # The process of its own finds a package of this name that cannot be imported.
    program = tmp_path / "llama_server.py"
    source = Path(sys.modules["evaluation.models.llama_server"].__file__ or "").read_text()
    program.write_text("import sys\nsys.modules['xllamacpp'] = None\n" + source)
    monkeypatch.setattr("evaluation.models.llama_server.__file__", str(program))
    options = ["--suite", "compile-rate", "--limit", "1", "--output-dir", str(tmp_path / "out")]
    assert main(["run", "--model", str(file), *options]) == 2
    assert 'xllamacpp is not installed: pip install -e ".[gguf]"' in capsys.readouterr().err


def test_the_server_ends_with_a_parent_that_is_killed(file):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", STARTED_AND_KILLED, str(file)]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdout.readline().startswith(b"http://")
        (child,) = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
        deadline = time.monotonic() + 20
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the server runs without its parent"
            time.sleep(0.02)
