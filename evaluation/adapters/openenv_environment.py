"""
An environment of OpenEnv: a task to implement in Rust, and several answers to it, each judged by the compiler and the
task's hidden tests. Needs the package `openenv`.
"""

import random
from importlib import import_module
from typing import Any
from uuid import uuid4

from evaluation.adapters.judged_tasks import judged, read_tasks
from evaluation.adapters.judges import judge_of

openenv: Any = import_module("openenv.core.env_server")

MAX_SESSIONS = 64
"""Episodes at the same time of a server."""


class Answer(openenv.Action):
    """An answer: the message of a model, with the whole program in its last block of Rust."""

    text: str


class Told(openenv.Observation):
    """
    A task, or what the judge says about an answer.

    Attributes:
        prompt: The question.
        message: The compiler's errors, or that tests fail; empty before the first answer.
        status: Of the verdict; empty before the first answer.
    """

    prompt: str
    message: str = ""
    status: str = ""


class JudgeFailed(RuntimeError):
    """The judge gave no verdict, which says nothing about the answer: the episode must not count."""


class RustEnvironment(openenv.Environment):
    """
    Tasks in Rust.

    An episode ends with an answer that passes its tests (reward 1), or after `max_steps` answers (reward 0).

    Args:
        tasks: File of tasks, see [`read_tasks`].
        judge_url: Address of `nanochat-ternary serve-judge`; None judges on this machine.
        max_steps: Answers to a task; with more than one, a model can repair what the message says.
        deadline: Seconds for the judgment of one answer.

    Raises:
        ValueError, OSError: The file or a setting is faulty, or no judge answers at the address.
    """

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self, tasks: str, judge_url: str | None = None, max_steps: int = 1, deadline: float = 120.0):
        super().__init__()
        if max_steps < 1:
            raise ValueError(f"max_steps must be at least 1, got {max_steps}")
        self._tasks = read_tasks(tasks)
        self._judge = judge_of(judge_url)
        self._max_steps = max_steps
        self._deadline = deadline
        self._task = self._tasks[0]
        self._done = True
        self._state: Any = openenv.State()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **kwargs: Any) -> Told:
        """
        Begin an episode.

        Args:
            seed: Chooses the task; None: any.
            episode_id: Name of the episode.
            kwargs: `index` names a task by its line, counted from 0.
        """
        index = kwargs.get("index")
        self._task = random.Random(seed).choice(self._tasks) if index is None else self._tasks[index]
        self._state = openenv.State(episode_id=episode_id or str(uuid4()), step_count=0)
        self._done = False
        return Told(prompt=self._task.question)

    def step(self, action: Answer, timeout_s: float | None = None, **kwargs: Any) -> Told:
        """
        Judge an answer.

        Raises:
            ValueError: The episode has ended.
            JudgeFailed: There is no verdict.
        """
        if self._done:
            raise ValueError("step must follow a reset: the episode has ended")
        (found,) = judged(self._judge, [self._task], [action.text], timeout_s or self._deadline)
        if found.reward is None:
            raise JudgeFailed(found.message)
        self._state.step_count += 1
        self._done = found.reward == 1 or self._state.step_count >= self._max_steps
        return Told(
            prompt=self._task.question,
            message=found.message,
            status=found.status,
            reward=found.reward,
            done=self._done,
        )

    @property
    def state(self) -> Any:
        """The episode and its number of answers."""
        return self._state


def application(tasks: str, judge_url: str | None = None, max_steps: int = 1, deadline: float = 120.0) -> Any:
    """Return OpenEnv's server of the environment, an ASGI application; the arguments are those of the environment."""

    def environment() -> RustEnvironment:
        return RustEnvironment(tasks, judge_url, max_steps, deadline)

    return openenv.create_fastapi_app(environment, Answer, Told, max_concurrent_envs=MAX_SESSIONS)
