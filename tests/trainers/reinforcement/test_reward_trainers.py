"""The compiler's reward in the trainers that take one, and the example of the documentation as it stands."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerFast
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from tests.helpers.paths import ROOT
from tests.helpers.reinforcement import looped
from tests.helpers.tasks import TASK
from tests.helpers.teachers import tiny_llama
from trainers.data.tokenizer import train_tokenizer
from trainers.reinforcement.rewards import RustReward

ROWS = [
    {"prompt": f"fn f{number}(x: u8) -> u8 {{", "signature": f"fn f{number}(x: u8) -> u8;", "checker": "check!(true);"}
    for number in range(4)
]
DOCUMENTATION = ROOT / "docs" / "reinforcement.md"


@pytest.fixture(autouse=True)
def consent(monkeypatch):
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    made = train_tokenizer([TASK.prompt + TASK.solution, *(row["prompt"] + " x }" for row in ROWS)], 280, 256)
    made.chat_template = "{% for message in messages %}<{{ message['content'] }}>{% endfor %}"
    return made


class Recorded(RustReward):
    """Keeps what it gave."""

    def __init__(self):
        super().__init__(workers=1)
        self.given = []

    def __call__(self, *args, **kwargs):
        self.given += super().__call__(*args, **kwargs)
        return self.given[-len(kwargs["completions"]) :]


@pytest.mark.parametrize("name", [pytest.param("GRPO", marks=pytest.mark.slow), "RLOO", "Online DPO"])
def test_the_trainers_of_trl_call_the_reward_as_it_is(name, tokenizer, tmp_path):
    from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer

    settings = dict(
        output_dir=str(tmp_path),
        max_steps=1,
        per_device_train_batch_size=2,
        report_to="none",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        save_strategy="no",
        disable_tqdm=True,
    )
    grouped = settings | dict(num_generations=2, max_completion_length=4, beta=0.0)
    trainer, arguments = {
        "GRPO": (GRPOTrainer, lambda: GRPOConfig(**grouped)),
        "RLOO": (RLOOTrainer, lambda: RLOOConfig(**grouped)),
        "Online DPO": (OnlineDPOTrainer, lambda: OnlineDPOConfig(max_new_tokens=4, max_length=64, **settings)),
    }[name]
    reward = Recorded()
    trainer(
        model=looped(tokenizer),
        reward_funcs=[reward],
        args=arguments(),
        train_dataset=Dataset.from_list(ROWS),
        processing_class=tokenizer,
    ).train()
    reward.close()
    assert len(reward.given) >= 2 and set(reward.given) <= {0.0, 1.0}


def test_the_documented_example_runs_as_it_stands_and_keeps_what_is_promised(tokenizer, tmp_path, monkeypatch, capsys):
    """On a machine without an accelerator too; only the numbers are smaller."""
    example, _ = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    for large, small in (
        ("max_steps=200", "max_steps=2, max_completion_length=4, logging_steps=1"),
        ("per_device_train_batch_size=64", "per_device_train_batch_size=16"),
    ):
        assert large in example
        example = example.replace(large, small)
    monkeypatch.chdir(tmp_path)
    looped(tokenizer).save_pretrained("runs/nano/pretrain/model")
    tokenizer.save_pretrained("runs/nano/pretrain/model")
    Path("tasks.jsonl").write_text(json.dumps(asdict(TASK)) + "\n")
    exec(example, {})
    logs = [json.loads(line) for line in Path("runs/mine/metrics.jsonl").read_text().splitlines()]
    assert [log["step"] for log in logs if "loss" in log] == [1, 2]
    assert {log["success_means"] for log in logs} == {"all hidden tests hold"}
    assert Path("runs/mine/metrics.png").exists()
    assert "Success: all hidden tests hold" in Path("runs/mine/samples/step_000000.html").read_text()
    assert "success (all hidden tests hold) 0%" in "".join(capsys.readouterr())


def test_the_documented_script_of_another_trainer_takes_own_tasks(tokenizer, tmp_path, monkeypatch):
    _, script = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(), re.DOTALL)
    settings = "max_steps=1, per_device_train_batch_size=8, use_cpu=True, bf16=False, report_to='none'"
    for large, small in (
        ("HuggingFaceTB/SmolLM2-135M", "llama"),
        ("max_completion_length=128", f"max_completion_length=4, {settings}"),
    ):
        assert large in script
        script = script.replace(large, small)
    monkeypatch.chdir(tmp_path)
    tiny_llama(len(tokenizer)).save_pretrained("llama")
    tokenizer.save_pretrained("llama")
    cases = [{"stdin": "1", "expected": "1"}, {"stdin": "2", "expected": "2"}]
    rows = [ROWS[0] | {"checker": TASK.checker, "signature": TASK.signature, "prompt": TASK.prompt}]
    rows.append({"prompt": "fn main() {", "stdin_tests": cases})
    Path("tasks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    names = {}
    exec(script, names)
    assert "rewards/rust_success/mean" in names["trainer"].state.log_history[0]
