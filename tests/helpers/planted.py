"""Suites that sample from a table instead of a model."""

from collections.abc import Callable
from dataclasses import fields
from typing import TypeVar

from evaluation.chat_mode import ChatMode
from evaluation.generate import Prompt, Sample
from evaluation.suites.program_suite import ProgramSuite

AnySuite = TypeVar("AnySuite", bound=ProgramSuite)


def planted(suite: AnySuite, write: Callable[[Prompt], str]) -> AnySuite:
    """The suite with a sampler that writes this completion, or answer, for each prompt."""

    class Planted(type(suite)):
        def sample(self, run, prompts, path):
            count = run.settings.generation.num_samples
            return [Sample(each.name, index, write(each), True, 1, None) for each in prompts for index in range(count)]

    return Planted(**{each.name: getattr(suite, each.name) for each in fields(suite)})


CHAT = ChatMode(template="{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}")
"""A chat mode for tokenizers without a template."""
