"""
Functions of the tasks for lm-evaluation-harness in the .yaml files beside this one; see docs/evaluation.md.

The completions of all problems are judged together, in a filter: that is where the harness has all of them.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from datasets import Dataset

from evaluation.harness.judge import judge_of

JudgedSamples = list[dict[str, Any]]
"""Completions of one problem, each with the status of its verdict and whether it passes."""


def _problems(suite: str) -> dict[str, Dataset]:
    judge = judge_of(suite)
    return {"test": Dataset.from_list([{"name": name, "prompt": judge.prompt(name)} for name in judge.problems])}


def humaneval_rust(**_: Any) -> dict[str, Dataset]:
    """Return the problems of HumanEval-Rust."""
    return _problems("humaneval-rust")


def compile_rate(**_: Any) -> dict[str, Dataset]:
    """Return the problems of the compile rate."""
    return _problems("compile-rate")


def _judging(suite: str) -> Callable[[Iterable[Sequence[str]], Iterable[dict]], list[JudgedSamples]]:
    def judged(resps: Iterable[Sequence[str]], docs: Iterable[dict]) -> list[JudgedSamples]:
        judge = judge_of(suite)
        completions = {
            doc["name"]: [judge.completion(doc["name"], text) for text in texts]
            for doc, texts in zip(docs, resps, strict=True)
        }
        return [
            [
                {"completion": completion, "status": verdict.status, "ok": verdict.ok}
                for completion, verdict in zip(completions[name], verdicts, strict=True)
            ]
            for name, verdicts in judge.verdicts(completions).items()
        ]

    return judged


judge_humaneval_rust = _judging("humaneval-rust")
judge_compile_rate = _judging("compile-rate")


def _share(samples: JudgedSamples) -> float:
    return sum(sample["ok"] for sample in samples) / len(samples)


def passes(doc: dict, results: Sequence[JudgedSamples]) -> dict[str, float]:
    """Return the share of a problem's samples that pass."""
    (samples,) = results
    return {"pass@1": _share(samples)}


def compiles(doc: dict, results: Sequence[JudgedSamples]) -> dict[str, float]:
    """Return the share of a problem's samples that compile."""
    (samples,) = results
    return {"compiles@1": _share(samples)}
