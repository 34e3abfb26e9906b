"""Tasks for inspect-ai; see docs/evaluation.md."""

from anyio import to_thread
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import GenerateConfig
from inspect_ai.scorer import CORRECT, INCORRECT, Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import TaskState, generate

from evaluation.harness.judge import MAX_NEW_TOKENS, Judge, judge_of


@scorer(metrics=[accuracy(), stderr()])
def verdict(suite: str, chat: bool) -> Scorer:
    """Return the scorer that compiles, and for suites of tests runs, the program of a completion."""
    judge = judge_of(suite, chat)

    async def score(state: TaskState, target: Target) -> Score:
        name = str(state.sample_id)
        completion = judge.completion(name, state.output.completion)
        (found,) = (await to_thread.run_sync(judge.verdicts, {name: [completion]}))[name]
        messages = "\n".join(each.rendered or each.message for each in found.diagnostics)
        return Score(
            value=CORRECT if found.ok else INCORRECT,
            answer=completion,
            explanation=messages or found.status,
            metadata={"status": found.status},
        )

    return score


def _task(suite: str, chat: bool) -> Task:
    judge: Judge = judge_of(suite, chat)
    samples = [Sample(id=name, input=judge.prompt(name), target="") for name in judge.problems]
    return Task(
        dataset=MemoryDataset(samples, name=suite),
        solver=generate(),
        scorer=verdict(suite, chat),
        config=GenerateConfig(max_tokens=MAX_NEW_TOKENS),
    )


@task
def humaneval_rust(chat: bool = True) -> Task:
    """Return HumanEval-Rust; without `chat` the model continues the prompt, as base models do."""
    return _task("humaneval-rust", chat)


@task
def compile_rate(chat: bool = True) -> Task:
    """Return the compile rate; without `chat` the model continues the prompt, as base models do."""
    return _task("compile-rate", chat)
