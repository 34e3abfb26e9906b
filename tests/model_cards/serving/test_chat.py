"""The command `chat`: models continue Rust in a terminal or a pipe, and rustc checks the answers."""

import io
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from rich.console import Console

from evaluation.rust import RustVerifier
from evaluation.token_sampling import TokenSampling
from model_cards.__main__ import main
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from model_cards.serving.answer import StreamedAnswer
from model_cards.serving.chat import ChatSettings, Conversation, visible
from model_cards.serving.streaming import PieceStreamer
from model_cards.serving.text_engine import text_engine
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from tests.helpers.memorized import COMPILES, EITHER, ENDLESS, FAILS, memorized_model
from tests.helpers.paths import ROOT

GREEDY = ("--temperature", "0")
COMMAND = [sys.executable, "-m", "model_cards", "chat", "--model"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    """Use one thread: llama.cpp in a process that has loaded PyTorch spins while it waits."""
    monkeypatch.setattr("evaluation.models.llama_server._cores", lambda: 1)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The same model as a folder and as a GGUF file."""
    folder = tmp_path_factory.mktemp("chat")
    model = memorized_model()
    model.save_pretrained(folder / "model")
    TOKENIZER.save_pretrained(folder / "model")
    export_gguf(LoopLMCheckpoint.from_model(model), TOKENIZER, folder / "model.gguf", type="q4_0")
    return {"folder": folder / "model", "file": folder / "model.gguf", "native": folder / "model"}


# A process that loads PyTorch takes several seconds: the test below asks a folder in this one.
@pytest.mark.parametrize("kind", ["file", pytest.param("folder", marks=pytest.mark.slow)])
def test_a_pipe_gets_the_prompt_and_its_continuation_and_nothing_else(models, kind):
    prompt, answer = COMPILES
    process = subprocess.run(
        [*COMMAND, str(models[kind]), *GREEDY],
        env=ENVIRONMENT,
        input=f"// größer\n{prompt}\n\n".encode(),
        capture_output=True,
        timeout=100,
    )
    assert process.stdout.decode() == f"// größer\n{prompt}{answer}\n", process.stderr.decode()
    assert (process.returncode, process.stderr) == (0, b"")


def test_a_folder_writes_the_prompt_and_its_continuation_and_nothing_else(models, monkeypatch, capfd):
    prompt, answer = COMPILES
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"// größer\n{prompt}\n\n".encode()), "utf-8"))
    assert main(["chat", "--model", str(models["folder"]), *GREEDY]) == 0
    assert capfd.readouterr() == (f"// größer\n{prompt}{answer}\n", "")


def engine_of(kind):
    return "native" if kind == "native" else "torch"


@pytest.mark.parametrize("kind", ["file", "folder", "native"])
def test_answers_come_in_pieces_and_end_with_their_function(models, kind):
    with text_engine(str(models[kind]), engine=engine_of(kind)) as engine:
        for prompt, expected in (COMPILES, FAILS):
            pieces = []
            answer = engine.answer(prompt, TokenSampling(temperature=0), 0, pieces.append)
            assert answer.finished and answer.text == expected == "".join(pieces) and len(pieces) > 3
        short = engine.answer(FAILS[0], TokenSampling(temperature=0, max_new_tokens=3), 0, lambda piece: None)
        assert not short.finished and FAILS[1].startswith(short.text)


@pytest.mark.parametrize("kind", ["file", "folder", "native"])
def test_equal_seeds_sample_equal_answers_and_other_seeds_other_answers(models, kind):
    with text_engine(str(models[kind]), engine=engine_of(kind)) as engine:
        # Twenty, because the model's odds and thus the answers of few seeds depend on the processor's rounding.
        seeds = [*range(20), *range(3)]
        sampled = [engine.answer(EITHER[0], TokenSampling(temperature=1), seed, str).text for seed in seeds]
    assert sampled[20:] == sampled[:3] and set(sampled) >= set(EITHER[1:])


def test_a_file_has_no_native_engine_and_the_message_says_what_has(models, capsys):
    assert main(["chat", "--model", str(models["file"]), "--prompt", "a", "--engine", "native"]) == 2
    assert "engine native needs the folder of a saved model or a Hub name" in capsys.readouterr().err


@pytest.mark.parametrize("configured", [{}, {"exit_threshold": 0.01}, {"exit_at_loop": 2}])
def test_file_and_folder_answer_alike_at_every_depth(tmp_path, capsys, configured):
    model = gguf_model(activation_bits=None, **configured)
    model.save_pretrained(tmp_path / "model")
    TOKENIZER.save_pretrained(tmp_path / "model")
    export_gguf(LoopLMCheckpoint.from_model(model), TOKENIZER, tmp_path / "model.gguf", type="f32")
    answers = set()
    depths = (("--num-loops", "1"), ("--num-loops", "3"), *([()] if not configured else []))
    for depth in depths:
        options = ("--prompt", COMPILES[0], *GREEDY, "--max-new-tokens", "8", *depth)
        for name in ("model", "model.gguf"):
            assert main(["chat", "--model", str(tmp_path / name), *options]) == 0
            # They differ in what they make of a character that is incomplete at the end.
            answers.add((depth, capsys.readouterr().out.rstrip("\N{REPLACEMENT CHARACTER}\n")))
    assert len(answers) == len(depths) and len({answer for _, answer in answers}) == len(depths)
    for name in ("model", "model.gguf"):
        assert main(["chat", "--model", str(tmp_path / name), "--prompt", "a", "--num-loops", "0"]) == 2
        assert "num_loops must be" in capsys.readouterr().err


def test_what_was_verified_is_told_with_rustcs_own_message(models, capsys):
    assert main(["chat", "--model", str(models["file"]), "--prompt", COMPILES[0], *GREEDY, "--verify"]) == 0
    out, err = capsys.readouterr()
    assert out == "".join(COMPILES) + "\n" and re.fullmatch(r"✓ compiles \(rustc [\d.]+\)\n", err)
    assert main(["chat", "--model", str(models["file"]), "--prompt", FAILS[0], *GREEDY, "--verify"]) == 1
    out, err = capsys.readouterr()
    assert out == "".join(FAILS) + "\n"
    assert err.startswith("✗ semantic_error (rustc ") and "error[E0308]: mismatched types" in err
    assert "--> answer:2:5" in err and "expected `u32`, found `bool`" in err
    assert (
        main(["chat", "--model", str(models["file"]), "--prompt", FAILS[0], "--verify", "--max-new-tokens", "2"]) == 1
    )
    assert "The function is not complete." in capsys.readouterr().err


def test_the_best_of_several_is_the_first_that_compiles(models, capsys):
    needed = []
    for seed in ("0", "20", "40", "60", "80", "100"):
        options = ["--prompt", EITHER[0], "--temperature", "1", "--best-of", "16", "--seed", seed]
        assert main(["chat", "--model", str(models["file"]), *options]) == 0
        out, err = capsys.readouterr()
        assert out == EITHER[0] + EITHER[1] + "\n"
        *failed, last = err.splitlines()
        needed.append(int(re.fullmatch(r"✓ compiled after (\d+) samples? \(rustc [\d.]+\)", last)[1]))
        assert len(failed) == needed[-1] - 1
        assert all(re.match(r"✗ sample \d+: error", line) for line in failed)
    assert min(needed) == 1 < max(needed), needed


def test_when_none_of_several_compiles_the_last_one_is_shown_with_its_error(models, capsys):
    options = ["--prompt", FAILS[0], "--temperature", "0.1", "--best-of", "3"]
    assert main(["chat", "--model", str(models["folder"]), *options]) == 1
    out, err = capsys.readouterr()
    assert out == "".join(FAILS) + "\n"
    assert "✗ sample 3:" in err and "✗ none of 3 samples compiled, this is the last one" in err
    assert "expected `u32`, found `bool`" in err


class Terminal:
    """A command in a terminal of its own; no wait is longer than a minute."""

    def __init__(self, *options):
        self.output = b""
        self._master, slave = pty.openpty()
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), slave)
        # A session of its own with this terminal, so that Ctrl-C reaches it as a signal.
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
                "os.execv(sys.executable, sys.argv[1:])",
                *COMMAND,
                *options,
            ],
            env=ENVIRONMENT,
            start_new_session=True,
            **streams,
        )
        os.close(slave)
        self._killer = threading.Timer(60, self.process.kill)
        self._killer.start()

    def type(self, text):
        os.write(self._master, text.encode())

    def read_until(self, expected):
        """Everything up to and with `expected` that was not returned before."""
        while expected.encode() not in self.output:
            try:
                self.output += os.read(self._master, 1 << 16)
            except OSError as error:
                raise AssertionError(f"no {expected!r} in {self.output[-2000:]}") from error
        text, mark, self.output = self.output.partition(expected.encode())
        return (text + mark).decode().replace("\r\n", "\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._killer.cancel()
        self.process.kill()
        self.process.wait()
        os.close(self._master)


def test_a_terminal_asks_again_after_each_answer_and_ends_with_the_input(models):
    with Terminal(str(models["file"]), *GREEDY, "--verify") as terminal:
        for prompt, answer in (COMPILES, FAILS):
            terminal.read_until(">>> ")
            terminal.type(f"{prompt}\n\n")
            assert f"{prompt}{answer}\n" in terminal.read_until("✓ compiles" if prompt == COMPILES[0] else "E0308")
        terminal.read_until(">>> ")
        terminal.type("\n")
        terminal.read_until(">>> ")
        terminal.type("\x04")
        assert terminal.process.wait(30) == 0


def test_ctrl_c_ends_the_answer_then_the_program_and_no_output_steers_the_terminal(models):
    with Terminal(str(models["file"]), *GREEDY, "--max-new-tokens", "1000000") as terminal:
        terminal.read_until(">>> ")
        terminal.type(f"{ENDLESS[0]}\n\n")
        # More would fill the terminal before the answer ends, so the model waits here.
        written = terminal.read_until("\\u{1b}[2J\\u{1b}[2J")
        terminal.type("\x03")
        written += terminal.read_until("Stopped.")
        written += terminal.read_until(">>> ")
        assert not any(ord(character) < 32 and character not in "\n\t" for character in written.replace("\r", ""))
        # Python does not notice one that comes between the prompt and its first look at the keyboard.
        while terminal.process.poll() is None:
            terminal.type("\x03")
            time.sleep(0.2)
        assert terminal.process.returncode == 130 and b"Traceback" not in terminal.output


def test_a_reader_that_goes_away_ends_it_without_a_word(models):
    command = [*COMMAND, str(models["file"]), *GREEDY, "--prompt", COMPILES[0]]
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert (process.wait(60), process.stderr.read()) == (141, b"")


def test_sigterm_ends_it_though_it_waits_for_a_prompt(models):
    with Terminal(str(models["file"])) as terminal:
        terminal.read_until(">>> ")
        terminal.process.send_signal(signal.SIGTERM)
        assert terminal.process.wait(30) == -signal.SIGTERM


def test_what_would_steer_a_terminal_or_hide_text_is_spelled_out():
    assert visible("a\x1b[2Jb\r\x07\x9b31m\u202e\u200b\u2028") == (
        "a\\u{1b}[2Jb\\u{d}\\u{7}\\u{9b}31m\\u{202e}\\u{200b}\\u{2028}"
    )
    assert visible("fn größe() {\n\t// 日本 🦀\n}") == "fn größe() {\n\t// 日本 🦀\n}"


def test_an_answer_ends_within_a_token_and_ignores_what_follows():
    shown = []
    answer = StreamedAnswer("fn f() {", shown.append)
    for piece in (" g('}');", " }\n\n} x", "fn "):
        answer.add(piece)
    assert answer.finished and answer.text == " g('}'); }" == "".join(shown)


def test_an_answer_in_markdown_ends_with_its_block_and_its_program_is_verified():
    answer = StreamedAnswer("Write a function.", lambda piece: None)
    for piece in ("Here:\n", "```rust\nfn f() -> u8 {", " 1 }\n", "```", "\nIt", " is one."):
        answer.add(piece)
    assert answer.finished and answer.text.endswith("```") and answer.program == "fn f() -> u8 { 1 }\n"
    with RustVerifier() as verifier:
        conversation = Conversation(None, ChatSettings(), verifier, Console(stderr=True))
        assert conversation._verify(answer).ok


def test_characters_are_streamed_whole():
    text = "größer 日本 🦀 \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}."
    ids = TOKENIZER(text, return_tensors="pt")["input_ids"]
    pieces = []
    streamer = PieceStreamer(TOKENIZER, StreamedAnswer("", pieces.append))
    streamer.put(ids[:, :1])
    for token in ids[0, 1:]:
        streamer.put(token[None])
    streamer.end()
    assert "".join(pieces) == text
    assert {"ö", "ß", "日", "本", "🦀"} <= {character for piece in pieces for character in piece}


def test_what_cannot_be_continued_is_one_sentence(models, tmp_path, capsys):
    file = str(models["file"])
    (tmp_path / "short.gguf").write_bytes(models["file"].read_bytes()[:-9])
    for arguments, message in (
        ([file, "--prompt", " \n"], "the prompt must hold some text to continue, got none"),
        ([file, "--prompt", "fn \udcff"], "the prompt must be UTF-8"),
        ([file, "--prompt", "a", "--best-of", "0"], "best_of must be at least 1, got 0"),
        ([file, "--prompt", "a", "--best-of", "2", *GREEDY], "best_of must be 1 at temperature 0"),
        ([file, "--prompt", "a", "--temperature", "-1"], "temperature must be at least 0 and finite, got -1"),
        ([file, "--prompt", "a", "--top-p", "0"], "top_p must be above 0 and at most 1, got 0"),
        ([file, "--prompt", "a", "--max-new-tokens", "0"], "max_new_tokens must be at least 1, got 0"),
        ([file, "--prompt", "a", "--seed", "-1"], "seed must be from 0 to"),
        ([file, "--prompt", "a b" * 9000], "llama.cpp refuses the prompt: request ("),
        ([str(tmp_path / "short.gguf"), "--prompt", "a"], "short.gguf is truncated"),
        ([str(tmp_path / "no.gguf"), "--prompt", "a"], "No such file"),
        ([str(tmp_path), "--prompt", "a"], "model must be the folder of a saved model or a Hub name"),
    ):
        assert main(["chat", "--model", *arguments]) == 2
        assert message in capsys.readouterr().err
    with pytest.raises(ValueError, match="best_of"):
        ChatSettings(best_of=-1)
