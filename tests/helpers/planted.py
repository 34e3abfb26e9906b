"""Suites that sample from a table instead of a model."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

from transformers import PreTrainedModel

from evaluation.chat_mode import ChatMode
from evaluation.generate import Prompt, Sample
from evaluation.rust import RustVerifier
from evaluation.settings import EvaluationSettings
from evaluation.suites.suite import SuiteRun

CHAT = ChatMode(template="{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}")
"""A chat mode for tokenizers without a template."""


def planted(suite: Any, write: Callable[[Prompt], str]) -> Any:
    """The suite with a sampler that writes this completion, or answer, for each prompt."""

    class Planted(type(suite)):
        def sample(self, run, prompts, path):
            count = run.settings.generation.num_samples
            return [Sample(each.name, index, write(each), True, 1, None) for each in prompts for index in range(count)]

    return Planted(**{each.name: getattr(suite, each.name) for each in fields(suite)})


def run_without_model(
    tokenizer: Any, folder: Path, verifier: RustVerifier | None = None, settings: EvaluationSettings | None = None
) -> SuiteRun:
    """What a planted suite runs with."""
    no_model = cast(PreTrainedModel, None)
    return SuiteRun(no_model, tokenizer, settings or EvaluationSettings(), folder, verifier)
