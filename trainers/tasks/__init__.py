"""Tasks for reinforcement learning: a prompt, a solution, and cases that only a right solution passes."""

from trainers.tasks.task import Task, load_tasks

__all__ = ["Task", "load_tasks"]
