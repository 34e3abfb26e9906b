"""lm-evaluation-harness and inspect-ai count the same passes as the judge for the same texts."""

from pathlib import Path

import pytest

import evaluation.harness
from evaluation.harness.judge import judge_of
from tests.helpers.completions import WRONG, fixed_completions

# Each imports its harness, which takes seconds.
pytestmark = pytest.mark.slow
LIMIT = 5
FOLDER = Path(evaluation.harness.__file__).parent


def name_in(prompt):
    """Name of the problem that a prompt, or a question, asks for."""
    (name,) = (name for name in fixed_completions(LIMIT) if f"fn {name}(" in prompt)
    return name


def test_lm_eval_counts_the_same_passes():
    lm_eval = pytest.importorskip("lm_eval", reason="the extra lm-eval is not installed")
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    class Fixed(LM):
        def generate_until(self, requests, disable_tqdm=False):
            assert all(
                request.args[0] == judge_of("compile-rate").prompt(name_in(request.args[0])) for request in requests
            )
            return ["\n" + fixed_completions(LIMIT)[name_in(request.args[0])] for request in requests]

        def loglikelihood(self, requests, disable_tqdm=False):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    manager = TaskManager(include_path=str(FOLDER), include_defaults=False)
    found = lm_eval.simple_evaluate(
        Fixed(), tasks=["nanochat_compile_rate"], task_manager=manager, limit=LIMIT, log_samples=True
    )
    samples = found["samples"]["nanochat_compile_rate"]
    passing = {sample["doc"]["name"] for sample in samples if sample["compiles@1"] == 1}
    assert passing == fixed_completions(LIMIT).keys() - WRONG.keys()
    assert found["results"]["nanochat_compile_rate"]["compiles@1,judge"] == len(passing) / LIMIT
    assert {sample["filtered_resps"][0][0]["ok"] for sample in samples} == {True, False}


@pytest.mark.parametrize("chat", [False, True])
def test_inspect_counts_the_same_passes(chat, tmp_path, monkeypatch):
    inspect_ai = pytest.importorskip("inspect_ai", reason="the extra inspect is not installed")
    from inspect_ai.model import ModelOutput, get_model
    from inspect_ai.model._providers.mockllm import MockLLM

    from evaluation.harness.inspect_tasks import compile_rate

    def write(messages, *_):
        prompt = messages[-1].text
        text = fixed_completions(LIMIT)[name_in(prompt)]
        if chat:
            program = prompt.split("```rust\n")[1].split("\n```")[0]
            text = f"```rust\n{program}\n{text}" + ("" if name_in(prompt) == "fibonacci" else "\n```")
        return ModelOutput.from_content("mockllm/model", text)

    async def no_count(*_):
        return 0

    # It would download a tokenizer.
    monkeypatch.setattr(MockLLM, "count_text_tokens", no_count)
    (log,) = inspect_ai.eval(
        compile_rate(chat=chat),
        model=get_model("mockllm/model", custom_outputs=write),
        limit=LIMIT,
        display="none",
        log_dir=str(tmp_path),
    )
    assert log.status == "success", log.error
    passing = {sample.id for sample in log.samples if next(iter(sample.scores.values())).value == "C"}
    assert passing == fixed_completions(LIMIT).keys() - WRONG.keys()
