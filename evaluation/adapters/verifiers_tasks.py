"""
An environment of `verifiers` (and so of prime-rl): tasks in Rust, one answer for each, judged by the compiler and the
task's hidden tests. Needs the package `verifiers`.
"""

import asyncio
import json
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from datasets import Dataset

from evaluation.adapters.judged_tasks import JudgedTask, judged, read_tasks
from evaluation.adapters.judges import judge_of
from evaluation.rust.judging import Judge, JudgeUnavailable

vf: Any = import_module("verifiers")


class RustEnv(vf.SingleTurnEnv):
    """
    An environment whose answers are judged as a part of the rollout.

    In a reward function an exception would become a reward of 0. In the rollout it becomes the rollout's error, which
    trainers tell from a failure.

    Args:
        judge: Compiles and runs the programs.
        tasks: The tasks.
        deadline: Seconds for the judgment of one answer.
    """

    def __init__(self, judge: Judge, tasks: Sequence[JudgedTask], deadline: float):
        rows = [
            {
                "prompt": [{"role": "user", "content": task.question}],
                "info": json.dumps({"prompt": task.prompt, "tests": task.tests}),
            }
            for task in tasks
        ]
        super().__init__(dataset=Dataset.from_list(rows), rubric=vf.Rubric(funcs=[rust_success]))
        self.judge = judge
        self.deadline = deadline

    async def add_model_response(self, state: Any, prompt_messages: Any, response: Any) -> None:
        """Add an answer and judge it. Raises `vf.InfraError` where there is no verdict."""
        await super().add_model_response(state, prompt_messages, response)
        task = JudgedTask(**state["info"])
        answer = response.message.content or ""
        try:
            (found,) = await asyncio.to_thread(judged, self.judge, [task], [answer], self.deadline)
        except JudgeUnavailable as error:
            raise vf.InfraError(str(error)) from error
        if found.reward is None:
            raise vf.InfraError(found.message)
        state["verdict"] = {"reward": found.reward, "status": found.status, "message": found.message}


def rust_success(state: Any) -> float:
    """Return 1 for an answer that passes its tests, else 0; a rollout without a verdict has an error instead."""
    return state["verdict"]["reward"] if "verdict" in state else 0.0


def load_environment(tasks: str, judge_url: str | None = None, deadline: float = 120.0) -> RustEnv:
    """
    Return the environment, as `vf.load_environment` and prime-rl do.

    Args:
        tasks: File of tasks, see [`read_tasks`].
        judge_url: Address of `nanochat-ternary serve-judge`; None judges on this machine.
        deadline: Seconds for the judgment of one answer.

    Raises:
        ValueError, OSError: The file is faulty, or no judge answers at the address.
    """
    return RustEnv(judge_of(judge_url), read_tasks(tasks), deadline)
