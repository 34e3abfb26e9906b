"""Benchmarks of chat models: asked in a template, answered in Markdown, never mixed with others."""

import json

import pytest
import torch

from evaluation.__main__ import main
from evaluation.chat_mode import INSTRUCTION, ChatMode
from evaluation.generate import Prompt, generate
from evaluation.generation_settings import GenerationSettings
from evaluation.results import Results
from evaluation.rust import RustVerifier
from evaluation.rust.syntax.completion import completed_function
from evaluation.suites.humaneval_rust import HumanEvalRust
from tests.helpers.humaneval_rows import PROBLEMS, ROWS
from tests.helpers.stored import needs_data
from tests.helpers.tiny import tiny_model

TEMPLATE = "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"
SHOWN = "\n#[cfg(test)]\nmod tests {\n    use super::*;\n    #[test]\n    fn shown() { panic!() }\n}\n"
OWN_MAIN = '\nfn main() {\n    println!("{}", 1);\n}\n'


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")


def answers(problem, body):
    """A solution as chat models give it."""
    whole = problem.declaration + body
    repeated = whole + "\n" + OWN_MAIN
    inner = body.rstrip().removesuffix("}").rstrip()
    alone = completed_function(problem.declaration, body).strip() == body.strip()  # some bring their helpers
    return [
        f"Sure!\n\n```rust\n{whole}\n```\n\nIt works.",
        f"```bash\ncargo new a\n```\n```Rust,ignore\r\n{repeated}{SHOWN}\n```\n".replace("\n", "\r\n"),
        f"<think>\n```rust\nfn wrong() {{}}\n```\n</think>\n~~~\n{body}\n~~~",
        f"```rust\n{inner}\n```" if alone else whole,
        whole,
    ]


def wrapped(problems, part):
    return [answers(problem, getattr(problem, part)) for problem in problems]


def check_forms(problems, verifier):
    suite = HumanEvalRust(problems, chat=ChatMode())
    right = suite.verify(wrapped(problems, "solution"), verifier)
    wrong = suite.verify(wrapped(problems, "faulty"), verifier)
    assert [problem.name for problem, each in zip(problems, right, strict=True) if not all(v.ok for v in each)] == []
    assert [problem.name for problem, each in zip(problems, wrong, strict=True) if any(v.ok for v in each)] == []


def test_solutions_pass_in_every_form_of_an_answer_and_faulty_ones_in_none():
    with RustVerifier() as verifier:
        check_forms(PROBLEMS, verifier)
        suite = HumanEvalRust(PROBLEMS[:1], chat=ChatMode())
        cut = ["```rust\n" + PROBLEMS[0].declaration + PROBLEMS[0].solution, "<think> So", "", "Sorry, I cannot."]
        assert not any(verdict.ok for verdict in suite.verify([cut], verifier)[0])


@needs_data
@pytest.mark.slow
def test_all_solutions_of_humaneval_pass_in_every_form_and_faulty_ones_in_none():
    problems = HumanEvalRust.read().problems
    assert len(problems) == 164
    with RustVerifier(run_timeout=10) as verifier:
        check_forms(problems, verifier)


@pytest.fixture
def files(tmp_path, model, tokenizer):
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    (tmp_path / "template.jinja").write_text(TEMPLATE)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS[:1]))
    return tmp_path


def evaluate(files, out, *options, suite="humaneval-rust"):
    arguments = ["run", "--suite", suite, "--model", files / "model", "--problems", files / "rows.jsonl"]
    return main([*map(str, arguments), "--max-new-tokens", "6", "--output-dir", str(files / out), *options])


def test_the_mode_is_recorded_and_samples_of_two_modes_are_never_mixed(files, capsys):
    chat = ["--chat", "--chat-template", str(files / "template.jinja"), "--max-new-tokens", "6"]
    assert evaluate(files, "chat", *chat) == 0 and "asked in its chat template" in capsys.readouterr().out
    found = Results.read(files / "chat" / "humaneval_rust.json")
    assert found.settings["mode"] == "chat" and found.settings["instruction"] == INSTRUCTION
    assert len(found.settings["chat_template_sha256"]) == 64 and found.details["answers_with_a_program"] <= 1
    assert evaluate(files, "base") == 0
    assert Results.read(files / "base" / "humaneval_rust.json").settings["mode"] == "base"
    capsys.readouterr()
    assert evaluate(files, "chat") == 2 and "samples with another stop" in capsys.readouterr().err
    assert evaluate(files, "chat", *chat, "--instruction", "Do {prompt}") == 2
    assert "samples with another chat" in capsys.readouterr().err
    assert main(["compare", *(str(files / mode / "humaneval_rust.json") for mode in ("base", "chat"))]) == 0
    assert 'different ways: mode "base" and "chat"' in capsys.readouterr().out


@pytest.mark.parametrize(
    "options, message",
    [
        (["--chat"], "the model must have a chat template for --chat, and has none: give one with"),
        (["--instruction", "Do {prompt}"], "--instruction needs --chat"),
        (["--chat", "--instruction", "Do it."], "the instruction must have {prompt} once"),
        (["--chat", "--chat-template", "nothing"], "nothing cannot be read: No such file"),
        (["--chat", "--chat-template", "BROKEN"], "the chat template cannot be rendered"),
        (["--chat"], "chat needs a suite of programs, got performance"),
    ],
)
def test_bad_input_is_said_before_any_work(files, capsys, options, message):
    (files / "broken.jinja").write_text("{% for %}")
    options = [str(files / "broken.jinja") if option == "BROKEN" else option for option in options]
    suite = "performance" if "performance" in message else "humaneval-rust"
    assert evaluate(files, "out", *options, suite=suite) == 2
    assert message in capsys.readouterr().err and not (files / "out").exists()


def test_an_answer_ends_where_the_model_ends_it_and_a_template_may_open_a_thought(tokenizer, tmp_path):
    """A model that always says the same token: the closing brace, which ends no answer, and then the end."""
    (brace,) = tokenizer("}", add_special_tokens=False)["input_ids"]
    for end, expected in ((2, "}}}}"), (brace, "")):
        model = tiny_model(vocab_size=300, eos_token_id=end, pad_token_id=0)
        with torch.no_grad():
            model.model.norm.weight.zero_()
            model.lm_head.weight.zero_()
        model.forward = always(brace, model.forward)
        sampling = GenerationSettings(temperature=0, max_new_tokens=4)
        chat = ChatMode(template=TEMPLATE + "<think>\n")
        (sample,) = generate(
            model, tokenizer, [Prompt("a", "fn a() {")], sampling, tmp_path / str(end), False, chat=chat
        )
        assert sample.completion == "<think>" + expected and sample.finished == (end == brace)


def always(token, forward):
    def changed(*arguments, **options):
        output = forward(*arguments, **options)
        output.logits[..., token] += 100
        return output

    return changed
